//! `node-sync h001`: the stall, why it happens, and that it is gone.
//!
//! The code that ships is run with a known bug switched on, on a [stage](scene) where every call to upstream returns when
//! it is told to. So the same thing happens each time, and what is printed is the same to the letter.

mod diagram;
mod mermaid;
mod scene;
mod story;
mod svg;

use std::error::Error;
use std::io::IsTerminal;

use clap::ValueEnum;
use latchwork_switched::known_bugs::KnownBug;

use self::diagram::Style;
use self::scene::{End, Order, Scene, Stall};

/// Behind a stall and behind what finished, in pictures.
const RED: (u8, u8, u8) = (255, 235, 233);
const GREEN: (u8, u8, u8) = (218, 251, 225);

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The whole story: what happens, why, and what it looks like without the bug.
    Text,
    /// The story as a sequence diagram of Mermaid.
    Mermaid,
    /// The diagram as a picture: the stall, and the code that ships.
    Svg,
}

/// A scene and what it is about.
struct Part {
    bug: KnownBug,
    order: Order,
    scene: Scene,
}

impl Part {
    fn new(bug: KnownBug, order: Order, stalls: bool) -> Result<Self, scene::StageError> {
        Ok(Self { bug, order, scene: scene::show(bug, order, stalls)? })
    }

    fn stalled(&self) -> bool {
        matches!(self.scene.end, End::Stalled(_))
    }

    fn title(&self) -> String {
        let order = match self.order {
            Order::AnswerFirst => "the answer arrives before the page",
            Order::PageFirst => "the page overtakes the answer",
        };
        match self.bug {
            KnownBug::None => format!("The code that ships; {order}"),
            KnownBug::ResumeOnRebaseOnly => format!("H001: only a rebase wakes the pusher; {order}"),
            KnownBug::ParkedFlag => format!("The first fix: an advance wakes a parked pusher; {order}"),
            other => format!("{other:?}; {order}"),
        }
    }

    /// How it ended, in a sentence.
    fn verdict(&self) -> String {
        match &self.scene.end {
            End::Stalled(Stall { pending, since, epoch, .. }) => {
                let advanced = format!("upstream advanced to epoch {epoch}");
                let story = if self.scene.parked_at() == Some(*since) {
                    format!("the pusher parked at epoch {since} on “behind”; {advanced}")
                } else {
                    format!("{advanced}; then the pusher parked on “behind”, as of epoch {since}")
                };
                format!("Stalled: {pending} events pending; {story}; no party owes a move.")
            }
            End::Finished(finish) => format!(
                "Finished: {} pushes, {} behind; all {} events at upstream, once; nothing pending.",
                finish.pushes,
                finish.behind,
                finish.upstream.len()
            ),
        }
    }

    /// How many steps at the beginning are as in another part.
    fn as_in(&self, other: &Self) -> usize {
        self.scene.steps.iter().zip(&other.scene.steps).take_while(|(a, b)| a == b).count()
    }

    /// The diagram, but for what is as in `before`.
    fn draw(&self, before: Option<&Self>, colour: bool) -> String {
        let known = before.map_or(0, |before| self.as_in(before));
        diagram::draw(&self.scene.steps, known, self.stalled(), colour)
    }
}

/// Shows it. An error if anything is not as it is told here.
pub fn run(format: Format) -> Result<(), Box<dyn Error + Send + Sync>> {
    use KnownBug::{None, ParkedFlag, ResumeOnRebaseOnly};
    use Order::{AnswerFirst, PageFirst};
    let h001 = Part::new(ResumeOnRebaseOnly, AnswerFirst, true)?;
    let helped = Part::new(ParkedFlag, AnswerFirst, false)?;
    let defeated = Part::new(ParkedFlag, PageFirst, true)?;
    let ships = Part::new(None, AnswerFirst, false)?;
    let ships_too = Part::new(None, PageFirst, false)?;
    match format {
        Format::Mermaid => print!("{}", mermaid::draw(&[h001, defeated, ships, ships_too])),
        Format::Svg => print!("{}", svg::draw(&[h001, ships])),
        Format::Text => {
            let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
            print!("{}", text(&Parts { h001, helped, defeated, ships, ships_too }, colour));
        }
    }
    Ok(())
}

struct Parts {
    h001: Part,
    helped: Part,
    defeated: Part,
    ships: Part,
    ships_too: Part,
}

const INTRODUCTION: &str = "\
A sync engine pushes what its user commits and pulls what others did. A push that comes too late is
refused: upstream is ahead. The pusher then parks, until the puller brings the events that it lacks.
In H001 (LiveStore, issue 613) the puller forgot to wake it, and nothing was sent any more: no
error, no crash, just events that stay pending.

Here it happens, to the code of this crate with that defect switched on. The client commits 3 todos
just as another client's event, of which it has not heard yet, is the first at upstream. This
command plays upstream and decides when each call returns, so it is the same each time; all timers
are set to an hour, so no time-out decides anything.

  client    commits, and waits for nothing    upstream  orders all clients' events
  pusher    the thread that sends             puller    the thread that receives and merges

Read downwards. Names like `pull-advance` are what the replicator tells through `tracing`. The epoch
counts whatever could end a wait of the pusher's.
";

const REBASE_ONLY: &str = "\
Merging a page is a *rebase* if what is pending has to be rolled back and done again on top of it,
and an *advance* if it can stay as it is. Either brings what the pusher waits for; only the rebase
woke it. These todos do not touch each other, so this is an advance:
";

const FIRST_FIX: &str = "\
The first published fix: when an advance is merged, wake the pusher if it is parked. In the order
above that helps:";

const OVERTAKEN: &str = "\
But two messages are on their way from upstream, the answer to the push and the page, and they
travel by different roads. If the page arrives first, the pusher is not parked yet, nor woken.
Then the answer arrives, and it parks, for an advance that has already been.
";

const SHIPS: &str = "\
The pusher reads the epoch before it sends, and parks on “behind” only if the epoch is still the
same, under the lock under which an advance counts it. Either it parks first, and the advance finds
it parked and wakes it; or the advance is first, and it does not park. (`advanced` and `behind` in
core/src/protocol/push.rs.) Both orders, the answer first:
";

const MODELS: &str = "\
Two orders have been shown; there are many more. loom runs the same code, with the same three
threads, one commit and one event of another client's, in every order that there is:

    RUSTFLAGS=\"--cfg loom\" cargo test --test models -- replicator::advance_resumes_the_pusher

It ends by itself after 4,270 executions, without a bound, and in each of them the commit settles.
With ResumeOnRebaseOnly switched on the same model fails in execution 28, with ParkedFlag in
execution 27. Without `-- replicator::…` the same command runs all models; loom-tests/main.rs is
their index: each property, how far it is searched, and the known bugs that it finds.
";

fn text(parts: &Parts, colour: bool) -> String {
    let Parts { h001, helped, defeated, ships, ships_too } = parts;
    let rule = |title: &str| {
        let line = format!("── {title} {}", "─".repeat(diagram::WIDTH - 4 - title.chars().count()));
        format!("\n{}\n\n", Style::Bold.paint(&line, colour))
    };
    let verdict = |part: &Part| {
        let style = if part.stalled() { Style::Bad } else { Style::Good };
        format!("  {}\n", style.paint(&part.verdict(), colour))
    };
    [
        rule("H001: something is pending, and is never sent"),
        INTRODUCTION.to_owned(),
        rule("1. The stall: only a rebase wakes the pusher (known bug ResumeOnRebaseOnly)"),
        format!("{REBASE_ONLY}\n"),
        h001.draw(Option::None, colour),
        why(h001, colour),
        rule("2. The first fix, and the order that defeats it (known bug ParkedFlag)"),
        format!("{FIRST_FIX}\n\n"),
        verdict(helped),
        format!("\n{OVERTAKEN}\n"),
        defeated.draw(Some(h001), colour),
        why(defeated, colour),
        rule("3. The code that ships"),
        format!("{SHIPS}\n"),
        ships.draw(Some(h001), colour),
        format!("\n{}\nand the page first:\n\n", verdict(ships)),
        ships_too.draw(Some(h001), colour),
        format!("\n{}", verdict(ships_too)),
        rule("4. Not these two orders alone, but all"),
        MODELS.to_owned(),
    ]
    .concat()
}

/// The diagnosis, read off the replicator's status.
fn why(part: &Part, colour: bool) -> String {
    let End::Stalled(stall) = &part.scene.end else { return String::new() };
    let Stall { since, epoch, target, upstream_head, awaited_pull, pull, waiting_on, restarted, .. } = stall;
    let diagnosis = format!("{} Not because a time-out said so, but by its status:", part.verdict());
    let diagnosis = diagram::wrap(&diagnosis, diagram::WIDTH).join("\n");
    let diagnosis = diagnosis.replacen("Stalled:", &Style::Bad.paint("Stalled:", colour), 1);
    let after = if *restarted {
        "Nothing was missing but a look: after a `restart()` by hand all of them are at upstream."
    } else {
        "A `restart()` by hand did not help either."
    };
    format!(
        "
{diagnosis}

  push         Behind {{ since: {since}, target: {target}, until: None, pull: {awaited_pull} }}
               no push is in flight, and no time ends the wait
  epoch        {epoch}, and upstream_head {upstream_head}
               what it waits for has come: the epoch is past {since}, event {target} is here
  pull         Pulling {{ ticket: {pull}, ending: false }}
               the end of pull {awaited_pull} would wake it; but pull {pull} goes on, and has brought all there is
  waiting_on   {waiting_on}
               which has no more to say

{after}
"
    )
}
