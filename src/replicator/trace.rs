//! What the replicator tells `tracing`; the [module](super) has the list. Without the feature nothing of it is compiled.
//!
//! A subscriber is user code, so it is not called under the lock. What happens under the lock is noted there, as it stands,
//! by the thread that does it (`later`), and told by the same thread once it has given up the lock (`emit`). So the
//! events of one thread come in their order, and no thread speaks for another.
//!
//! # The pusher's park
//!
//! Looking, finding nothing and going to sleep is one critical section, which leaves no room to tell. With the feature a
//! worker that has something to tell (`owed`) does not go to sleep: it tells, looks again, and parks if it still finds
//! nothing. If something has come meanwhile, `resume` follows on `park` at once.

/// Says some of it in the lanes of a model.
macro_rules! words {
    // What these do is said where it is known how it ended.
    (doing("push")) => {};
    (doing("catch-up")) => {};
    (doing("clock")) => {
        $crate::platform::note!(does("the time has come"))
    };
    (doing($what:expr)) => {
        $crate::platform::note!(does($what))
    };
    (merged($traced:expr, $protocol:expr, $merged:expr)) => {
        $crate::platform::note!(add(if $merged.is_rebase() { "rebase" } else { "advance" }))
    };
    ($($call:tt)+) => {};
}
pub(super) use words;

/// Calls a function of this room; `false` for `owed` and no more than words for all others without the feature.
#[cfg(not(feature = "tracing"))]
macro_rules! trace {
    (owed()) => {
        false
    };
    ($($call:tt)+) => {
        $crate::replicator::trace::words!($($call)+)
    };
}

/// Calls a function of this room; `false` for `owed` and no more than words for all others without the feature.
#[cfg(feature = "tracing")]
macro_rules! trace {
    (owed()) => {
        $crate::replicator::trace::on::owed()
    };
    ($($call:tt)+) => {
        $crate::replicator::trace::words!($($call)+);
        $crate::replicator::trace::on::$($call)+
    };
}
pub(super) use trace;

#[cfg(feature = "tracing")]
pub(super) mod on {
    use std::cell::RefCell;
    use std::fmt::Display;
    use std::sync::Arc;

    use tracing::Level;
    use tracing::level_filters::LevelFilter;

    use crate::log::{Log, Merged};
    use crate::platform::contain;
    use crate::protocol::messages::Batch;
    use crate::protocol::{Protocol, Time, WaitingOn};
    use crate::replicator::CommitError;
    use crate::replicator::status::{Owed, waiting_on_from};
    use crate::shared_error::SharedError;

    /// What a thread is about.
    #[derive(Default)]
    struct Here {
        /// What it is doing, for whom it wakes.
        doing: &'static str,
        /// What it has to tell, in order.
        owed: Vec<Box<dyn FnOnce()>>,
        /// Which of the moves it has parked for, if it is a pusher that has.
        parked: Option<u64>,
        /// Tells that a commit was refused, once the reason is in words.
        refused: Option<Box<dyn FnOnce(String)>>,
    }

    thread_local! {
        static HERE: RefCell<Here> = RefCell::default();
    }

    /// A thread that is about to end, and has put its things away, tells nothing.
    fn here<T: Default>(f: impl FnOnce(&mut Here) -> T) -> T {
        HERE.try_with(|here| f(&mut here.borrow_mut())).unwrap_or_default()
    }

    /// Has this told by `emit`. Asking the subscriber whether it wants it would call it; the level is a mere number.
    fn later(level: Level, tell: impl FnOnce() + 'static) {
        if level <= LevelFilter::current() {
            here(|here| here.owed.push(Box::new(tell)));
        }
    }

    /// Whether there is something to tell.
    pub(in crate::replicator) fn owed() -> bool {
        here(|here| !here.owed.is_empty())
    }

    /// Tells what this thread has to tell. Not under the lock.
    pub(in crate::replicator) fn emit() {
        for tell in here(|here| std::mem::take(&mut here.owed)) {
            // A subscriber that panics loses this event, and does not end a worker.
            let _contained = contain(tell);
        }
    }

    /// What is told of a replicator and does not stand in its protocol.
    pub(in crate::replicator) struct Traced {
        name: Option<Arc<str>>,
        /// What the pusher was woken by since it looked.
        pusher_woken_by: Option<&'static str>,
        /// How often the next move has come to be owed by another party.
        moves: u64,
    }

    impl Traced {
        pub(in crate::replicator) fn new(name: Option<Arc<str>>) -> Self {
            Self { name, pusher_woken_by: None, moves: 0 }
        }
    }

    /// How things stood.
    struct Facts<P> {
        replicator: Option<Arc<str>>,
        generation: u64,
        epoch: u64,
        upstream_head: P,
        head: P,
        pending: usize,
    }

    impl<P> Facts<P> {
        fn of<L: Log<Position = P>>(traced: &Traced, protocol: &Protocol<L>, generation: u64) -> Self {
            let (replicator, epoch, log) = (traced.name.clone(), protocol.epoch(), protocol.log());
            let (upstream_head, head, pending) = (log.upstream_head(), log.head(), log.pending());
            Self { replicator, generation, epoch, upstream_head, head, pending }
        }
    }

    /// One event: facts, and fields of its own. The name is also the message, which is what most subscribers show.
    macro_rules! event {
        ($level:ident, $name:literal, $facts:ident, { $($field:tt)* }) => {
            later(Level::$level, move || tracing::event!(
                name: $name, target: "latchwork", Level::$level,
                {
                    replicator = $facts.replicator.as_deref(),
                    generation = $facts.generation,
                    epoch = $facts.epoch,
                    upstream_head = ?$facts.upstream_head,
                    head = ?$facts.head,
                    pending = $facts.pending,
                    $($field)*
                },
                $name
            ))
        };
    }

    /// This thread is about to do this, and wakes whomever it wakes by it.
    pub(in crate::replicator) fn doing(what: &'static str) {
        here(|here| here.doing = what);
    }

    /// The pusher is being woken.
    pub(in crate::replicator) fn wakes_pusher(traced: &mut Traced) {
        traced.pusher_woken_by = Some(here(|here| here.doing));
    }

    /// The next move has come to be owed by another party.
    pub(in crate::replicator) fn moves(traced: &mut Traced) {
        traced.moves += 1;
    }

    pub(in crate::replicator) fn merged<L: Log>(traced: &Traced, protocol: &Protocol<L>, merged: &Merged<L::Entry>) {
        let counters = protocol.counters();
        let (from, generation) =
            if here(|here| here.doing) == "push" { ("push", counters.pushes) } else { ("pull", counters.pulls) };
        let facts = Facts::of(traced, protocol, generation);
        let confirmed = merged.confirmed().len();
        match merged {
            Merged::Advance { new, .. } => {
                let new = new.len();
                event!(DEBUG, "pull-advance", facts, { from, new, confirmed });
            }
            Merged::Rebase { new, moved, dropped, .. } => {
                let (new, moved, dropped) = (new.len(), *moved, dropped.len());
                event!(DEBUG, "pull-rebase", facts, { from, new, confirmed, moved, dropped });
            }
        }
        doing(if merged.is_rebase() { "pull-rebase" } else { "pull-advance" });
    }

    pub(in crate::replicator) fn push_batch<L: Log>(traced: &mut Traced, protocol: &Protocol<L>, batch: &Batch<L>) {
        resume(traced, protocol);
        let (facts, batch) = (Facts::of(traced, protocol, batch.ticket), batch.entries.len());
        event!(DEBUG, "backend-push-batch", facts, { batch });
    }

    pub(in crate::replicator) fn push_error<L: Log>(
        traced: &Traced,
        protocol: &Protocol<L>,
        batch: &Batch<L>,
        error: SharedError,
    ) {
        let (facts, batch) = (Facts::of(traced, protocol, batch.ticket), batch.entries.len());
        event!(WARN, "backend-push-error", facts, { batch, error = error.to_string() });
    }

    /// The log has refused a commit: why is in words once the lock has been given up.
    pub(in crate::replicator) fn refused<L: Log>(traced: &Traced, protocol: &Protocol<L>) {
        let facts = Facts::of(traced, protocol, protocol.counters().pushes);
        let tell = move |error| event!(DEBUG, "local-push-reject", facts, { error });
        here(|here| here.refused = Some(Box::new(tell)));
    }

    /// Why it has, if it has.
    pub(in crate::replicator) fn refused_because<T, E: Display>(admitted: &Result<Result<T, CommitError<E>>, String>) {
        let Ok(Err(CommitError::Refused(error))) = admitted else { return };
        if let Some(tell) = here(|here| here.refused.take()) {
            let _contained = contain(|| tell(error.to_string()));
        }
        emit();
    }

    /// An event of the pusher's life.
    macro_rules! life {
        ($name:literal, $traced:ident, $protocol:ident, { $($field:tt)* }) => {
            let counters = *$protocol.counters();
            let facts = Facts::of($traced, $protocol, counters.pushes);
            event!(DEBUG, $name, facts, { counters = ?counters, $($field)* });
        };
    }

    pub(in crate::replicator) fn start<L: Log>(traced: &Traced, protocol: &Protocol<L>) {
        life!("start", traced, protocol, {});
    }

    /// The pusher has found nothing to do. Told once for each cause.
    pub(in crate::replicator) fn park<L: Log>(
        traced: &mut Traced,
        protocol: &Protocol<L>,
        waiting_on: &WaitingOn,
        now: Time,
    ) {
        traced.pusher_woken_by = None;
        if here(|here| here.parked.replace(traced.moves)) != Some(traced.moves) {
            let cause = waiting_on_from(now, waiting_on);
            life!("park", traced, protocol, { cause = %Owed(&cause) });
        }
    }

    /// The pusher goes on, if it had parked. What wakes it is noted, but for the time, which changes nothing.
    fn resume<L: Log>(traced: &mut Traced, protocol: &Protocol<L>) {
        let by = traced.pusher_woken_by.take().unwrap_or("clock");
        if here(|here| here.parked.take()).is_some() {
            life!("resume", traced, protocol, { by });
        }
    }

    pub(in crate::replicator) fn restart<L: Log>(traced: &Traced, protocol: &Protocol<L>) {
        life!("restart", traced, protocol, {});
    }

    pub(in crate::replicator) fn stop<L: Log>(traced: &mut Traced, protocol: &Protocol<L>) {
        resume(traced, protocol);
        life!("stop", traced, protocol, {});
    }
}
