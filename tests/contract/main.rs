//! The contracts' laws: what the crate has keeps them, and each finds what breaks it.
#![cfg(not(loom))]

mod broken_codecs;
mod broken_connections;
mod broken_journals;
mod broken_logs;
mod broken_upstreams;
mod ours;

use std::collections::BTreeSet;

/// What has been broken is what the documentation lists, and what there is.
#[test]
fn each_law_is_broken_by_a_twin() {
    let broken = [
        broken_codecs::laws(),
        broken_connections::laws(),
        broken_journals::laws(),
        broken_logs::laws(),
        broken_upstreams::laws(),
    ];
    let broken: BTreeSet<_> = broken.concat().into_iter().collect();
    let page = include_str!("../../src/contract/mod.rs").replace('`', "");
    let rows = page.lines().filter_map(|line| line.strip_prefix("//! | ")?.split(" | ").next());
    let listed: BTreeSet<_> = rows.filter(|row| !row.starts_with("of a") && !row.starts_with("---")).collect();
    assert_eq!(broken, listed);
    let sources = [
        include_str!("../../src/contract/codec.rs"),
        include_str!("../../src/contract/cut.rs"),
        include_str!("../../src/contract/journal.rs"),
        include_str!("../../src/contract/log.rs"),
        include_str!("../../src/contract/threads.rs"),
        include_str!("../../src/contract/upstream.rs"),
    ];
    let judged =
        sources.iter().flat_map(|source| source.split("judge").skip(1).filter_map(|rest| rest.split('"').nth(1)));
    assert_eq!(judged.collect::<BTreeSet<_>>(), listed);
}
