//! A journal on real files: what it keeps, what it refuses, and what a kill leaves.

mod common;
mod contract;
mod files;
mod killed;
mod writes;
