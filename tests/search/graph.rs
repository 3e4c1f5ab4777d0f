//! The graph of steps: whether every path through it ends.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Which step leads from which state to which.
#[derive(Debug, Default)]
pub struct Graph {
    steps: Vec<(u64, u64)>,
}

impl Graph {
    pub fn add(&mut self, from: u64, to: u64) {
        self.steps.push((from, to));
    }

    /// The length of the longest path; `None` if there is a cycle.
    ///
    /// Takes away, again and again, the states to which no step leads any more. What is left when that comes to an end is
    /// on a cycle or behind one.
    pub fn longest_path(mut self) -> Option<usize> {
        self.steps.sort_unstable();
        self.steps.dedup();
        let mut states: HashMap<u64, Node, BuildHasherDefault<Fingerprint>> = HashMap::default();
        for (index, &(from, to)) in self.steps.iter().enumerate().rev() {
            states.entry(from).or_default().first = Some(index);
            states.entry(to).or_default().entrances += 1;
        }
        let mut free: Vec<u64> =
            states.iter().filter(|(_, node)| node.entrances == 0).map(|(&state, _)| state).collect();
        let (mut taken, mut longest) = (0, 0);
        while let Some(state) = free.pop() {
            taken += 1;
            let Node { length, first, .. } = states[&state];
            longest = longest.max(length);
            let steps = first.map_or(&[][..], |first| &self.steps[first..]);
            for &(_, to) in steps.iter().take_while(|&&(from, _)| from == state) {
                let node = states.get_mut(&to).expect("it was entered above");
                node.entrances -= 1;
                node.length = node.length.max(length + 1);
                if node.entrances == 0 {
                    free.push(to);
                }
            }
        }
        (taken == states.len()).then_some(longest)
    }
}

#[derive(Default)]
struct Node {
    /// How many steps lead here that have not been taken away.
    entrances: usize,
    /// The longest path here.
    length: usize,
    /// Where the steps begin that lead away.
    first: Option<usize>,
}

/// A state's fingerprint is a hash already.
#[derive(Default)]
struct Fingerprint(u64);

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("a fingerprint is a number");
    }

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }
}

#[test]
fn a_cycle_has_no_longest_path_and_a_diamond_has_one() {
    let path = |steps: &[(u64, u64)]| Graph { steps: steps.to_vec() }.longest_path();
    assert_eq!(path(&[]), Some(0));
    assert_eq!(path(&[(1, 2), (1, 3), (2, 4), (3, 4), (2, 3), (1, 2)]), Some(3));
    assert_eq!(path(&[(1, 2), (2, 3), (3, 2)]), None);
    assert_eq!(path(&[(1, 1)]), None);
}
