//! Every answer that an upstream can give, at once and for ever, in every state: calls come no faster than the backoff
//! allows, and the party that is waited on is named rightly (I19, I1).
//!
//! The protocol is driven in a time of its own (`driver.rs`). So three seconds of an upstream that answers at once are a few
//! dozen steps, and all combinations of its answers, the settings, how it began and what the owner does are tried. The known
//! bugs that make it faster are looked for by `loom-tests/answers.rs`.
#![cfg(not(loom))]

mod driver;

use latchwork::protocol::Resend;

use driver::{Case, Owner, Pull, Push, Start, USUAL, check, ms};

fn check_all(cases: impl IntoIterator<Item = Case>, bound: [usize; 2]) {
    let (mut count, mut most, mut failures) = (0, [0; 2], Vec::new());
    for case in cases {
        count += 1;
        match check(case, bound) {
            Ok(calls) => most = [most[0].max(calls[0]), most[1].max(calls[1])],
            Err(failure) => failures.push(format!("{case:?}: {failure}")),
        }
    }
    println!("{count} cases: at most {} pushes and {} pulls in 3 s", most[0], most[1]);
    let few = failures.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {count} fail:\n{few}", failures.len());
}

/// All settings, for a case that says the rest.
fn settings(case: Case) -> impl Iterator<Item = Case> {
    let resends = [Resend::AfterCatchUp, Resend::Idempotent];
    let graces = [ms(0), ms(5), ms(250)];
    [true, false].into_iter().flat_map(move |live| {
        resends.into_iter().flat_map(move |resend| graces.map(|grace| Case { live, resend, grace, ..case }))
    })
}

/// The most pushes and pulls in the three seconds of a case.
const MOST: [usize; 2] = [20, 20];

/// One answer to all pushes, and one to all pulls.
fn one_answer() -> impl Iterator<Item = Case> {
    let answers = Push::ALL.into_iter().flat_map(|push| Pull::ALL.map(|pull| ([push; 2], [pull; 2])));
    let begun = answers.flat_map(|(pushes, pulls)| Start::ALL.map(|start| Case { pushes, pulls, start, ..USUAL }));
    begun.flat_map(|case| Owner::ALL.map(|owner| Case { owner, ..case })).flat_map(settings)
}

#[test]
fn an_answer_for_ever_is_asked_for_no_faster_than_the_backoff_allows() {
    check_all(one_answer(), MOST);
}

#[test]
fn two_answers_in_turn_are_asked_for_no_faster_than_the_backoff_allows() {
    let pairs = |of: usize| (0..of).flat_map(move |one| (0..of).map(move |other| (one, other)));
    let pushes = pairs(Push::ALL.len()).map(|(one, other)| [Push::ALL[one], Push::ALL[other]]);
    let cases = pushes.flat_map(|pushes| {
        pairs(Pull::ALL.len()).flat_map(move |(one, other)| {
            let pulls = [Pull::ALL[one], Pull::ALL[other]];
            [true, false].map(|live| Case { pushes, pulls, live, ..USUAL })
        })
    });
    // A pull has a backoff of its own, and is begun anew for a push.
    check_all(cases, [20, 25]);
}
