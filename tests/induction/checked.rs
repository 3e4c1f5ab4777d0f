//! That the checks can fail.

use latchwork::protocol::{Delay, Direction, Push, WaitingOn};

use super::contained;
use super::environments::{FAILURES, LIVE, OWNER, REQUEST};
use super::graph::Label;
use super::properties::Property;
use super::search::{Asked, Seen};
use super::state::{Config, State};
use super::steps::Kind::{self, *};
use super::verdict::alone;

/// Steps of one party, where they are missed, and whether it is the party that the property names
/// then.
type Taken = (Config, &'static [Kind], fn(&WaitingOn) -> bool);

#[rustfmt::skip]
const TAKEN: &[Taken] = &[
    (LIVE, &[Send], |party| matches!(party, WaitingOn::Pusher)),
    (LIVE, &[BeginPull], |party| matches!(party, WaitingOn::Puller)),
    (LIVE, &[PushTime], |party| matches!(party, WaitingOn::Clock(_) | WaitingOn::Connectivity(_))),
    (REQUEST, &[PullTime], |party| matches!(party, WaitingOn::Clock(_) | WaitingOn::Connectivity(_))),
    (LIVE, &[Take, Accept, Reject, PushReturns], |party| matches!(party, WaitingOn::Upstream(Direction::Push))),
    (LIVE, &[News, CaughtUp, PullEnds], |party| matches!(party, WaitingOn::Upstream(Direction::Pull))),
    (LIVE.with(OWNER), &[Resume], |party| matches!(party, WaitingOn::Gate(_))),
    (LIVE.with(FAILURES), &[Restart], |party| matches!(party, WaitingOn::Owner(_))),
];

#[test]
fn waiting_on_names_the_party_whose_steps_are_taken_away() {
    let _alone = alone();
    for (config, kinds, is_party) in TAKEN {
        let seen = Seen::of(config.without(kinds), Asked { property: Some(Property::CanMove), ..Asked::ALL });
        let &(_, state, step) =
            seen.breaches.iter().find(|(property, ..)| *property == Property::CanMove).expect("the party has no step");
        assert_eq!(step, None, "it is a property of states");
        let protocol = seen.state(state).protocol;
        let named = [protocol.waiting_on(), protocol.pull_waiting_on()];
        assert!(named.iter().any(is_party), "without {kinds:?} it named {named:?}");
    }
}

#[test]
fn forget_overtaken_makes_no_difference_until_a_push_is_delayed() {
    let _alone = alone();
    let delayed = |state: &State| matches!(state.protocol.push(), Push::Waiting { reason: Delay::Overtaken, .. });
    let forgotten = |mut state: State| {
        state.protocol.forget_overtaken();
        state.fingerprint()
    };
    let seen = Seen::of(SMALL, Asked::ALL);
    let mut counts = 0;
    for number in (0..seen.graph.states()).step_by(50) {
        let counted = seen.state(u32::try_from(number).expect("few states"));
        let mut without = counted.clone();
        without.protocol.forget_overtaken();
        counts += usize::from(counted.fingerprint() != without.fingerprint());
        let steps = counted.steps(&SMALL).all;
        assert_eq!(steps, without.steps(&SMALL).all);
        for (_, step) in steps {
            let [one, other] = [&counted, &without].map(|state| state.take(step, &SMALL).state);
            if delayed(&counted) == delayed(&one) {
                assert_eq!(forgotten(one), forgotten(other), "{step:?} of {counted:?}");
            }
        }
    }
    assert!(counts > 0, "some are counted");
}

/// A small one.
const SMALL: Config = Config { batch: 1, ..REQUEST };

#[test]
fn a_forged_step_is_noticed_by_the_twins() {
    let _alone = alone();
    let asked = Asked { twins: 1, ..Asked::ALL };
    let mut seen = Seen::of(SMALL, asked);
    assert_eq!(seen.unlike, None);
    assert!(seen.twins > seen.graph.states(), "every state has a twin, one with another");
    // A step of some state leads elsewhere.
    let (state, twin) = seen.a_twin.take().expect("there was one");
    seen.graph.forge(state, 0, Label::new_for(0));
    seen.compare(vec![(state, twin)]);
    assert!(seen.unlike.is_some(), "the forged step has gone unnoticed");
}

#[test]
fn a_forged_step_is_noticed_by_the_ranks() {
    let _alone = alone();
    let mut seen = Seen::of(SMALL, Asked::ALL);
    let ranks = seen.graph.ranks().expect("there is no circle");
    let (last, _) = (0..).zip(&ranks).max_by_key(|(_, rank)| **rank).expect("there are states");
    // From the end of a longest way back to its beginning.
    let mut at = last;
    while let Some(&(to, _)) =
        seen.graph.steps(at).iter().find(|(to, label)| label.is_idle() && ranks[*to as usize] + 1 == ranks[at as usize])
    {
        at = to;
    }
    assert_ne!(at, last);
    seen.graph.forge(at, last, Label::new_for(0));
    assert!(seen.graph.ranks().is_err(), "the forged step has gone unnoticed");
    let broken = seen.judge().1;
    assert!(broken.iter().any(|(property, _)| *property == Property::Ends), "{broken:?}");
}

#[test]
fn without_a_kind_of_fault_concrete_states_go_missing() {
    let _alone = alone();
    let form: Option<fn(&State) -> u64> = Some(contained::fingerprint);
    let look = |config| contained::SMALL.look(&Seen::of(config, Asked { form, ..Asked::ALL }));
    assert_eq!(look(SMALL).err(), None);
    for kind in [PushBusy, PushLost, LateTake, PullUnavailable, PullBusy] {
        assert!(look(SMALL.without(&[kind])).is_err(), "{kind:?} is not missed");
    }
}
