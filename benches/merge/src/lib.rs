//! Rows of a table of measurements.

use std::time::Duration;

/// Measures one kind of work at each of three sizes and prints it, divided by `per`. The sizes take turns within each
/// round, so that whatever else the machine does strikes them alike; a figure is min / median / max over the rounds.
pub fn print_row(rounds: usize, name: &str, unit: &str, per: [usize; 3], work: &mut dyn FnMut(usize) -> Duration) {
    let mut measured: [Vec<Duration>; 3] = Default::default();
    for _ in 0..rounds {
        for (size, measured) in measured.iter_mut().enumerate() {
            measured.push(work(size));
        }
    }
    print!("| {name} | {unit} |");
    for (mut measured, per) in measured.into_iter().zip(per) {
        measured.sort_unstable();
        let at = |index: usize| measured[index].as_nanos() as f64 / per as f64;
        let last = measured.len() - 1;
        print!(" {:.2} / {:.2} / {:.2} |", at(0), at(last / 2), at(last));
    }
    println!();
}
