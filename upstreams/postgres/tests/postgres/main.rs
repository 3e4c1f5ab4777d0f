//! A log in a PostgreSQL of its own, which the tests start and end.

#![cfg(unix)]

mod chaos;
mod common;
mod copies;
mod example;
mod fair;
mod logs;
mod outcomes;
mod sessions;
