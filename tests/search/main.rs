//! A search.
#![cfg(not(loom))]

mod calls;
mod client;
mod faults;
mod graph;
mod known_bugs;
mod laws;
mod model;
mod runner;

use model::Config;

const BASE: Config = Config {
    name: "",
    events: &[1, 1],
    budget: 1,
    faults: faults::ALL,
    live: true,
    rebasing: false,
    batch: 2,
    page: 1,
    tells_head: true,
    takes_anything: false,
    laws: &[],
};

#[test]
fn trial() {
    for live in [true, false] {
        for rebasing in [false, true] {
            for (name, events, budget) in [
                ("1x1 b1", &[1][..], 1),
                ("1x2 b2", &[2], 2),
                ("2x1 b0", &[1, 1], 0),
                ("2x1 b1", &[1, 1], 1),
                ("2,1 b1", &[2, 1], 1),
                ("1x3 b3", &[3], 3),
            ] {
                runner::hold(Config { name, events, budget, live, rebasing, ..BASE });
            }
        }
    }
}

