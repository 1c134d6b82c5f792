//! One live link as the rest of the node sees it: calls go out, and their replies come back. Subscriptions
//! are in `changes`.
//!
//! What is sent goes [`Link`] -> send_queue (encoded by codec) -> buffers -> the socket, which the peer's
//! link task owns.

pub(crate) mod buffers;
pub(crate) mod changes;
pub(crate) mod codec;
mod large_call;
pub(crate) mod node_query;
pub(crate) mod pending;
pub(crate) mod reassembly;
pub(crate) mod replies;
pub(crate) mod send_queue;

use crate::{
    error::{Error, ProtocolError},
    limits::{
        BATCH_BYTES, CALL_REQUESTS, COPY_BYTES, FRAME_BYTES, LARGE_REPLICA_UNSENT_BYTES, MESSAGE_BYTES,
        REPLICA_UNSENT_BYTES, TRANSACTION_REQUESTS, UNSENT_BYTES,
    },
    link::{
        codec::{Message, TransactionResult},
        node_query::{NodeQuery, NodeReply},
        pending::{LinkLoad, PendingCalls, RemoteSubscriber, ReplyReceiver, ReplySender, Waiter},
        replies::CallReplies,
        send_queue::{MessageWriter, SendQueue},
    },
    node_name::NodeName,
};
use kv::{Change, EndReason, Event, FullName, LargeValue, Request};
use std::{
    collections::HashMap,
    mem::take,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::sync::{Notify, futures::Notified};

/// One live link to a peer.
#[derive(Debug)]
pub(crate) struct Link {
    node: NodeName,
    state: Mutex<State>,
    next_subscription: AtomicU64,
    /// Bytes of large messages that the link task has left to send.
    large_bytes: AtomicUsize,
    /// Wakes the link task when it is idle and there is something to send.
    send_ready: Notify,
    /// Wakes tasks that wait to send a change.
    capacity: Notify,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    /// The link task has found nothing to send, and waits to be woken.
    task_is_idle: bool,
    queue: SendQueue,
    calls: PendingCalls,
    subscribers: HashMap<u64, RemoteSubscriber>,
}

impl Link {
    pub(crate) fn new(node: NodeName) -> Link {
        Link {
            node,
            state: Mutex::default(),
            next_subscription: AtomicU64::new(0),
            large_bytes: AtomicUsize::new(0),
            send_ready: Notify::new(),
            capacity: Notify::new(),
        }
    }

    /// How much is in flight.
    pub(crate) fn load(&self) -> LinkLoad {
        self.lock().calls.load()
    }

    /// Sends as many of the first requests as fit in one call. Returns their number, and the receiver of
    /// their replies.
    pub(crate) fn call(
        &self,
        requests: &[Request<'_>],
    ) -> Result<(usize, ReplyReceiver<CallReplies>), Error> {
        let (reply, receiver) = ReplySender::new();
        let mut sent = 0;
        let fill = |writer: &mut MessageWriter<'_>| {
            let fits = |(index, request): &(usize, &Request<'_>)| {
                // One with large arguments is alone in its call, and only that may exceed a frame.
                let limit = if *index == 0 { MESSAGE_BYTES } else { FRAME_BYTES };
                let is_apart = *index > 0 && LargeValue::holds(request.op.payload_bytes());
                writer.size() < BATCH_BYTES && !is_apart && writer.push_item_within(limit, *request)
            };
            sent = requests.iter().take(CALL_REQUESTS).enumerate().take_while(fits).count();
            if sent > 0 || requests.is_empty() { Ok(sent) } else { Err(self.too_large(MESSAGE_BYTES)) }
        };
        self.enqueue(|id| Message::Call { id }, fill, |requests| Waiter::Call { requests, reply })?;
        Ok((sent, receiver))
    }

    /// Sends all requests as one transaction, or none.
    pub(crate) fn transact(
        &self,
        watched: &[(FullName<'_>, u64)],
        requests: &[Request<'_>],
    ) -> Result<ReplyReceiver<(TransactionResult, CallReplies)>, Error> {
        let (reply, receiver) = ReplySender::new();
        let watched = watched.to_vec();
        let fill = |writer: &mut MessageWriter<'_>| {
            let fits = requests.len() <= TRANSACTION_REQUESTS
                && requests.iter().all(|request| writer.push_item_within(MESSAGE_BYTES, request));
            fits.then_some(requests.len()).ok_or_else(|| self.transaction_too_large())
        };
        let waiter = |requests| Waiter::Transaction { requests, reply };
        self.enqueue(|id| Message::Transact { id, watched }, fill, waiter)?;
        Ok(receiver)
    }

    /// Sends a query to the node as a whole.
    pub(crate) fn query(&self, query: &NodeQuery<'_>) -> Result<ReplyReceiver<NodeReply>, Error> {
        let (reply, receiver) = ReplySender::new();
        let message = |id| Message::NodeQuery { id, query: query.clone() };
        self.enqueue(message, |_| Ok(0), |_| Waiter::NodeQuery { reply })?;
        Ok(receiver)
    }

    /// Sends what a replica says to another one, unless too much is unsent.
    pub(crate) fn send_of_replica(&self, frame: &[u8]) {
        let mut message = Vec::with_capacity(frame.len() + 1);
        codec::encode(&mut message, &Message::Replica);
        message.extend_from_slice(frame);
        let mut state = self.lock();
        let large_bytes = state.queue.large_bytes() + self.large_bytes.load(Relaxed);
        let has_room = match message.len() > COPY_BYTES {
            true => large_bytes == 0 || large_bytes + message.len() <= LARGE_REPLICA_UNSENT_BYTES,
            false => state.queue.frames.len() + message.len() <= REPLICA_UNSENT_BYTES,
        };
        if has_room && !state.closed {
            state.queue.push_message(message);
            self.wake_task(state);
        }
    }

    /// Notes how many bytes of large messages the link task has left to send.
    pub(crate) fn note_large_bytes(&self, bytes: usize) {
        self.large_bytes.swap(bytes, Relaxed);
    }

    /// Queues a message that the peer replies to: `message` with the id of its call, and the items that
    /// `fill` adds and counts. `waiter` receives the reply.
    fn enqueue<'m>(
        &self,
        message: impl FnOnce(u32) -> Message<'m>,
        fill: impl FnOnce(&mut MessageWriter<'_>) -> Result<usize, Error>,
        waiter: impl FnOnce(usize) -> Waiter,
    ) -> Result<(), Error> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.closed {
            return Err(self.just_lost());
        }
        let id = state.calls.next_id().ok_or_else(|| self.busy())?;
        let mut writer = MessageWriter::begin(&mut state.queue, &message(id));
        let filled = match writer.size() {
            ..=FRAME_BYTES => fill(&mut writer),
            _ => Err(self.too_large(FRAME_BYTES)),
        };
        let filled = match filled {
            Ok(_) if !state.calls.has_room(writer.size()) => Err(self.busy()),
            filled => filled,
        };
        let items = match filled {
            Ok(items) => items,
            Err(error) => {
                writer.rollback();
                return Err(error);
            }
        };
        let bytes = writer.finish();
        state.calls.insert(waiter(items), bytes);
        self.wake_task(guard);
        Ok(())
    }

    /// The peer.
    pub(crate) fn node(&self) -> &NodeName {
        &self.node
    }

    fn just_lost(&self) -> Error {
        Error::NodeDown { node: self.node.shared(), reason: "its link was just lost".into() }
    }

    fn busy(&self) -> Error {
        Error::Busy { node: self.node.shared() }
    }

    fn too_large(&self, limit: usize) -> Error {
        Error::TooLarge { node: self.node.shared(), limit }
    }

    fn transaction_too_large(&self) -> Error {
        let node = self.node.shared();
        Error::TransactionTooLarge { node, requests: TRANSACTION_REQUESTS, bytes: MESSAGE_BYTES }
    }

    /// Whether few bytes of calls are in flight.
    pub(crate) fn has_ample_room(&self) -> bool {
        self.lock().calls.has_ample_room()
    }

    /// Ready when there is something to send.
    pub(crate) fn send_ready(&self) -> Notified<'_> {
        self.send_ready.notified()
    }

    /// Passes everything that is queued to `drain`. If that is nothing, the link task is idle until it is
    /// woken.
    pub(crate) fn drain_outgoing(&self, drain: impl FnOnce(&mut SendQueue)) {
        let mut state = self.lock();
        state.task_is_idle = state.queue.is_empty();
        if state.task_is_idle {
            return;
        }
        let was_full = state.queue.frames.len() >= UNSENT_BYTES;
        drain(&mut state.queue);
        drop(state);
        if was_full {
            self.capacity.notify_waiters();
        }
    }

    /// The replies to a call have arrived.
    pub(crate) fn on_replies(&self, id: u32, replies: CallReplies) -> Result<(), ProtocolError> {
        match self.lock().calls.remove(id) {
            Some(Waiter::Call { requests, reply })
                if replies.len() <= requests && (requests == 0 || !replies.is_empty()) =>
            {
                reply.send(replies);
                Ok(())
            }
            _ => Err(unexpected_reply(id)),
        }
    }

    /// The result of a transaction has arrived.
    pub(crate) fn on_transacted(
        &self,
        id: u32,
        result: TransactionResult,
        replies: CallReplies,
    ) -> Result<(), ProtocolError> {
        match self.lock().calls.remove(id) {
            Some(Waiter::Transaction { requests, reply })
                if replies.len() == if result == TransactionResult::Executed { requests } else { 0 } =>
            {
                reply.send((result, replies));
                Ok(())
            }
            _ => Err(unexpected_reply(id)),
        }
    }

    /// The reply to a node query has arrived.
    pub(crate) fn on_node_reply(&self, id: u32, node_reply: NodeReply) -> Result<(), ProtocolError> {
        let Some(Waiter::NodeQuery { reply }) = self.lock().calls.remove(id) else {
            return Err(unexpected_reply(id));
        };
        reply.send(node_reply);
        Ok(())
    }

    /// Counts a heartbeat, and ends the wait for replies that have not arrived for `timeout` of them. Returns
    /// how many calls are still without a reply after that.
    pub(crate) fn time_out_calls(&self, timeout: u32) -> usize {
        self.lock().calls.count_heartbeat(timeout)
    }

    /// Ends the link, with every call and subscription that depends on it.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let (calls, subscribers) = (take(&mut state.calls), take(&mut state.subscribers));
        state.queue = SendQueue::default();
        drop(state);
        self.capacity.notify_waiters();
        drop(calls);
        for RemoteSubscriber { bucket, publisher } in subscribers.into_values() {
            publisher.publish(Arc::new(Event { bucket, change: Change::Ended(EndReason::NodeDown) }));
        }
    }

    fn wake_task(&self, mut state: MutexGuard<'_, State>) {
        let was_idle = take(&mut state.task_is_idle);
        drop(state);
        if was_idle {
            self.send_ready.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in one task that uses the link must not spread to the others.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unexpected_reply(id: u32) -> ProtocolError {
    ProtocolError(format!("an unexpected reply to call {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{limits::CALLS_IN_FLIGHT, link::codec::ForwardedReply};
    use kv::Op;

    fn link() -> Link {
        Link::new("bar@127.0.0.1".parse().unwrap())
    }

    #[test]
    fn a_link_with_too_many_bytes_in_flight_is_busy_until_a_reply_arrives() {
        let (link, value) = (link(), vec![b'x'; 1024 * 1024]);
        let request = Request::new(b"shopping", Op::Put { key: b"milk", value: &value });
        let calls: Vec<_> = (0..1_000).map_while(|_| link.call(&[request]).ok()).collect();
        assert_eq!(calls.len(), 63, "64 MiB, less the frames' own bytes");
        assert!(matches!(link.call(&[request]), Err(Error::Busy { .. })));
        let mut replies = Vec::new();
        codec::encode(&mut replies, &ForwardedReply::NotOwner);
        link.on_replies(0, CallReplies::decode(&replies).unwrap()).unwrap();
        assert!(link.call(&[request]).is_ok());
    }

    #[test]
    fn frames_of_replicas_that_do_not_leave_are_dropped_and_small_ones_do_not_wait_for_large_ones() {
        let link = link();
        let queued = || {
            let state = link.lock();
            (state.queue.frames.len(), state.queue.large_bytes())
        };
        for _ in 0..100 {
            link.send_of_replica(&vec![0; 2 * COPY_BYTES]);
        }
        let (_, large) = queued();
        assert!((LARGE_REPLICA_UNSENT_BYTES / 2..=LARGE_REPLICA_UNSENT_BYTES).contains(&large), "{large}");
        link.send_of_replica(b"small");
        assert!(queued().0 > 0);
        for _ in 0..100 {
            link.send_of_replica(&vec![0; COPY_BYTES / 2]);
        }
        let (small, _) = queued();
        assert!((REPLICA_UNSENT_BYTES / 2..=2 * REPLICA_UNSENT_BYTES).contains(&small), "{small}");
        link.drain_outgoing(|queue| *queue = SendQueue::default());
        link.send_of_replica(&vec![0; 2 * LARGE_REPLICA_UNSENT_BYTES]);
        assert!(queued().1 > LARGE_REPLICA_UNSENT_BYTES, "one that is larger goes alone");
    }

    #[test]
    fn a_link_with_too_many_calls_in_flight_is_busy() {
        let (link, request) = (link(), Request::new(b"shopping", Op::Create));
        let calls: Vec<_> = (0..1_000_000).map_while(|_| link.call(&[request]).ok()).collect();
        assert_eq!(calls.len(), CALLS_IN_FLIGHT);
        assert!(matches!(link.call(&[request]), Err(Error::Busy { .. })));
    }
}
