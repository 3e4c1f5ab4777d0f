//! The guide: chapters to read, without code but for examples, each of which is a test.
//!
//! | chapter | answers |
//! | --- | --- |
//! | [`choose`] | Which part fits which wait? |
//! | [`log`] | How do I write a log of my own? |
//! | [`upstream`] | How do I connect a backend, and what becomes of its errors? |
//! | [`engines`] | Which database, broker or store may order the events, and what is there for it? |
//! | [`decide`] | What must the owner decide, and how is it done? |
//! | [`crash`] | What survives a crash, and what does not? |
//! | [`threads`] | How do threads use the parts, and how do they end? |
//! | [`tasks`] | How do tasks use them, under any executor? |
//! | [`leader`] | How do sessions have a leader, and what do they see of it? |
//! | [`model`] | How do I model-check my own code, with the crate under it? |
//! | [`proved`] | What is shown about this crate, at which sizes, and what is not? |
//! | [`by_hand`] | I have a loop of a mutex and a condition variable. What does it get wrong? |
//! | [`glossary`] | What do the words mean, and what does the field call the same things? |

pub mod by_hand;
pub mod choose;
pub mod crash;
pub mod decide;
pub mod engines;
pub mod glossary;
pub mod leader;
pub mod log;
pub mod model;
pub mod proved;
pub mod tasks;
pub mod threads;
pub mod upstream;
