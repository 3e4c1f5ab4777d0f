//! A small sync engine for todo lists on `latchwork` and SQLite.
//!
//! | | |
//! | --- | --- |
//! | [`event`] | what is synced: changes of todos |
//! | [`file`](mod@file) | opening a database file of a known kind, and no other |
//! | [`upstream`] | one file that orders everybody's events, shared by processes |

pub mod event;
pub mod file;
pub mod upstream;
