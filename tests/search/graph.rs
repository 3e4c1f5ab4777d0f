//! The graph of steps: whether every path through it ends.

use std::collections::HashMap;

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
        let mut states: HashMap<u64, (usize, usize)> = HashMap::new();
        for &(from, to) in &self.steps {
            states.entry(from).or_default();
            states.entry(to).or_default().0 += 1;
        }
        let mut free: Vec<u64> = states.iter().filter(|(_, (into, _))| *into == 0).map(|(&state, _)| state).collect();
        let (mut taken, mut longest) = (0, 0);
        while let Some(state) = free.pop() {
            taken += 1;
            let length = states[&state].1;
            longest = longest.max(length);
            let first = self.steps.partition_point(|&(from, _)| from < state);
            for &(_, to) in self.steps[first..].iter().take_while(|&&(from, _)| from == state) {
                let (into, reached) = states.get_mut(&to).expect("it was entered above");
                *into -= 1;
                *reached = (*reached).max(length + 1);
                if *into == 0 {
                    free.push(to);
                }
            }
        }
        (taken == states.len()).then_some(longest)
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
