//! What users of other sync engines have reported, tried on this one, with threads, with tasks, and with a journal that
//! takes its time: each test with the reports
//! it comes from.
//!
//! A test asserts what a user would expect, through the public interface. Those about how often upstream is called look for
//! some seconds, at delays from 10 ms to 2 s. (Every answer for ever, in a time of its own: `tests/answers`.)
#![cfg(not(loom))]
#![allow(clippy::duplicate_mod, reason = "the cases are there once, and run on both drivers")]

#[path = "../replicator/slow.rs"]
mod slow;
mod tasks;
mod threads;
mod threads_with_a_journal;
