//! The calls of one link that are waiting for replies, each under a small id.

use crate::{
    limits::{CALL_BYTES_IN_FLIGHT, CALLS_IN_FLIGHT, FRAME_BYTES, LARGE_CALL_BYTES_IN_FLIGHT},
    link::{
        codec::{SubscribeResult, TransactionResult},
        node_query::NodeReply,
        replies::Replies,
    },
};
use kv::Publisher;
use tokio::sync::oneshot;

/// The sender's end of a call, by what it waits for.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// For the replies to `requests` requests.
    Call { requests: usize, reply: oneshot::Sender<Replies> },
    /// For a subscription to start.
    Subscribe { subscription: u64, subscriber: RemoteSubscriber, reply: oneshot::Sender<SubscribeResult> },
    /// For a transaction of `requests` requests.
    Transaction { requests: usize, reply: oneshot::Sender<(TransactionResult, Replies)> },
    /// For the reply to a node query.
    NodeQuery { reply: oneshot::Sender<NodeReply> },
}

/// A subscriber on this node to a bucket of the peer.
#[derive(Debug)]
pub(crate) struct RemoteSubscriber {
    pub(crate) bucket: Box<[u8]>,
    pub(crate) publisher: Publisher,
}

/// The calls in flight. Dropping them when the link is lost ends every wait.
#[derive(Debug, Default)]
pub(crate) struct PendingCalls {
    slots: Vec<Option<(Waiter, usize)>>,
    free: Vec<u32>,
    bytes: usize,
    /// Calls larger than a frame are counted separately, so that they do not keep others from being sent.
    large_bytes: usize,
}

impl PendingCalls {
    /// The id of the next call; `None` if too many are in flight.
    pub(crate) fn next_id(&self) -> Option<u32> {
        match self.free.last() {
            Some(id) => Some(*id),
            None if self.slots.len() < CALLS_IN_FLIGHT => Some(self.slots.len() as u32),
            None => None,
        }
    }

    /// Whether there is room for a call of `bytes` bytes.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        match bytes > FRAME_BYTES {
            true => self.large_bytes + bytes <= LARGE_CALL_BYTES_IN_FLIGHT,
            false => self.bytes + bytes <= CALL_BYTES_IN_FLIGHT,
        }
    }

    /// Adds a call of `bytes` bytes under [`PendingCalls::next_id`].
    pub(crate) fn insert(&mut self, waiter: Waiter, bytes: usize) {
        *self.byte_count(bytes) += bytes;
        match self.free.pop() {
            Some(id) => self.slots[id as usize] = Some((waiter, bytes)),
            None => self.slots.push(Some((waiter, bytes))),
        }
    }

    /// Removes the call, whose reply has arrived.
    pub(crate) fn remove(&mut self, id: u32) -> Option<Waiter> {
        let (waiter, bytes) = self.slots.get_mut(id as usize)?.take()?;
        *self.byte_count(bytes) -= bytes;
        self.free.push(id);
        Some(waiter)
    }

    /// The counter for a call of `bytes` bytes.
    fn byte_count(&mut self, bytes: usize) -> &mut usize {
        if bytes > FRAME_BYTES { &mut self.large_bytes } else { &mut self.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_calls_are_bounded_and_leave_room_for_the_others() {
        let mut calls = PendingCalls::default();
        let waiter = || Waiter::NodeQuery { reply: oneshot::channel().0 };
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
