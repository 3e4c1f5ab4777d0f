//! The upstream on real servers, which the tests start: see the member `servers`.

mod answers;
mod chaos;
mod common;
mod contract;
mod deposed;
mod example;
mod fair;
mod forms;
mod lagging;
mod outcomes;
