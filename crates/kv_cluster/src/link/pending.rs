//! The calls of one link that are waiting for replies, each under a small id.

use crate::{
    limits::{
        AMPLE_CALL_BYTES, CALL_BYTES_IN_FLIGHT, CALLS_IN_FLIGHT, FRAME_BYTES, LARGE_CALL_BYTES_IN_FLIGHT,
    },
    link::{
        codec::{SubscribeResult, TransactionResult},
        node_query::NodeReply,
        replies::CallReplies,
    },
};
use kv::Publisher;
use tokio::sync::oneshot;

/// What a caller receives: the reply, or that it did not arrive in time. Nothing if the link is lost.
pub(crate) type CallResult<T> = Result<T, CallTimedOut>;

/// The caller's end of a call.
pub(crate) type ReplyReceiver<T> = oneshot::Receiver<CallResult<T>>;

/// The reply to a call did not arrive in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallTimedOut;

/// The sender's end of a call, by what it waits for.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// For the replies to `requests` requests.
    Call { requests: usize, reply: ReplySender<CallReplies> },
    /// For a subscription to start.
    Subscribe { subscription: u64, subscriber: RemoteSubscriber, reply: ReplySender<SubscribeResult> },
    /// For a transaction of `requests` requests.
    Transaction { requests: usize, reply: ReplySender<(TransactionResult, CallReplies)> },
    /// For the reply to a node query.
    NodeQuery { reply: ReplySender<NodeReply> },
}

impl Waiter {
    /// Ends the caller's wait; the reply may still arrive.
    fn time_out(&mut self) {
        match self {
            Waiter::Call { reply, .. } => reply.time_out(),
            Waiter::Subscribe { reply, .. } => reply.time_out(),
            Waiter::Transaction { reply, .. } => reply.time_out(),
            Waiter::NodeQuery { reply } => reply.time_out(),
        }
    }
}

/// Sends a reply to its caller, once.
#[derive(Debug)]
pub(crate) struct ReplySender<T>(Option<oneshot::Sender<CallResult<T>>>);

impl<T> ReplySender<T> {
    /// A sender, and the caller's end.
    pub(crate) fn new() -> (ReplySender<T>, ReplyReceiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (ReplySender(Some(sender)), receiver)
    }

    /// Passes on the reply, unless the caller has gone or waits no longer.
    pub(crate) fn send(self, reply: T) {
        if let Some(sender) = self.0 {
            drop(sender.send(Ok(reply)));
        }
    }

    fn time_out(&mut self) {
        if let Some(sender) = self.0.take() {
            drop(sender.send(Err(CallTimedOut)));
        }
    }
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
    slots: Vec<Option<Call>>,
    free: Vec<u32>,
    /// Heartbeats of the link so far.
    heartbeats: u32,
    /// Calls whose callers wait no longer.
    timed_out: usize,
    bytes: usize,
    /// Calls larger than a frame are counted separately, so that they do not keep others from being sent.
    large_bytes: usize,
}

/// How much is in flight on a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LinkLoad {
    pub(crate) calls: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
struct Call {
    waiter: Waiter,
    bytes: usize,
    /// The heartbeats of the link when it was sent.
    since: u32,
    timed_out: bool,
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

    /// Whether few bytes of calls that are no larger than a frame are in flight.
    pub(crate) fn has_ample_room(&self) -> bool {
        self.bytes < AMPLE_CALL_BYTES
    }

    /// How many calls are in flight, and their bytes.
    pub(crate) fn load(&self) -> LinkLoad {
        LinkLoad { calls: self.slots.len() - self.free.len(), bytes: self.bytes + self.large_bytes }
    }

    /// Adds a call of `bytes` bytes under [`PendingCalls::next_id`].
    pub(crate) fn insert(&mut self, waiter: Waiter, bytes: usize) {
        *self.byte_count(bytes) += bytes;
        let call = Some(Call { waiter, bytes, since: self.heartbeats, timed_out: false });
        match self.free.pop() {
            Some(id) => self.slots[id as usize] = call,
            None => self.slots.push(call),
        }
    }

    /// Removes the call, whose reply has arrived.
    pub(crate) fn remove(&mut self, id: u32) -> Option<Waiter> {
        let Call { waiter, bytes, timed_out, .. } = self.slots.get_mut(id as usize)?.take()?;
        *self.byte_count(bytes) -= bytes;
        self.timed_out -= usize::from(timed_out);
        self.free.push(id);
        Some(waiter)
    }

    /// Counts a heartbeat, and ends the wait of those who have waited for more than `timeout` of them. Their
    /// calls keep their ids until the replies arrive. Returns how many such calls there are.
    pub(crate) fn count_heartbeat(&mut self, timeout: u32) -> usize {
        self.heartbeats = self.heartbeats.wrapping_add(1);
        for call in self.slots.iter_mut().flatten() {
            if !call.timed_out && self.heartbeats.wrapping_sub(call.since) > timeout {
                call.timed_out = true;
                call.waiter.time_out();
                self.timed_out += 1;
            }
        }
        self.timed_out
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
        let waiter = || Waiter::NodeQuery { reply: ReplySender::new().0 };
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
