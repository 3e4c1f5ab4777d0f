//! A small sync engine for todo lists on `latchwork` and SQLite.
//!
//! | | |
//! | --- | --- |
//! | [`event`] | what is synced: changes of todos |
//! | [`file`](mod@file) | opening a database file of a known kind, and no other |
//! | [`client`] | a client's file: its log, its todos, and what is pending |
//! | [`upstream`] | one file that orders everybody's events, shared by processes |
//! | [`faults`] | an upstream at which things go wrong |
//! | [`job`] | what is to be done, by whom and in what steps |
//! | [`node`] | one client at work |
//! | [`process`] | a client as a process of its own |
//! | [`trail`] | what a client does: for how long, and where it can be made to stand still |
//! | [`check`] | whether files agree, and each with itself |
//! | [`chance`] | numbers that look random, and are the same each time |

pub mod chance;
pub mod check;
pub mod client;
pub mod event;
pub mod faults;
pub mod file;
pub mod job;
pub mod node;
pub mod process;
pub mod trail;
pub mod upstream;
