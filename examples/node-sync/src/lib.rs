//! A small sync engine for todo lists on `latchwork` and SQLite.
//!
//! | | |
//! | --- | --- |
//! | [`event`] | what is synced: changes of todos |
//! | [`file`](mod@file) | opening a database file of a known kind, and no other |
//! | [`client`] | a client's file: its log, its todos, and what is pending |
//! | [`check`] | whether files agree, and each with itself |
//! | [`job`] | what is to be done, by whom and in what steps |
//! | [`node`] | one client at work |
//! | [`upstream`] | one file that orders everybody's events, shared by processes |

pub mod check;
pub mod client;
pub mod event;
pub mod file;
pub mod job;
pub mod node;
pub mod upstream;
