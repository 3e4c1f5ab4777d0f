//! Measuring in turns: each round gives every contender one short turn, so that whatever else the machine does strikes
//! all of them alike. What counts is the ratio *within* a round; of the rounds' ratios the median and the quartiles.

use std::time::Instant;

use serde::Serialize;

/// What takes part: a name, and one turn of it, which returns what was measured.
pub struct Contender<'a> {
    pub name: &'static str,
    turn: Box<dyn FnMut() -> f64 + 'a>,
}

impl<'a> Contender<'a> {
    pub fn new(name: &'static str, turn: impl FnMut() -> f64 + 'a) -> Self {
        Self { name, turn: Box::new(turn) }
    }
}

/// What the contenders measured: the same rounds for all.
#[derive(Debug)]
pub struct Results(Vec<(&'static str, Vec<f64>)>);

/// Lets the contenders take turns. Who begins changes from round to round; a first round, in which everything is cold, does
/// not count.
pub fn take_turns(rounds: usize, mut contenders: Vec<Contender>) -> Results {
    let mut results: Vec<_> = contenders.iter().map(|one| (one.name, Vec::with_capacity(rounds))).collect();
    let count = contenders.len();
    for round in 0..=rounds {
        for turn in 0..count {
            let index = (round + turn) % count;
            let measured = (contenders[index].turn)();
            if round > 0 {
                results[index].1.push(measured);
            }
        }
    }
    Results(results)
}

impl Results {
    fn of(&self, name: &str) -> &[f64] {
        let found = self.0.iter().find(|(other, _)| *other == name);
        &found.unwrap_or_else(|| panic!("no contender is called {name}")).1
    }

    /// What one of them measured.
    pub fn spread(&self, name: &str) -> Spread {
        Spread::of(self.of(name).to_vec())
    }

    /// How many times as much `name` measured as `other`.
    pub fn ratio(&self, name: &str, other: &str) -> Spread {
        Spread::of(self.of(name).iter().zip(self.of(other)).map(|(one, other)| one / other).collect())
    }

    /// The one of `names` that measured least.
    pub fn least(&self, names: &[&'static str]) -> &'static str {
        let median = |name: &&str| self.spread(name).median;
        names.iter().copied().min_by(|one, other| median(one).total_cmp(&median(other))).expect("there are contenders")
    }

    /// All of them, for the record.
    pub fn all(&self) -> Vec<(&'static str, Spread)> {
        self.0.iter().map(|(name, _)| (*name, self.spread(name))).collect()
    }
}

/// The least of some figures, and their quartiles.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    pub least: f64,
    pub lower: f64,
    pub median: f64,
    pub upper: f64,
}

impl Spread {
    pub fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_unstable_by(f64::total_cmp);
        let at = |quarter: usize| figures[(figures.len() - 1) * quarter / 4];
        Self { least: at(0), lower: at(1), median: at(2), upper: at(3) }
    }

    /// A figure without a spread.
    pub fn exactly(figure: f64) -> Self {
        Self { least: figure, lower: figure, median: figure, upper: figure }
    }
}

/// The least of three: what takes milliseconds rarely gets by without another process in between.
pub fn best_of_three(measure: impl Fn() -> f64) -> f64 {
    (0..3).map(|_| measure()).fold(f64::INFINITY, f64::min)
}

/// Nanoseconds for each of `count` calls.
#[expect(clippy::inline_always, reason = "a call of this would be measured too")]
#[inline(always)]
pub fn each(count: usize, mut call: impl FnMut()) -> f64 {
    let begin = Instant::now();
    for _ in 0..count {
        call();
    }
    begin.elapsed().as_nanos() as f64 / count as f64
}

/// As [`each`], for calls so short that it would matter how the loop around them lies in memory.
#[inline(always)]
pub fn each_of_many(count: usize, mut call: impl FnMut()) -> f64 {
    const AT_ONCE: usize = 16;
    let many = || (0..AT_ONCE).for_each(|_| call());
    each(count / AT_ONCE, many) / AT_ONCE as f64
}
