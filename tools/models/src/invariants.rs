//! What must never happen: the invariants of a sync engine that coordinates two workers around one log.

pub struct Invariant {
    pub name: &'static str,
    /// The class of bugs that it rules out.
    pub against: &'static str,
    pub says: &'static str,
}

#[rustfmt::skip]
pub const ALL: &[Invariant] = &[
    Invariant { name: "I1", against: "wrong wake source", says: "Every parked state names its cause, and every event that can resolve it (an advance, a rebase, a finished or empty catch-up, a reconnect, a timer, a resume, a stop) makes the pusher look again." },
    Invariant { name: "I2", against: "lost wake-up", says: "Who parks does so only if the epoch read before the attempt is unchanged, checked under the lock that bumps it." },
    Invariant { name: "I3", against: "passive dependence", says: "A rejected or uncertain push keeps a catch-up outstanding until a pull that started after that outcome reports. No progress depends on a message that was not asked for." },
    Invariant { name: "I4", against: "swallowed trigger", says: "A trigger is consumed only by an attempt that starts after it. \"Empty, so idle\" is decided in one step with a writer's append." },
    Invariant { name: "I5", against: "optimistic acknowledgement", says: "Confirmation moves only on a positive acknowledgement." },
    Invariant { name: "I6", against: "dead retry", says: "If something is pending, the end of a backoff or a reconnect leads to an attempt." },
    Invariant { name: "I7", against: "dropped upstream work", says: "A page that cannot be applied now stays owned until it is." },
    Invariant { name: "I8", against: "unsettled waiter", says: "Every admitted item settles exactly once: confirmed, rejected or closed." },
    Invariant { name: "I9", against: "exclusion and leaks", says: "At most one is in a section at a time, every way out releases it, and nothing is held across an external wait." },
    Invariant { name: "I10", against: "blocked writer", says: "A commit never waits for the pusher, the puller or upstream." },
    Invariant { name: "I11", against: "torn reseed", says: "What is to be sent is a function of what is pending, under one linearisation point." },
    Invariant { name: "I12", against: "overlapping generations", says: "At most one run of a worker is live; results carry a generation, and a stale one changes nothing." },
    Invariant { name: "I13", against: "thrash", says: "Under fair scheduling upstream's traffic cannot cancel pushes for ever." },
    Invariant { name: "I14", against: "prefix break", says: "Nothing is sent past an unresolved prefix; every fence names an item that is still pending." },
    Invariant { name: "I15", against: "cursor ahead", says: "The pull cursor never passes what has been applied." },
    Invariant { name: "I16", against: "silent exit", says: "A worker ends only by a stop or by a failure that the owner can see; a drain that reports success handed everything over." },
    Invariant { name: "I17", against: "what a crash takes back", says: "Nothing is sent, no pull begins behind a place, and no durability is reported, that a crash can take back." },
    Invariant { name: "I18", against: "torn journal", says: "What is durable is a first part of the changes: never a cursor without its page, never a page twice." },
    Invariant { name: "I19", against: "hammering", says: "Whatever upstream answers, at once and for ever: without a merge in between, calls come no faster than the backoff allows, and no success that brought nothing takes it back." },
];

/// Where it stands among them.
pub fn position(name: &str) -> Option<usize> {
    ALL.iter().position(|invariant| invariant.name == name)
}
