//! The calls of one link that wait for their answers, each under a small number.

use crate::{
    limits::{CALL_BYTES_IN_FLIGHT, CALLS_IN_FLIGHT, FRAME_BYTES, LARGE_CALL_BYTES_IN_FLIGHT},
    link::codec::{Outcome, Verdict},
    link::node_query::Told,
    link::replies::Replies,
};
use kv::Publisher;
use tokio::sync::oneshot;

/// Who waits, and for what.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// For the answers to so many requests.
    Call { requests: usize, answer: oneshot::Sender<Replies> },
    /// For a subscription to begin.
    Subscribe { subscription: u64, subscriber: Subscriber, answer: oneshot::Sender<Outcome> },
    /// For a transaction of so many requests.
    Transaction { requests: usize, answer: oneshot::Sender<(Verdict, Replies)> },
    /// For what the node says.
    Question { answer: oneshot::Sender<Told> },
}

/// A local subscriber to a bucket of the peer.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) bucket: Box<[u8]>,
    pub(crate) publisher: Publisher,
}

/// The waiting calls. When they are dropped, every waiter learns that its link is lost.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    slots: Vec<Option<(Waiter, usize)>>,
    free: Vec<u32>,
    bytes: usize,
    /// Those of calls larger than a frame are counted apart, so that no such call keeps others from being sent.
    large_bytes: usize,
}

impl Calls {
    /// The number that the next call will have; `None` when no more may wait.
    pub(crate) fn next_id(&self) -> Option<u32> {
        match self.free.last() {
            Some(id) => Some(*id),
            None if self.slots.len() < CALLS_IN_FLIGHT => Some(self.slots.len() as u32),
            None => None,
        }
    }

    /// Whether a call of so many bytes may wait too.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        match bytes > FRAME_BYTES {
            true => self.large_bytes + bytes <= LARGE_CALL_BYTES_IN_FLIGHT,
            false => self.bytes + bytes <= CALL_BYTES_IN_FLIGHT,
        }
    }

    /// Lets a call of so many bytes wait under `next_id`.
    pub(crate) fn insert(&mut self, waiter: Waiter, bytes: usize) {
        *self.waiting(bytes) += bytes;
        match self.free.pop() {
            Some(id) => self.slots[id as usize] = Some((waiter, bytes)),
            None => self.slots.push(Some((waiter, bytes))),
        }
    }

    /// Takes out the call that has been answered.
    pub(crate) fn remove(&mut self, id: u32) -> Option<Waiter> {
        let (waiter, bytes) = self.slots.get_mut(id as usize)?.take()?;
        *self.waiting(bytes) -= bytes;
        self.free.push(id);
        Some(waiter)
    }

    /// The sum in which a call of so many bytes is counted.
    fn waiting(&mut self, bytes: usize) -> &mut usize {
        if bytes > FRAME_BYTES { &mut self.large_bytes } else { &mut self.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_calls_are_bounded_and_leave_the_others_their_room() {
        let mut calls = Calls::default();
        let waiter = || Waiter::Question { answer: oneshot::channel().0 };
        calls.insert(waiter(), LARGE_CALL_BYTES_IN_FLIGHT - FRAME_BYTES);
        assert!(!calls.has_room(FRAME_BYTES + 1));
        assert!(calls.has_room(FRAME_BYTES));
        assert!(calls.remove(0).is_some());
        assert!(calls.has_room(FRAME_BYTES + 1));
        (0..4).for_each(|_| calls.insert(waiter(), FRAME_BYTES));
        assert!(!calls.has_room(1));
        assert!(calls.has_room(LARGE_CALL_BYTES_IN_FLIGHT));
    }
}
