//! Logs, against a plain vector.
//!
//! A case is a log and what happens to it: commits, numbers from a while ago, pages with own events, foreign ones or both,
//! and each of these twisted: with an entry missing, doubled, in another order, or under another number. After every step
//! all that can be seen of the log must be what the [`model`] says, and so must be what the step returned. What is refused
//! must have changed nothing.
//!
//! Logs begin near 0, or near the end of one of the ranges that their numbers have.

pub mod broken;
mod model;
mod subject;

use std::num::NonZeroUsize;

use latchwork::log::{MemoryLog, Merged};
use latchwork::sync_state::{LocalOnly, SeqNum, SyncState};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use self::model::{Item, Kind, Merging, Model, Numbered, Stands, Verdict, Why, chain};
use self::subject::Subject;
use crate::harness::{Fuzzer, Seen};

#[derive(Clone, Debug)]
pub struct Case {
    kind: Kind,
    start: Start,
    steps: Vec<Step>,
}

/// The number after which a log begins: so many after the first, or before the last.
#[derive(Clone, Copy, Debug)]
enum Start {
    Low(u8),
    /// Near the last `global`.
    High(u8),
    /// Near the last `client`: of upstream's head where local-only events are shared, else of what has settled behind it.
    Client(u8),
    /// Near the last `generation`.
    Generation(u8),
}

#[derive(Clone, Debug)]
enum Step {
    /// Events are committed; `true` for a local-only one.
    Commit(Vec<bool>),
    /// They are numbered, and admitted.
    Admit(Vec<bool>, Twist),
    /// What was numbered a while ago is admitted.
    AdmitLate(Twist),
    Page(Vec<Piece>, Twist),
    /// The last page, or the same with what would follow.
    Again {
        more: bool,
    },
    /// A batch is taken to upstream. It gets the answer unless something is merged before.
    Send(u8),
    Accepted,
    /// The log is written down and read back.
    Restart,
}

/// What upstream has ordered next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// The next of the log's own.
    Own,
    Foreign {
        local_only: bool,
    },
}

/// What has gone wrong on the way. Indices are taken modulo the number of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Twist {
    Not,
    Lose(u8),
    Double(u8),
    Swap(u8, u8),
    /// Another number.
    Global(u8, i8),
    Client(u8, i8),
    Generation(u8, i8),
    Parent(u8, i8),
    /// Another event under the same number.
    Event(u8),
}

fn kinds() -> impl Strategy<Value = Kind> {
    let states = [LocalOnly::Kept, LocalOnly::Passed, LocalOnly::Shared].map(Kind::State);
    proptest::sample::select(vec![Kind::Commuting, Kind::Rebasing, states[0], states[1], states[2]])
}

fn starts() -> impl Strategy<Value = Start> {
    prop_oneof![
        6 => (0..4_u8).prop_map(Start::Low),
        2 => (0..12_u8).prop_map(Start::High),
        1 => (0..6_u8).prop_map(Start::Client),
        1 => (0..4_u8).prop_map(Start::Generation),
    ]
}

fn twists() -> impl Strategy<Value = Twist> {
    let delta = || prop_oneof![-3..=3_i8, Just(i8::MIN), Just(i8::MAX)];
    prop_oneof![
        16 => Just(Twist::Not),
        2 => any::<u8>().prop_map(Twist::Lose),
        1 => any::<u8>().prop_map(Twist::Double),
        1 => any::<(u8, u8)>().prop_map(|(one, other)| Twist::Swap(one, other)),
        1 => (any::<u8>(), delta()).prop_map(|(at, delta)| Twist::Global(at, delta)),
        1 => (any::<u8>(), delta()).prop_map(|(at, delta)| Twist::Client(at, delta)),
        1 => (any::<u8>(), delta()).prop_map(|(at, delta)| Twist::Generation(at, delta)),
        1 => (any::<u8>(), delta()).prop_map(|(at, delta)| Twist::Parent(at, delta)),
        1 => any::<u8>().prop_map(Twist::Event),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let local_only = || prop_oneof![2 => Just(false), 1 => Just(true)];
    let events = || vec(local_only(), 0..5);
    let piece =
        prop_oneof![3 => Just(Piece::Own), 2 => local_only().prop_map(|local_only| Piece::Foreign { local_only })];
    prop_oneof![
        6 => events().prop_map(Step::Commit),
        4 => (events(), twists()).prop_map(|(events, twist)| Step::Admit(events, twist)),
        1 => twists().prop_map(Step::AdmitLate),
        8 => (vec(piece, 0..6), twists()).prop_map(|(pieces, twist)| Step::Page(pieces, twist)),
        1 => any::<bool>().prop_map(|more| Step::Again { more }),
        3 => (1..5_u8).prop_map(Step::Send),
        3 => Just(Step::Accepted),
        1 => Just(Step::Restart),
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    (kinds(), starts(), vec(steps(), 1..40)).prop_map(|(kind, start, steps)| Case { kind, start, steps })
}

impl Twist {
    /// Applies it. Returns whether what is wrong, if anything, shows in the order of the numbers.
    fn apply(self, entries: &mut Vec<Numbered>, kind: Kind) -> bool {
        let len = entries.len();
        let memory = matches!(self, Self::Client(..) | Self::Generation(..) | Self::Parent(..)) && kind.is_memory();
        if len == 0 || memory {
            return true;
        }
        let at = |index: u8| usize::from(index) % len;
        let shift = |number: u64, delta: i8, max: u64| number.wrapping_add_signed(delta.into()) & max;
        match self {
            Self::Not => {}
            Self::Lose(index) => {
                let lost = entries.remove(at(index));
                // A sent event follows the sent one before, whatever local-only events were in between.
                return !lost.item.local_only || at(index) == entries.len();
            }
            Self::Double(index) => entries.insert(at(index), entries[at(index)]),
            Self::Swap(one, other) => entries.swap(at(one), at(other)),
            Self::Global(index, delta) => {
                let seq = &mut entries[at(index)].seq;
                seq.global = shift(seq.global, delta, u64::MAX);
            }
            Self::Client(index, delta) => {
                let seq = &mut entries[at(index)].seq;
                seq.client = shift(seq.client.into(), delta, u32::MAX.into()) as u32;
            }
            Self::Generation(index, delta) => {
                let seq = &mut entries[at(index)].seq;
                seq.generation = shift(seq.generation.into(), delta, u32::MAX.into()) as u32;
                return delta == 0;
            }
            Self::Parent(index, delta) => {
                let parent = &mut entries[at(index)].parent;
                parent.global = shift(parent.global, delta, u64::MAX);
                return delta == 0;
            }
            Self::Event(index) => entries[at(index)].item.id |= 1 << 31,
        }
        true
    }
}

struct World<'a, L: Subject> {
    log: L,
    model: Model,
    seen: &'a Seen,
    next_id: u32,
    /// Numbered a while ago, in this order.
    numbered: Vec<Vec<Numbered>>,
    last_page: Vec<Numbered>,
    /// A batch on its way, if nothing has been merged since.
    sent: Option<Vec<Numbered>>,
}

fn run<L: Subject>(case: &Case, seen: &Seen, make: impl FnOnce(&Model) -> L) -> TestCaseResult {
    let (mut upstream_head, mut settled) = (SeqNum::ROOT, SeqNum::ROOT);
    match case.start {
        Start::Low(global) => upstream_head.global = global.into(),
        Start::High(left) => upstream_head.global = u64::MAX - u64::from(left),
        Start::Client(left) if case.kind.is_shared() => upstream_head.client = u32::MAX - u32::from(left),
        Start::Client(left) if !case.kind.is_memory() => settled.client = u32::MAX - u32::from(left),
        Start::Generation(left) if !case.kind.is_memory() => upstream_head.generation = u32::MAX - u32::from(left),
        Start::Client(_) | Start::Generation(_) => {}
    }
    settled = SeqNum { client: settled.client.max(upstream_head.client), ..upstream_head };
    let model = Model { kind: case.kind, upstream_head, settled, pending: Vec::new() };
    let log = make(&model);
    let (numbered, last_page) = (Vec::new(), Vec::new());
    let mut world = World { log, model, seen, next_id: 1, numbered, last_page, sent: None };
    world.compare()?;
    for step in &case.steps {
        world.step(step)?;
        world.compare()?;
    }
    Ok(())
}

pub fn run_shipped(case: &Case, seen: &Seen) -> TestCaseResult {
    seen.count(case.kind.name());
    if case.kind.is_memory() {
        run::<MemoryLog<Item>>(case, seen, Subject::make)
    } else {
        run::<SyncState<Item>>(case, seen, Subject::make)
    }
}

impl<L: Subject> World<'_, L> {
    fn items(&mut self, kinds: &[bool]) -> Vec<Item> {
        let new = |&local_only: &bool| {
            self.next_id += 1;
            Item { id: self.next_id, local_only: local_only && !self.model.kind.is_memory() }
        };
        kinds.iter().map(new).collect()
    }

    /// All that can be seen of it.
    fn compare(&self) -> TestCaseResult {
        let stands = self.model.stands();
        prop_assert_eq!(&self.log.stands(), &stands);
        for max in 1..=stands.batch.len() + 1 {
            let batch = self.log.batch(NonZeroUsize::new(max).expect("from 1 on"));
            let batch: Vec<_> = batch.iter().map(L::show).collect();
            prop_assert_eq!(&batch, &stands.batch[..max.min(stands.batch.len())], "a batch of {}", max);
        }
        for entry in &stands.pending {
            let expected = entry.item.local_only && !self.model.kind.is_shared();
            prop_assert_eq!(self.log.is_local_only(&L::entry(*entry)), expected, "{:?}", entry);
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> TestCaseResult {
        match step {
            Step::Commit(kinds) => self.commit(kinds),
            Step::Admit(kinds, twist) => {
                let items = self.items(kinds);
                let Some(mut entries) = self.number(&items)? else { return Ok(()) };
                if !entries.is_empty() {
                    self.numbered.push(entries.clone());
                }
                twist.apply(&mut entries, self.model.kind);
                self.admit(&entries)
            }
            Step::AdmitLate(twist) => {
                if self.numbered.is_empty() {
                    return Ok(());
                }
                let mut entries = self.numbered.remove(0);
                twist.apply(&mut entries, self.model.kind);
                self.admit(&entries)
            }
            Step::Page(pieces, twist) => {
                let Some(mut page) = self.page(pieces) else { return Ok(()) };
                let plain = twist.apply(&mut page, self.model.kind);
                self.merge(page, plain)
            }
            Step::Again { more } => {
                let mut page = self.last_page.clone();
                if *more {
                    page.extend(self.page(&[Piece::Own, Piece::Foreign { local_only: false }]).unwrap_or_default());
                }
                self.merge(page, true)
            }
            Step::Send(max) => {
                let batch = self.log.batch(NonZeroUsize::new((*max).into()).expect("from 1 on"));
                self.sent = Some(batch.iter().map(L::show).collect()).filter(|batch: &Vec<_>| !batch.is_empty());
                Ok(())
            }
            Step::Accepted => self.accepted(),
            Step::Restart => {
                self.log = self.log.again();
                self.seen.count("restart");
                self.seen.tell(|| "it is written down and read back".into());
                Ok(())
            }
        }
    }

    /// The events as both number them.
    fn number(&self, items: &[Item]) -> Result<Option<Vec<Numbered>>, TestCaseError> {
        let numbered = self.log.number(items.iter().map(|item| L::event(*item)).collect());
        let numbered = numbered.map(|entries| entries.iter().map(L::show).collect::<Vec<_>>());
        let expected = self.model.number(items);
        self.seen.tell(|| format!("numbers {items:?}: {numbered:?}"));
        match (numbered, expected) {
            (Ok(numbered), Some(expected)) => {
                prop_assert_eq!(&numbered, &expected);
                Ok(Some(numbered))
            }
            (Err(_), None) => {
                self.seen.count("no numbers left");
                Ok(None)
            }
            // Whether the very last number may be used.
            (Err(_), Some(entries)) if self.is_last(&entries) => Ok(None),
            (numbered, expected) => {
                Err(TestCaseError::fail(format!("{items:?} are numbered {numbered:?}, expected {expected:?}")))
            }
        }
    }

    fn is_last(&self, entries: &[Numbered]) -> bool {
        let head = entries.last().map_or(self.model.head(), |last| last.seq);
        self.model.kind.is_memory() && head.global == u64::MAX
    }

    fn commit(&mut self, kinds: &[bool]) -> TestCaseResult {
        let items = self.items(kinds);
        let before = self.log.stands();
        let appended = self.log.append(items.iter().map(|item| L::event(*item)).collect());
        self.seen.tell(|| format!("commits {items:?}: {appended:?}"));
        match (self.model.number(&items), appended) {
            (None, Err(_)) => {
                self.seen.count("no numbers left");
                prop_assert_eq!(self.log.stands(), before, "what is refused changes nothing");
            }
            (Some(entries), Err(error)) => {
                prop_assert!(self.is_last(&entries), "{:?} is refused: {}", items, error);
                prop_assert_eq!(self.log.stands(), before, "what is refused changes nothing");
            }
            (Some(entries), Ok(count)) => {
                prop_assert_eq!(count, self.model.push(&entries), "how many are to be sent");
                if items.iter().any(|item| item.local_only) {
                    self.seen.count("local-only commit");
                }
            }
            (None, Ok(_)) => return Err(TestCaseError::fail("there is no number left, and it was appended")),
        }
        Ok(())
    }

    fn admit(&mut self, entries: &[Numbered]) -> TestCaseResult {
        let before = self.log.stands();
        let in_this = self.model.in_this_generation(entries);
        let verdict = self.model.push_verdict(&in_this);
        let admitted = self.log.admit(entries.iter().map(|entry| L::entry(*entry)).collect());
        self.seen.tell(|| format!("admits {entries:?}: {admitted:?}"));
        match (verdict, admitted) {
            (Verdict::Taken, Ok(count)) => {
                prop_assert_eq!(count, self.model.push(&in_this), "how many are to be sent");
            }
            (Verdict::Refused(why), Err(_)) => {
                self.seen.count(match why {
                    Why::Stale => "stale commit refused",
                    Why::Gap | Why::Chain | Why::Exhausted => "gap in a commit refused",
                });
                prop_assert_eq!(self.log.stands(), before, "what is refused changes nothing");
            }
            (Verdict::Either, Err(_)) => prop_assert_eq!(self.log.stands(), before, "what is refused changes nothing"),
            (Verdict::Either, Ok(_)) => {
                let now = self.log.stands();
                prop_assert!(now.pending.starts_with(&before.pending), "{:?} became {:?}", before, now);
                self.model.again(&now);
            }
            (verdict, admitted) => {
                return Err(TestCaseError::fail(format!("{entries:?} should be {verdict:?}, got {admitted:?}")));
            }
        }
        Ok(())
    }

    /// What upstream might have ordered next; `None` if it has no numbers left.
    fn page(&mut self, pieces: &[Piece]) -> Option<Vec<Numbered>> {
        let mut own = self.model.to_send().into_iter();
        let mut page: Vec<Numbered> = Vec::new();
        for piece in pieces {
            let foreign = page.iter().any(|entry| !self.model.pending.contains(entry));
            let item = match piece {
                // Behind another client's it has another number, which to a memory log alone does not matter.
                Piece::Own if self.model.kind.is_memory() => own.next().map(|next| next.item),
                Piece::Own if !foreign => {
                    page.extend(own.next());
                    continue;
                }
                Piece::Own => None,
                Piece::Foreign { local_only } => {
                    let local_only = *local_only && self.model.kind.is_shared();
                    Some(self.items(&[local_only])[0])
                }
            };
            let head = page.last().map_or(self.model.upstream_head, |last| last.seq);
            if let Some(item) = item {
                page.extend(chain(head, head.generation, &[item])?);
            }
        }
        Some(page)
    }

    fn merge(&mut self, page: Vec<Numbered>, plain: bool) -> TestCaseResult {
        let (before, verdict) = (self.log.stands(), self.model.page_verdict(&page, plain));
        let merged = self.log.merge(page.iter().map(|entry| L::entry(*entry)).collect());
        self.seen.tell(|| format!("merges {page:?}: {}", said::<L>(&merged)));
        match (verdict, merged) {
            (Verdict::Taken, Ok(merged)) => self.took(&page, &merged)?,
            (Verdict::Refused(why), Err(_)) => {
                self.seen.count(match why {
                    Why::Stale => "stale page refused",
                    Why::Gap | Why::Chain => "gap in a page refused",
                    Why::Exhausted => "page without numbers left refused",
                });
                prop_assert_eq!(self.log.stands(), before, "what is refused changes nothing");
                return Ok(());
            }
            (Verdict::Either, Err(_)) => {
                prop_assert_eq!(self.log.stands(), before, "what is refused changes nothing");
                return Ok(());
            }
            (Verdict::Either, Ok(merged)) => self.took_anyhow(&page, &before, &merged)?,
            (verdict, merged) => {
                let merged = said::<L>(&merged);
                return Err(TestCaseError::fail(format!("{page:?} should be {verdict:?}, got {merged}")));
            }
        }
        self.last_page = page;
        Ok(())
    }

    /// A page that follows was merged.
    fn took(&mut self, page: &[Numbered], merged: &Merged<L::Entry>) -> TestCaseResult {
        let settled = self.model.pending.clone();
        let expected = self.model.merge(page).expect("it was tried");
        self.sent = self.sent.take().filter(|_| page.is_empty());
        prop_assert_eq!(&shown::<L>(merged), &expected);
        prop_assert!(merged.dropped().is_empty(), "these logs give up nothing");
        for entry in &expected.confirmed {
            prop_assert!(settled.iter().any(|own| own.item == entry.item), "{:?} was not pending", entry);
        }
        self.seen.count(if merged.is_rebase() { "rebase" } else { "advance" });
        if !expected.confirmed.is_empty() {
            self.seen.count("confirm");
            if !expected.new.is_empty() {
                self.seen.count("own and foreign in one page");
            }
            if expected.confirmed.iter().any(|entry| entry.item.local_only) && !self.model.kind.is_shared() {
                self.seen.count("local-only settled");
            }
        }
        if expected.moved.is_some_and(|moved| moved > 1) {
            self.seen.count("several moved");
        }
        Ok(())
    }

    /// A page was merged of which the documentation does not say what is to be made of it: it must not lose anything.
    fn took_anyhow(&mut self, page: &[Numbered], before: &Stands, merged: &Merged<L::Entry>) -> TestCaseResult {
        let (now, Merging { new, confirmed, moved }) = (self.log.stands(), shown::<L>(merged));
        let ids = |entries: &[Numbered]| entries.iter().map(|entry| entry.item.id).collect::<Vec<_>>();
        let left = now.pending.len();
        prop_assert_eq!([ids(&confirmed), ids(&now.pending)].concat(), ids(&before.pending), "what was pending");
        prop_assert!(moved.is_none_or(|moved| moved <= left), "{:?} of {} moved", moved, left);
        prop_assert!(new.iter().all(|entry| page.contains(entry)), "{:?} is new", new);
        prop_assert!(now.upstream_head.position() >= before.upstream_head.position());
        self.sent = None;
        self.model.again(&now);
        Ok(())
    }

    /// Upstream has taken the batch, and says so.
    fn accepted(&mut self) -> TestCaseResult {
        let Some(batch) = self.sent.take() else { return Ok(()) };
        let confirmed = self.log.confirm(batch.iter().map(|entry| L::entry(*entry)).collect());
        self.seen.tell(|| format!("confirms {batch:?}: {}", said::<L>(&confirmed)));
        let Ok(confirmed) = confirmed else {
            return Err(TestCaseError::fail(format!("its own batch {batch:?} is refused: {}", said::<L>(&confirmed))));
        };
        self.seen.count("confirmed batch");
        self.took(&batch, &confirmed)?;
        self.last_page = batch;
        Ok(())
    }
}

fn shown<L: Subject>(merged: &Merged<L::Entry>) -> Merging {
    let (new, moved) = match merged {
        Merged::Advance { new, .. } => (new, None),
        Merged::Rebase { new, moved, .. } => (new, Some(*moved)),
    };
    let show = |entries: &[L::Entry]| entries.iter().map(L::show).collect();
    Merging { new: show(new), confirmed: show(merged.confirmed()), moved }
}

fn said<L: Subject>(merged: &Result<Merged<L::Entry>, L::Error>) -> String {
    match merged {
        Ok(merged) => format!("{:?}", shown::<L>(merged)),
        Err(error) => format!("refused: {error}"),
    }
}

const REACHES: &[(&str, u64)] = &[
    ("commuting MemoryLog", 10),
    ("rebasing MemoryLog", 10),
    ("SyncState, local-only kept", 10),
    ("SyncState, local-only passed", 10),
    ("SyncState, local-only shared", 10),
    ("advance", 2),
    ("rebase", 4),
    ("confirm", 4),
    ("confirmed batch", 4),
    ("own and foreign in one page", 4),
    ("several moved", 10),
    ("local-only commit", 2),
    ("local-only settled", 10),
    ("stale page refused", 10),
    ("stale commit refused", 10),
    ("gap in a page refused", 10),
    ("gap in a commit refused", 10),
    ("no numbers left", 20),
    ("page without numbers left refused", 100),
    ("restart", 2),
];

pub fn fuzzer(name: &'static str) -> Fuzzer<impl Strategy<Value = Case>> {
    Fuzzer { name, cases: cases(), per_second: 100, reaches: REACHES, attempts: 1 }
}
