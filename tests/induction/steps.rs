//! What may happen next, and of which kind it is.

use latchwork::protocol::{Direction, Fate, Next, Pull, Push};
use latchwork::upstream::More;

use super::oracle::{MOST, Manner};
use super::state::{Config, NOW, Part, PullCall, PushCall, State, index};

macro_rules! kinds {
    ($($(#[$doc:meta])* $class:ident $kind:ident,)*) => {
        /// Steps of one kind can be allowed, or taken away, together.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// What it is in the argument that everything comes to an end.
            pub const fn class(self) -> Class {
                match self {
                    $(Self::$kind => Class::$class,)*
                }
            }
        }
    };
}

/// What a step is in the argument that everything comes to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Time passes.
    Time,
    /// A driver looks, and may begin a call.
    Call,
    /// Upstream says what is so.
    Report,
    /// Something is consumed that there is no endless supply of: a commit, another client's event,
    /// a fault.
    Supply,
    /// The owner's word.
    Owner,
}

kinds! {
    // ---- what comes sooner or later --------------------------------------------------------------------------------
    /// The pusher looks, and sends if it is told to.
    Call Send,
    /// The puller looks, and pulls if it is told to.
    Call BeginPull,
    /// The time has come that the pusher waits for.
    Time PushTime,
    /// The time has come that the puller waits for.
    Time PullTime,
    /// Upstream takes the push: the batch follows its last event.
    Report Take,
    /// The answer to a push that upstream has taken.
    Report Accept,
    /// "Behind", and so it is.
    Report Reject,
    /// A push that was asked to end does so.
    Report PushReturns,
    /// A pull gives out what upstream has.
    Report News,
    /// A pull has given out all that upstream had when it began, and says so: the contract's
    /// promise.
    Report CaughtUp,
    /// A pull ends that was asked to, or that is not live and has given out everything.
    Report PullEnds,

    // ---- what may come at any time, as the contract permits --------------------------------------------------------
    Supply Commit,
    /// Another client's event.
    Supply Another,
    Supply PushUnavailable,
    /// And not to be tried again before a time.
    Supply PushBusy,
    /// The answer to a push is lost.
    Supply PushLost,
    /// A push that was given up reaches upstream after all.
    Supply LateTake,
    Supply PullUnavailable,
    Supply PullBusy,
    /// The time has come of the next pull, where they follow each other in an interval: as often as it likes.
    Supply PollTime,
    /// A live pull ends as if there were nothing more to come.
    Supply StreamEnds,
    /// A pull says again that there is nothing, or says nothing.
    Supply Chatter,
    /// An event of a push is refused for good.
    Supply PushRejected,
    /// A push is found too large.
    Supply PushTooLarge,

    // ---- lies ------------------------------------------------------------------------------------------------------
    /// "Behind", as it comes.
    Supply FalseReject,
    /// A push is accepted that upstream has not taken, or should not have.
    Supply FalseAccept,
    /// A pull says that it has caught up, and has not.
    Supply FalseCaughtUp,
    /// A live pull loses a page and goes on.
    Supply LoseEcho,
    /// And the page after it does not follow.
    Supply Gap,

    // ---- failures --------------------------------------------------------------------------------------------------
    Supply PushFatal,
    Supply PushPanics,
    Supply PullFatal,
    Supply PullPanics,
    /// The log refuses a page, or its own batch.
    Supply LogRefuses,
    /// The log breaks its contract.
    Supply LogBreaks,
    Supply LogPanics,

    // ---- the owner -------------------------------------------------------------------------------------------------
    Owner Pause,
    Owner Resume,
    Owner RetryNow,
    Owner Restart,
    Owner OverrideRetryAfter,
    Owner Reset,
    Owner Stop,
    /// Pending events are given up.
    Owner GiveUp,
    /// Another event is put in the place of a pending one.
    Owner Replace,
    /// An event that was refused for good is tried once more.
    Owner RetryRejected,
    Owner Reconnect,
    /// Another log goes on with what is pending.
    Owner ResetWith,
    /// The process ends; another one goes on with the log.
    Owner Crash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Send(Manner),
    BeginPull,
    PushTime,
    PullTime,
    Take,
    Answer(Answer),
    LateTake(usize),
    Page(Page),
    /// A page without events.
    Says(More, Late),
    PullEnds(PullEnd, Late),
    LoseEcho(Part),
    Commit(usize, Manner),
    Another,
    Pause(Direction),
    Resume(Direction),
    RetryNow,
    Restart,
    OverrideRetryAfter,
    Reset {
        pending: usize,
        own: usize,
        foreign: bool,
    },
    Stop,
    /// So many events, behind so many; and so many are left.
    GiveUp {
        from: usize,
        count: usize,
        rest: usize,
    },
    Replace(usize),
    RetryRejected,
    Reconnect,
    ResetWith(Goes),
    Crash(Gone),
}

/// Where a log goes on that is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goes {
    /// At the same head, with all that is pending.
    On,
    /// It has all that upstream has, and so many are pending besides.
    Ahead(usize),
}

/// Whether all times that the protocol has noted are past.
pub type Late = bool;

/// What a push is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Besides the batch's own, so many events are pending.
    Accepted {
        rest: usize,
        manner: Manner,
    },
    Behind(Head),
    Unavailable,
    /// Not to be tried again for so long.
    Busy(Wait),
    Uncertain(Gone),
    /// This event is refused for good.
    Rejected(usize),
    TooLarge,
    Fatal,
    Panic(Gone),
}

/// Whether a push that is given up, and that upstream has not got, never gets there.
pub type Gone = bool;

/// How long upstream asks for rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It is over before the backoff is.
    Nothing,
    Long,
}

/// What upstream says of its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    Untold,
    BeforeBase,
    AtBase,
    /// This log has it.
    Reached,
    /// This log does not have it yet.
    Ahead,
}

/// A page with events: the first of what upstream has beyond the log's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    pub own: usize,
    pub foreign: Foreign,
    /// So many events are pending besides.
    pub rest: usize,
    pub manner: Manner,
    /// Whether this is up to the head that upstream has told.
    pub reaches: bool,
    /// Whether this was all that upstream had when the pull began.
    pub all: bool,
    /// Whether it says so.
    pub says_so: bool,
    pub late: Late,
}

/// How much of what others did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    None,
    Part,
    Rest,
}

impl Foreign {
    const ALL: [Self; 3] = [Self::None, Self::Part, Self::Rest];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullEnd {
    GivenAll,
    Unavailable,
    Busy(Wait),
    Fatal,
    Panic,
}

/// The steps of a state.
pub struct Steps<'a> {
    config: &'a Config,
    pub all: Vec<(Kind, Step)>,
}

impl Steps<'_> {
    fn add(&mut self, kind: Kind, step: Step) {
        if self.config.allows(kind) {
            self.all.push((kind, step));
        }
    }

    pub fn has(&self, kinds: &[Kind]) -> bool {
        self.all.iter().any(|(kind, _)| kinds.contains(kind))
    }
}

impl State {
    pub fn steps<'a>(&self, config: &'a Config) -> Steps<'a> {
        let mut steps = Steps { config, all: Vec::with_capacity(32) };
        match &self.push {
            Some(call) => self.answers(call, &mut steps),
            None => self.looks_of_pusher(&mut steps),
        }
        match &self.pull {
            Some(call) => self.reports(call, &mut steps),
            None => self.looks_of_puller(&mut steps),
        }
        // What comes when a catch-up has begun that does not show it, the client cannot protect from the owner.
        let is_shown = self.pull.as_ref().is_some_and(|pull| pull.after_doubt);
        let comes = |count| !config.allows(Kind::GiveUp) || count <= self.doubt.unseen && !is_shown;
        (1..=self.more())
            .filter(|&count| comes(count) && self.late[count - 1])
            .for_each(|count| steps.add(Kind::LateTake, Step::LateTake(count)));
        steps.add(Kind::Another, Step::Another);
        self.words(&mut steps);
        steps
    }

    fn looks_of_pusher(&self, steps: &mut Steps<'_>) {
        let mut protocol = self.protocol.clone();
        match protocol.next_push(NOW) {
            Next::Do(_) => {
                steps.add(Kind::Send, Step::Send(Manner::Advance));
                steps.add(Kind::LogBreaks, Step::Send(Manner::Break));
                steps.add(Kind::LogPanics, Step::Send(Manner::Panic));
            }
            // From now on it waits for more events.
            Next::Wait { until: Some(_) } if self.protocol.push() != protocol.push() => {
                steps.add(Kind::Send, Step::Send(Manner::Advance));
            }
            Next::Wait { until: Some(_) } => steps.add(Kind::PushTime, Step::PushTime),
            // What has come to nothing is looked at as well: it may have changed the state.
            Next::Wait { until: None } if matches!(self.protocol.push(), Push::Waiting { .. }) => {
                steps.add(Kind::Send, Step::Send(Manner::Advance));
            }
            Next::Wait { until: None } | Next::Stop => {}
        }
    }

    fn looks_of_puller(&self, steps: &mut Steps<'_>) {
        match self.protocol.clone().next_pull(NOW) {
            Next::Do(_) => steps.add(Kind::BeginPull, Step::BeginPull),
            Next::Wait { until: Some(_) } => {
                let polls = *self.protocol.pull() == Pull::Idle && !self.named[index(Direction::Pull)];
                steps.add(if polls { Kind::PollTime } else { Kind::PullTime }, Step::PullTime);
            }
            Next::Wait { until: None } if matches!(self.protocol.pull(), Pull::Waiting { .. }) => {
                steps.add(Kind::BeginPull, Step::BeginPull);
            }
            Next::Wait { until: None } | Next::Stop => {}
        }
    }

    /// What the push under way may be answered.
    fn answers(&self, call: &PushCall, steps: &mut Steps<'_>) {
        let mut answer = |kind, answer| steps.add(kind, Step::Answer(answer));
        let unless_asked = |kind| if call.interrupted { Kind::PushReturns } else { kind };
        if !call.taken {
            answer(unless_asked(Kind::PushUnavailable), Answer::Unavailable);
            answer(Kind::PushBusy, Answer::Busy(Wait::Long));
            answer(Kind::PushBusy, Answer::Busy(Wait::Nothing));
            answer(Kind::PushFatal, Answer::Fatal);
            answer(Kind::PushRejected, Answer::Rejected(0));
            if call.batch.entries.len() > 1 {
                answer(Kind::PushRejected, Answer::Rejected(call.batch.entries.len() - 1));
            }
            answer(Kind::PushTooLarge, Answer::TooLarge);
        }
        for gone in self.ways_to_give_up() {
            answer(unless_asked(Kind::PushLost), Answer::Uncertain(gone));
            answer(Kind::PushPanics, Answer::Panic(gone));
        }
        if !self.is_present(call) {
            // Upstream may have taken it for a log that is no more.
            answer(Kind::Accept, Answer::Accepted { rest: 0, manner: Manner::Advance });
            answer(Kind::Reject, Answer::Behind(Head::Untold));
            if call.carried && !call.taken && !self.is_ahead_of(call.batch.base) {
                steps.add(Kind::Take, Step::Take);
            }
            return;
        }
        if call.taken {
            self.acceptances(Kind::Accept, call, steps);
            return;
        }
        self.acceptances(Kind::FalseAccept, call, steps);
        let (head, base) = (self.head(), call.batch.base);
        for told in [Head::Untold, Head::BeforeBase, Head::AtBase, Head::Reached, Head::Ahead] {
            let is_true = match told {
                Head::Untold => self.is_ahead_of(base),
                Head::Reached => base < head,
                Head::Ahead => self.has_more(),
                Head::BeforeBase | Head::AtBase => false,
            };
            steps.add(if is_true { Kind::Reject } else { Kind::FalseReject }, Step::Answer(Answer::Behind(told)));
        }
        let known = steps.config.idempotent && base == head && self.own == call.batch.entries.len();
        if known || !self.is_ahead_of(base) {
            steps.add(Kind::Take, Step::Take);
        }
    }

    fn acceptances(&self, kind: Kind, call: &PushCall, steps: &mut Steps<'_>) {
        let decided = !matches!(self.protocol.push(), Push::Sending { fate: Fate::Open, .. });
        let confirmed = if decided { 0 } else { self.news_in(call) };
        for rest in self.rests(confirmed) {
            steps.add(kind, Step::Answer(Answer::Accepted { rest, manner: Manner::Advance }));
        }
        if confirmed > 0 {
            let rest = self.rests(confirmed).last().expect("the batch is pending");
            for (kind, manner) in
                [(Kind::LogRefuses, Manner::Refuse), (Kind::LogBreaks, Manner::Break), (Kind::LogPanics, Manner::Panic)]
            {
                steps.add(kind, Step::Answer(Answer::Accepted { rest, manner }));
            }
        }
    }

    /// What the pull under way may report.
    fn reports(&self, call: &PullCall, steps: &mut Steps<'_>) {
        let unless_asked = |kind| if call.interrupted { Kind::PullEnds } else { kind };
        let mut end = |kind, end| {
            for late in [false, true] {
                steps.add(kind, Step::PullEnds(end, late));
            }
        };
        end(unless_asked(Kind::PullUnavailable), PullEnd::Unavailable);
        end(Kind::PullFatal, PullEnd::Fatal);
        end(Kind::PullPanics, PullEnd::Panic);
        steps.add(Kind::Chatter, Step::Says(More::Unknown, false));
        for late in [false, true] {
            steps.add(Kind::PullBusy, Step::PullEnds(PullEnd::Busy(Wait::Long), late));
        }
        steps.add(Kind::PullBusy, Step::PullEnds(PullEnd::Busy(Wait::Nothing), false));
        let Pull::Pulling { caught_up, .. } = *self.protocol.pull() else {
            // Over for the log's sake: what it gives out changes nothing.
            return steps.add(Kind::PullEnds, Step::PullEnds(PullEnd::GivenAll, false));
        };
        if call.former {
            // What it says and how it ends is of no consequence.
            steps.add(Kind::Chatter, Step::Says(More::None, false));
            return steps.add(Kind::PullEnds, Step::PullEnds(PullEnd::GivenAll, false));
        }
        let given_all = caught_up || call.owes == Part::Nothing;
        if given_all {
            let kind = if steps.config.live { unless_asked(Kind::StreamEnds) } else { Kind::PullEnds };
            for late in [false, true] {
                steps.add(kind, Step::PullEnds(PullEnd::GivenAll, late));
            }
        }
        for late in self.lateness() {
            let kind = match call.owes {
                _ if caught_up => Kind::Chatter,
                Part::Nothing => Kind::CaughtUp,
                Part::Own | Part::Foreign => Kind::FalseCaughtUp,
            };
            steps.add(kind, Step::Says(More::None, late));
        }
        if steps.config.live && caught_up && call.lost == Part::Nothing {
            for part in [(self.own > 0).then_some(Part::Own), self.foreign.then_some(Part::Foreign)] {
                part.into_iter().for_each(|part| steps.add(Kind::LoseEcho, Step::LoseEcho(part)));
            }
        }
        self.pages(call, steps);
    }

    /// The pages that the pull under way may give: what is in them, what they say, how far they go,
    /// what the log makes of it.
    fn pages(&self, call: &PullCall, steps: &mut Steps<'_>) {
        let (rest, manner) = (0, Manner::Advance);
        let empty = Page {
            own: 0,
            foreign: Foreign::None,
            rest,
            manner,
            reaches: false,
            all: false,
            says_so: false,
            late: false,
        };
        for (own, foreign) in (0..=self.own).flat_map(|own| Foreign::ALL.map(|foreign| (own, foreign))) {
            let whole = own == self.own;
            if if foreign == Foreign::None { own == 0 } else { !whole || !self.foreign } {
                continue;
            }
            let page = Page { own, foreign, ..empty };
            if call.lost != Part::Nothing {
                let rest = self.rests(own).last().expect("what upstream has of it is pending");
                for (kind, manner) in
                    [(Kind::Gap, Manner::Refuse), (Kind::LogBreaks, Manner::Break), (Kind::LogPanics, Manner::Panic)]
                {
                    steps.add(kind, Step::Page(Page { rest, manner, ..page }));
                }
                continue;
            }
            let all: &[bool] = match (foreign, call.owes) {
                (Foreign::Rest, _) | (_, Part::Nothing) => &[true],
                (_, Part::Own) => &[whole],
                (Foreign::Part, Part::Foreign) => &[false, true],
                (Foreign::None, Part::Foreign) => &[false],
            };
            let everything = whole && (foreign == Foreign::Rest || !self.foreign);
            let reaches: &[bool] = match self.awaited_head() {
                None => &[false],
                Some(_) if everything && steps.config.honest() => &[true],
                Some(_) => &[false, true],
            };
            for &all in all {
                for says_so in [false, true] {
                    // Upstream takes a batch whole: its head has never been in the middle of one.
                    if says_so && !whole {
                        continue;
                    }
                    let kind = if says_so && !all { Kind::FalseCaughtUp } else { Kind::News };
                    for &reaches in reaches {
                        self.merges(kind, Page { reaches, all, says_so, ..page }, steps);
                    }
                }
            }
        }
    }

    fn merges(&self, kind: Kind, page: Page, steps: &mut Steps<'_>) {
        let whole = page.own == self.own;
        for rest in self.rests(page.own) {
            for late in self.lateness() {
                let page = Page { rest, late, ..page };
                steps.add(kind, Step::Page(page));
                // What is still to come under its present numbers cannot get new ones.
                let most = if whole && rest > 0 { rest + 1 } else { 0 };
                for dropped in 0..most {
                    steps.add(kind, Step::Page(Page { manner: Manner::Rebase { dropped }, ..page }));
                }
            }
        }
        let rest = self.rests(page.own).last().expect("what upstream has of it is pending");
        for (kind, manner) in
            [(Kind::LogRefuses, Manner::Refuse), (Kind::LogBreaks, Manner::Break), (Kind::LogPanics, Manner::Panic)]
        {
            steps.add(kind, Step::Page(Page { rest, manner, ..page }));
        }
    }

    /// What may become of the push under way if it is given up.
    fn ways_to_give_up(&self) -> impl Iterator<Item = Gone> + use<> {
        let may_come = self.push.as_ref().is_some_and(|call| self.may_come_late(call));
        [true, false].into_iter().take(if may_come { 2 } else { 1 })
    }

    /// Whether it makes a difference that what the protocol has noted is past.
    fn lateness(&self) -> impl Iterator<Item = Late> + use<> {
        let waits = matches!(self.protocol.push(), Push::Uncertain { until, .. } if *until > NOW);
        [false, true].into_iter().take(if waits { 2 } else { 1 })
    }

    /// What the owner and those who commit may say.
    fn words(&self, steps: &mut Steps<'_>) {
        self.ways_to_give_up().for_each(|gone| steps.add(Kind::Crash, Step::Crash(gone)));
        if self.protocol.is_stopped() {
            return;
        }
        for count in 1..=self.more() {
            steps.add(Kind::Commit, Step::Commit(count, Manner::Advance));
        }
        steps.add(Kind::LogBreaks, Step::Commit(1, Manner::Break));
        for direction in [Direction::Push, Direction::Pull] {
            // Also if it is not paused: that is a word to look again.
            steps.add(Kind::Resume, Step::Resume(direction));
            if !self.is_paused(direction) {
                steps.add(Kind::Pause, Step::Pause(direction));
            }
        }
        for (kind, step) in [
            (Kind::RetryNow, Step::RetryNow),
            (Kind::Restart, Step::Restart),
            (Kind::OverrideRetryAfter, Step::OverrideRetryAfter),
            (Kind::Stop, Step::Stop),
            (Kind::Reconnect, Step::Reconnect),
            (Kind::ResetWith, Step::ResetWith(Goes::On)),
        ] {
            steps.add(kind, step);
        }
        self.decisions(steps);
        if self.has_more() {
            self.rests(self.own).for_each(|rest| steps.add(Kind::ResetWith, Step::ResetWith(Goes::Ahead(rest))));
        }
        for pending in 0..=self.more() {
            for own in 0..=pending {
                for foreign in [false, true] {
                    steps.add(Kind::Reset, Step::Reset { pending, own, foreign });
                }
            }
        }
    }

    /// What the owner may decide about pending events: what upstream cannot have.
    fn decisions(&self, steps: &mut Steps<'_>) {
        let sent = self.protocol.sent();
        for count in 1..=MOST {
            for rest in self.rests(count) {
                (sent..=rest.min(MOST)).for_each(|from| steps.add(Kind::GiveUp, Step::GiveUp { from, count, rest }));
            }
        }
        (sent..self.pending()).for_each(|index| steps.add(Kind::Replace, Step::Replace(index)));
        if self.blocked.is_some() {
            steps.add(Kind::RetryRejected, Step::RetryRejected);
        }
    }
}

impl Kind {
    /// Whether it comes sooner or later, whatever else happens.
    pub const fn is_due(self) -> bool {
        matches!(self.class(), Class::Time | Class::Call | Class::Report)
    }
}
