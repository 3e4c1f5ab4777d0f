//! A queue of events in the vectors that brought them.
//!
//! A log may have a million events pending, and is changed under a lock that the workers need. One
//! large `VecDeque` copies them all when it grows, under that lock, and appends to cold memory.
//! Here the vector that a commit brings **becomes** a chunk of the queue: nothing is moved, and it
//! is in the cache of the thread that made it. Commits that are small join the last chunk, so that
//! a chunk is worth its place.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;

/// Commits that together are no more than this share a chunk.
const SHARED: usize = 64;

/// A queue.
#[derive(Clone)]
pub(super) struct ChunkedQueue<T> {
    /// In order.
    chunks: VecDeque<VecDeque<T>>,
    /// How many items all of them hold.
    len: usize,
}

impl<T> ChunkedQueue<T> {
    pub(super) const fn new() -> Self {
        Self { chunks: VecDeque::new(), len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// The first `count` items, or all there are, as they lie.
    pub(super) fn first(&self, mut count: usize) -> impl Iterator<Item = &[T]> {
        self.chunks.iter().flat_map(|chunk| <[&[T]; 2]>::from(chunk.as_slices())).map_while(move |items| {
            if count == 0 {
                return None;
            }
            let items = &items[..items.len().min(count)];
            count -= items.len();
            Some(items)
        })
    }

    pub(super) fn append(&mut self, mut items: Vec<T>) {
        let count = items.len();
        match self.chunks.back_mut() {
            Some(last) if last.len() + count <= SHARED => {
                // A commit that is alone needs no more room than its own; the second one makes room for all.
                if last.capacity() < last.len() + count {
                    last.reserve_exact(SHARED - last.len());
                }
                last.extend(items);
            }
            _ => {
                items.shrink_to(2 * count.max(SHARED / 2));
                self.chunks.push_back(items.into());
            }
        }
        self.len += count;
    }

    /// Drops the first `count` items, or all there are.
    pub(super) fn drop_front(&mut self, mut count: usize) {
        while let Some(first) = self.chunks.front_mut() {
            let here = count.min(first.len());
            self.len -= here;
            if here < first.len() {
                first.drain(..here);
                return;
            }
            count -= here;
            self.chunks.pop_front();
        }
    }
    /// Takes out the items of this range, which is there; O(n).
    pub(super) fn take_out(&mut self, range: Range<usize>) -> Vec<T> {
        let mut taken = Vec::with_capacity(range.len());
        let mut start = 0;
        for chunk in &mut self.chunks {
            let end = start + chunk.len();
            let here = range.start.clamp(start, end) - start..range.end.clamp(start, end) - start;
            taken.extend(chunk.drain(here));
            start = end;
        }
        self.chunks.retain(|chunk| !chunk.is_empty());
        self.len -= taken.len();
        taken
    }

    /// The item at this index.
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.chunks.iter_mut().flatten().nth(index)
    }
}

// By the items alone: where one chunk ends and another begins depends on the past.
impl<T: PartialEq> PartialEq for ChunkedQueue<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Eq> Eq for ChunkedQueue<T> {}

impl<T: Hash> Hash for ChunkedQueue<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len.hash(state);
        self.iter().for_each(|item| item.hash(state));
    }
}

impl<T: fmt::Debug> fmt::Debug for ChunkedQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher as _, RandomState};

    use super::*;

    fn of(chunks: impl IntoIterator<Item = Vec<u32>>) -> ChunkedQueue<u32> {
        let mut queue = ChunkedQueue::new();
        chunks.into_iter().for_each(|items| queue.append(items));
        queue
    }

    #[test]
    fn take_out_takes_the_range_wherever_it_lies() {
        let chunks = || [vec![0, 1], (2..90).collect(), vec![90], (91..200).collect()];
        let all: Vec<u32> = (0..200).collect();
        for range in [0..1, 0..2, 1..3, 2..90, 89..92, 0..200, 199..200, 90..91, 50..180] {
            let (mut queue, mut left) = (of(chunks()), all.clone());
            let taken: Vec<_> = left.drain(range.clone()).collect();
            assert_eq!(queue.take_out(range), taken);
            assert_eq!((queue.iter().copied().collect::<Vec<_>>(), queue.len()), (left.clone(), left.len()));
            queue.append(vec![7]);
            assert_eq!(queue.iter().last(), Some(&7));
        }
        let mut queue = of(chunks());
        assert_eq!([0, 90, 199, 200].map(|index| queue.get_mut(index).copied()), [Some(0), Some(90), Some(199), None]);
    }

    /// Whatever is done to it, it is the queue in one piece.
    #[test]
    fn it_is_a_queue() {
        let (mut chunked, mut queue) = (ChunkedQueue::new(), VecDeque::new());
        let mut next = 0_u32;
        for (add, drop) in [
            (1, 0),
            (1, 1),
            (0, 1),
            (1, 2),
            (0, 0),
            (40, 0),
            (24, 1),
            (2, 0),
            (100, 3),
            (64, 61),
            (65, 1),
            (1, 64),
            (1, 70),
            (0, 1),
            (500, 98),
            (3, 9999),
            (1, 0),
        ] {
            chunked.append((next..next + add).collect());
            queue.extend(next..next + add);
            next += add;
            chunked.drop_front(drop);
            queue.drain(..drop.min(queue.len()));

            assert_eq!((chunked.len(), chunked.is_empty()), (queue.len(), queue.is_empty()));
            for count in [0, 1, 40, 64, 65, 600] {
                let first: Vec<_> = chunked.first(count).flatten().collect();
                assert!(first.into_iter().eq(queue.iter().take(count)), "the first {count}");
            }
            assert!(chunked.iter().eq(&queue));
        }
    }

    #[test]
    fn a_commit_stays_in_the_vector_that_brought_it() {
        let items: Vec<_> = (0..50).collect();
        let place = items.as_ptr();
        let queue = of([(0..50).collect(), items, (0..50).collect()]);
        assert_eq!(queue.chunks[1].as_slices().0.as_ptr(), place);
    }

    #[test]
    fn a_small_commit_that_is_alone_takes_no_room_for_more() {
        assert_eq!(of([vec![0]]).chunks[0].capacity(), 1);
    }

    #[test]
    fn small_commits_share_a_piece_that_grows_once() {
        let queue = of((0..6400).map(|item| vec![item]));
        assert_eq!(queue.chunks.len(), 6400 / SHARED);
        assert!(queue.chunks.iter().all(|chunk| chunk.capacity() == SHARED));
    }

    /// A vector with room for a thousand that brings five would keep all of it for as long as they are pending.
    #[test]
    fn room_that_a_commit_brought_and_did_not_use_is_given_back() {
        let mut items = Vec::with_capacity(1000);
        items.extend(0..5);
        assert_eq!(of([items]).chunks[0].capacity(), SHARED);
    }

    #[test]
    fn equal_queues_have_equal_hashes_whatever_their_past() {
        let (one, mut other) = (of([(100..1500).collect()]), of((0..30).map(|n| (n * 50..n * 50 + 50).collect())));
        other.drop_front(100);
        assert_eq!(one, other);
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
        let state = RandomState::new();
        assert_eq!(state.hash_one(&one), state.hash_one(&other));
        other.drop_front(1);
        other.append(vec![0]);
        assert_eq!(one.len(), other.len());
        assert_ne!(one, other);
        assert_ne!(state.hash_one(&one), state.hash_one(&other));
    }
}
