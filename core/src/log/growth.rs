//! `VecDeque` that grows by half instead of doubling.
//!
//! A queue that doubles its room when it is full has up to twice as much as it needs, and what is pending is counted in
//! bytes for each event. By half it grows more often, which the benches do not notice.

use std::collections::VecDeque;

/// Adds an item. A queue that is full grows by half.
#[inline]
pub(crate) fn push_back<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == queue.capacity() {
        grow(queue);
    }
    queue.push_back(item);
}

#[cold]
fn grow<T>(queue: &mut VecDeque<T>) {
    queue.reserve_exact((queue.len() / 2).max(4));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_has_half_as_much_room_again_at_most() {
        let mut queue = VecDeque::new();
        let mut grown = 0;
        for item in 0..10_000 {
            let before = queue.capacity();
            push_back(&mut queue, item);
            grown += usize::from(queue.capacity() != before);
            assert!(queue.capacity() <= queue.len() + (queue.len() / 2).max(4), "room for {}", queue.capacity());
        }
        assert!(queue.into_iter().eq(0..10_000));
        assert_eq!(grown, 20);
    }
}
