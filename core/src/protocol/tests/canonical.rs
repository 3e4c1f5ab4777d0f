//! What two protocols have in common that will do the same.

use super::{behind, last_page, live, ms, on_request};

#[test]
fn how_much_has_happened_before_is_no_part_of_the_canonical_form() {
    let longer = |protocol: super::Core| protocol.then(|it| it.retry_now()).then(|it| it.pull_nothing(ms(0)));
    let (once, twice) = (on_request([10]), longer(on_request([10])));
    assert_ne!((once.epoch(), once.counters().pulls), (twice.epoch(), twice.counters().pulls));
    assert_eq!(once.canonical(), twice.canonical());
    let (once, twice) = (once.then(|it| it.send(ms(0))), twice.then(|it| it.send(ms(0))));
    assert_eq!(once.canonical(), twice.canonical());
    let rejected = |protocol: super::Core| protocol.then(|it| it.push_once(behind(None), ms(0)));
    let (once, twice) = (rejected(on_request([10])), rejected(longer(on_request([10]))));
    assert_eq!(once.canonical(), twice.canonical());
}

#[test]
fn an_owed_catch_up_is_part_of_the_canonical_form() {
    let (owed, none) = (on_request([]).then(|it| it.retry_now()), on_request([]));
    assert_ne!(owed.canonical(), none.canonical());
    let paid = owed.then(|it| it.pull_nothing(ms(0)));
    assert_eq!(paid.canonical(), none.canonical());
}

#[test]
fn whether_anything_happened_since_a_push_was_sent_is_part_of_the_canonical_form() {
    // An event arrives before the push is sent, or after it.
    let [before, after] = [true, false].map(|before| {
        let mut protocol = live([10]);
        let pull = protocol.begin_pull(ms(0));
        let protocol = if before { protocol } else { protocol.then(|it| it.send(ms(0))) };
        let protocol = protocol.then(|it| it.receive(pull, last_page(0, &[1]), ms(0)));
        if before { protocol.then(|it| it.send(ms(0))) } else { protocol }
    });
    assert_eq!(before.pull(), after.pull());
    assert_eq!(before.log(), after.log());
    assert_ne!(before.canonical(), after.canonical());
}
