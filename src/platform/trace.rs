//! What an execution of a model did, in the words of the crate: to understand one that failed.
//!
//! A model that fails can be run once more, exactly as it failed, with a **record**: each thread
//! has a column, and what it says stands in the order in which it happened. The crate tells what it
//! has done or found right where it took effect (`probe!`), the facade says who parks and who wakes
//! whom, and the model may say something itself ([`say`], [`waits`]).
//!
//! A record is no step of a model: it is kept in a variable of the real thread that loom runs all
//! threads of a model on, and is looked at only to be printed. Where none is kept, a word is one
//! look at a flag, and is not put together. In a normal build there are no words.

mod show;
pub(crate) mod words;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt::{self, Display};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread::{Thread, ThreadId};

std::thread_local! {
    static KEPT: Cell<bool> = const { Cell::new(false) };
    static RECORD: RefCell<Option<Trace>> = const { RefCell::new(None) };
}

/// Runs a model's `scenario` and keeps a record of this execution: to be called where the model
/// begins.
pub fn record(scenario: impl FnOnce()) {
    RECORD.set(Some(Trace::default()));
    KEPT.set(true);
    within(scenario);
}

/// The record of the latest execution that was [recorded](record) on this real thread: to be called
/// where `check` has panicked, with the panic's message.
#[must_use]
pub fn recorded(failure: Option<&str>) -> Option<Trace> {
    KEPT.set(false);
    let mut trace = RECORD.take()?;
    trace.end = failure.map_or(End::Passed, End::of);
    if let (End::Failed(_), Some(column)) = (&trace.end, trace.failed) {
        trace.row(column, "fails".into());
    }
    trace.spell_out();
    Some(trace)
}

/// More than an execution takes. loom's own limit, 1,000, is soon reached by a model that does
/// something.
const MAX_STEPS: usize = 10_000;

/// Of loom's: each makes it search less, or not from the beginning.
const WEAKENING: &[&str] = &[
    "LOOM_MAX_PREEMPTIONS",
    "LOOM_MAX_BRANCHES",
    "LOOM_MAX_DURATION",
    "LOOM_MAX_PERMUTATIONS",
    "LOOM_CHECKPOINT_FILE",
];

/// A search that nothing ends early: without any limit but the number of preemptions, if there is
/// one.
///
/// # Panics
///
/// If an environment variable is set by which loom would search less.
#[must_use]
pub fn builder(preemptions: Option<usize>) -> loom::model::Builder {
    for name in WEAKENING {
        assert!(
            std::env::var_os(name).is_none(),
            "{name} is set, which changes how far models search: unset it, a model states its own bound"
        );
    }
    let mut builder = loom::model::Builder::new();
    builder.max_branches = MAX_STEPS;
    builder.max_duration = None;
    builder.max_permutations = None;
    builder.preemption_bound = preemptions;
    builder
}

pub(crate) fn check(preemptions: Option<usize>, scenario: impl Fn() + Send + Sync + 'static) {
    let model = builder(preemptions);
    let (scenario, begun) = (Arc::new(scenario), Arc::new(AtomicUsize::new(0)));
    let search = |with_record: usize| {
        begun.store(0, Ordering::Relaxed);
        let (scenario, begun) = (Arc::clone(&scenario), Arc::clone(&begun));
        let execution = move || {
            if begun.fetch_add(1, Ordering::Relaxed) + 1 == with_record { record(&*scenario) } else { scenario() }
        };
        catch_unwind(AssertUnwindSafe(|| model.check(execution)))
    };
    let Err(failure) = search(0) else {
        assert!(
            begun.load(Ordering::Relaxed) > 1,
            "there was nothing to explore: is there a second thread, and is what it shares latchwork's or loom's?"
        );
        return;
    };
    let again = search(begun.load(Ordering::Relaxed));
    match again.map_err(|failure| recorded(Some(&message(&*failure)))) {
        Err(Some(trace)) => eprintln!("\n{trace}"),
        _ => eprintln!("the same search did not fail where it had failed: the model is not deterministic"),
    }
    resume_unwind(failure);
}

fn message(failure: &(dyn Any + Send)) -> String {
    failure
        .downcast_ref::<String>()
        .cloned()
        .or(failure.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or("a panic without a message".into())
}

/// What the calling thread has done.
pub(crate) fn say(words: impl Display) {
    if kept() {
        let words = words.to_string();
        on(|trace, column| trace.row(column, words));
    }
}

/// What the calling thread is about to wait for. Whatever it says next, it waits no longer.
pub(crate) fn waits(reason: impl Display) {
    if kept() {
        let reason = reason.to_string();
        on(|trace, column| {
            trace.row(column, format!("waits: {reason}"));
            trace.columns[column].place = Place::Waits { row: trace.rows.len(), reason };
        });
    }
}

/// Runs all that the calling thread does: its column says when it has ended, or that it has failed.
pub(crate) fn within<T>(steps: impl FnOnce() -> T) -> T {
    /// The column that is left when this is dropped.
    struct Leaves(Option<usize>);

    impl Drop for Leaves {
        fn drop(&mut self) {
            let Some(column) = self.0 else { return };
            RECORD.with_borrow_mut(|trace| {
                let Some(trace) = trace else { return };
                if std::thread::panicking() {
                    // The others, whose steps are not taken any more, are unwound after the one that has failed.
                    trace.failed.get_or_insert(column);
                } else {
                    trace.columns[column].place = Place::Ended;
                }
            });
        }
    }

    let mut leaves = Leaves(None);
    on(|_, column| leaves.0 = Some(column));
    steps()
}

/// What an execution did, column by column. [`Display`] shows it, in some 110 columns.
#[derive(Debug, Default)]
pub struct Trace {
    columns: Vec<Column>,
    rows: Vec<Row>,
    /// How things stand that have said so.
    states: Vec<State>,
    /// What gates are that are not latches.
    kinds: Vec<(Thing, &'static str)>,
    /// What the model calls them.
    names: Vec<(Thing, String)>,
    /// Whom a parker belongs to.
    parkers: Vec<(Thing, usize)>,
    /// How many locks have been made.
    things: usize,
    /// The column in which the failure came up.
    failed: Option<usize>,
    end: End,
}

/// How an execution ended.
#[derive(Debug, Default, PartialEq, Eq)]
enum End {
    /// Each thread waited for another.
    Deadlock,
    /// A thread looked again and again for something that never came.
    Spins,
    /// With this panic.
    Failed(String),
    #[default]
    Passed,
}

impl End {
    /// What a panic says, in the words of loom or of an assertion.
    fn of(failure: &str) -> Self {
        if failure.starts_with("deadlock; threads = ") {
            Self::Deadlock
        } else if failure.starts_with("Model exceeded maximum number of branches.") {
            Self::Spins
        } else {
            Self::Failed(failure.into())
        }
    }
}

#[derive(Debug)]
struct Column {
    thread: ThreadId,
    /// loom's number: 0 for the model's main thread.
    number: usize,
    name: String,
    /// What it is about to do.
    doing: Option<String>,
    /// Why it would park.
    reason: String,
    /// The queues that it stands in.
    queues: Vec<Thing>,
    place: Place,
}

/// Where a thread is.
#[derive(Debug)]
enum Place {
    Going,
    /// For this lock.
    Locks,
    Parked {
        row: usize,
        reason: String,
    },
    Waits {
        row: usize,
        reason: String,
    },
    Ended,
}

/// How a thing stands.
#[derive(Debug)]
struct State {
    thing: String,
    /// Those that change are news.
    parts: Vec<String>,
    /// What is said at the end only.
    more: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Row {
    column: usize,
    words: String,
    /// How often it was done, one after the other.
    times: usize,
    /// Whether nothing is added to it any more.
    closed: bool,
}

/// A lock, by number, and whatever it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Thing(usize);

/// Stand before the number of a thing or column, which is replaced by its name once all names are
/// known; `END` after it.
const THING: char = '\u{1}';
const COLUMN: char = '\u{2}';
const END: char = '\u{3}';

impl Thing {
    /// A lock that is being made.
    pub(super) fn new() -> Self {
        if !KEPT.get() {
            return Self(0);
        }
        RECORD.with_borrow_mut(|trace| {
            let trace = trace.as_mut().expect("a record is kept");
            trace.things += 1;
            Self(trace.things)
        })
    }
}

impl Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{THING}{}{END}", self.0)
    }
}

/// The name of a column.
fn named(column: usize) -> String {
    format!("{COLUMN}{column}{END}")
}

/// Whether what is said now is kept. A thread that unwinds has nothing to say: the execution is
/// over.
fn kept() -> bool {
    KEPT.get() && !std::thread::panicking()
}

/// Calls `f` with the calling thread's column, if a record is kept. No words of others' may be put
/// together by it: those may say something themselves.
fn on(f: impl FnOnce(&mut Trace, usize)) {
    if !kept() {
        return;
    }
    let thread = loom::thread::current();
    RECORD.with_borrow_mut(|trace| {
        let trace = trace.as_mut().expect("a record is kept");
        let column = trace.column(&thread);
        if let Place::Waits { .. } = trace.columns[column].place {
            trace.columns[column].place = Place::Going;
        }
        f(trace, column);
    });
}

impl Trace {
    /// The column of a thread.
    fn column(&mut self, thread: &Thread) -> usize {
        let id = thread.id();
        if let Some(column) = self.columns.iter().position(|column| column.thread == id) {
            return column;
        }
        let number: String = format!("{id:?}").chars().filter(char::is_ascii_digit).collect();
        let number = number.parse().unwrap_or(self.columns.len());
        let name = match (thread.name(), number) {
            (Some(name), _) => name.into(),
            (None, 0) => "main".into(),
            (None, number) => format!("thread {number}"),
        };
        self.columns.push(Column {
            thread: id,
            number,
            name,
            doing: None,
            reason: String::new(),
            queues: Vec::new(),
            place: Place::Going,
        });
        self.columns.len() - 1
    }

    /// How `thing` stands from now on. Returns what is new about it: of what stands in several
    /// parts and is known, only those that have changed.
    fn stand(&mut self, thing: &str, parts: Vec<String>, more: String) -> String {
        let [first, others @ ..] = parts.as_slice() else { return String::new() };
        let whole = format!("{thing} {first}");
        let in_parts = !others.is_empty();
        let Some(known) = self.states.iter_mut().find(|state| state.thing == thing) else {
            self.states.push(State { thing: thing.into(), parts, more });
            return whole;
        };
        known.more = more;
        let former = std::mem::replace(&mut known.parts, parts);
        let news = former.iter().zip(&known.parts).filter(|(former, now)| former != now);
        let news: Vec<_> = news.map(|(_, now)| now.as_str()).collect();
        if in_parts || news.is_empty() { news.join("; ") } else { whole }
    }

    /// What kind of thing this is, if it is not a latch.
    fn kind(&self, thing: Thing) -> Option<&'static str> {
        self.kinds.iter().find(|(other, _)| *other == thing).map(|(_, kind)| *kind)
    }

    /// By its own name, or by what it is.
    fn called(&self, thing: Thing) -> &str {
        let name = self.names.iter().find(|(other, _)| *other == thing).map(|(_, name)| name.as_str());
        name.or_else(|| self.kind(thing)).unwrap_or("latch")
    }

    /// What a gate is that is open or closed.
    fn state(&self, gate: Thing, open: bool) -> &'static str {
        match (self.kind(gate), open) {
            (Some(_), true) => "set",
            (Some(_), false) => "not set",
            (None, true) => "open",
            (None, false) => "closed",
        }
    }

    fn row(&mut self, column: usize, words: String) {
        self.rows.push(Row { column, words, times: 1, closed: false });
    }

    /// A thread has found a thing in this state, and perhaps there is `more` to say of it. Looking
    /// again at once and finding the same is no row of its own.
    fn look(&mut self, column: usize, thing: Thing, state: &str, more: &str) {
        let (name, latest) = (thing.to_string(), format!("is {state}"));
        let old = self.states.iter().any(|state| state.thing == name && state.parts != [latest.as_str()]);
        let words = format!("finds {name} {state}{}{more}", if old { ", as it was" } else { "" });
        match self.rows.last_mut().filter(|row| row.column == column && row.words == words) {
            Some(row) => row.times += 1,
            None => self.row(column, words),
        }
        self.close(column);
    }

    /// Nothing is added any more to what the thread has said.
    fn close(&mut self, column: usize) {
        if let Some(row) = self.rows.last_mut().filter(|row| row.column == column) {
            row.closed = true;
        }
    }

    fn add(&mut self, column: usize, words: &str) {
        match self.rows.last_mut().filter(|row| row.column == column && !row.closed) {
            Some(row) => {
                row.words.push_str("; ");
                row.words.push_str(words);
            }
            None => self.row(column, words.into()),
        }
    }

    /// Puts names in the place of marks: from here on they are known.
    fn spell_out(&mut self) {
        let mut gates: Vec<_> = self.rows.iter().flat_map(|row| things(&row.words)).collect();
        gates.sort_by_key(|gate| gate.0);
        gates.dedup();
        let calls: Vec<_> = gates.iter().map(|gate| self.called(*gate)).collect();
        let which = |at: usize| {
            let same = |other: &usize| calls[*other] == calls[at];
            let alone = (0..calls.len()).filter(same).count() == 1;
            if alone { calls[at].into() } else { format!("{} {}", calls[at], (0..=at).filter(same).count()) }
        };
        let marks = (0..).zip(&gates).map(|(at, gate)| (gate.to_string(), which(at)));
        let columns = (0..).zip(&self.columns).map(|(at, column)| (named(at), column.name.clone()));
        let names: Vec<(String, String)> = marks.chain(columns).collect();
        let spell = |words: &mut String| {
            for (mark, name) in &names {
                *words = words.replace(mark, name);
            }
        };
        for row in &mut self.rows {
            spell(&mut row.words);
            if row.times > 1 {
                row.words += &format!(" ({} times)", row.times);
            }
        }
        self.states.iter_mut().for_each(|state| spell(&mut state.thing));
        for column in &mut self.columns {
            if let Place::Parked { reason, .. } | Place::Waits { reason, .. } = &mut column.place {
                spell(reason);
            }
        }
    }
}

/// The things that some words mention.
fn things(words: &str) -> impl Iterator<Item = Thing> + '_ {
    let numbers = words.split(THING).skip(1).filter_map(|part| part.split_once(END));
    numbers.filter_map(|(number, _)| number.parse().ok()).map(Thing)
}
