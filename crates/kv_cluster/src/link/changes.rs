//! Subscriptions over a link, in both directions: changes of this node's buckets go to the peer, and changes
//! of its buckets to the subscribers on this node.

use crate::{
    error::{Error, ProtocolError},
    limits::{FRAME_BYTES, UNSENT_BYTES},
    link::{
        Link, State, buffers,
        codec::{Message, SubscribeResult},
        pending::{RemoteSubscriber, ReplyReceiver, ReplySender, Waiter},
        send_queue::MessageWriter,
        unexpected_reply,
    },
};
use kv::{Backlog, Change, Event, Subscription};
use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::sync::futures::Notified;

/// Why a change was not sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    /// Too much is unsent; wait for capacity.
    Full,
    /// It exceeds a frame.
    TooLarge,
    /// The link is gone.
    Closed,
}

impl Link {
    /// Subscribes to the changes of a bucket, which are queued in `backlog`.
    pub(crate) fn subscribe(
        &self,
        bucket: &[u8],
        backlog: &Arc<Backlog>,
    ) -> Result<(Subscription, ReplyReceiver<SubscribeResult>), Error> {
        let (reply, receiver) = ReplySender::new();
        let (publisher, changes) = Subscription::new(bucket, backlog);
        let subscriber = RemoteSubscriber { bucket: bucket.into(), publisher };
        let subscription = self.next_subscription.fetch_add(1, Relaxed);
        let message = |id| Message::Subscribe { id, subscription, bucket };
        self.enqueue(message, |_| Ok(0), |_| Waiter::Subscribe { subscription, subscriber, reply })?;
        Ok((changes, receiver))
    }

    /// The result of a subscribe has arrived.
    pub(crate) fn on_subscribed(&self, id: u32, result: SubscribeResult) -> Result<(), ProtocolError> {
        let mut state = self.lock();
        let Some(Waiter::Subscribe { subscription, subscriber, reply }) = state.calls.remove(id) else {
            return Err(unexpected_reply(id));
        };
        if matches!(result, SubscribeResult::Subscribed) {
            state.subscribers.insert(subscription, subscriber);
        }
        // If the caller has gone, `reap` unsubscribes.
        reply.send(result);
        Ok(())
    }

    /// Sends one change of a bucket of this node to the peer, which is subscribed to it.
    pub(crate) fn send_change(&self, subscription: u64, change: &Change) -> Result<(), SendError> {
        let mut state = self.lock();
        if state.closed {
            return Err(SendError::Closed);
        }
        if state.queue.frames.len() >= UNSENT_BYTES {
            return Err(SendError::Full);
        }
        let change = Cow::Borrowed(change);
        let writer = MessageWriter::begin(&mut state.queue, &Message::Changed { subscription, change });
        if writer.size() > FRAME_BYTES {
            writer.rollback();
            return Err(SendError::TooLarge);
        }
        writer.finish();
        self.wake_task(state);
        Ok(())
    }

    /// Ready when changes can be sent again.
    pub(crate) fn capacity_available(&self) -> Notified<'_> {
        self.capacity.notified()
    }

    /// A change of a bucket of the peer has arrived. It is ignored if no one is subscribed any longer.
    pub(crate) fn on_change(&self, subscription: u64, change: Change) {
        let mut state = self.lock();
        let Some(subscriber) = state.subscribers.get(&subscription) else { return };
        let is_end = matches!(change, Change::Ended(_));
        let event = Event { bucket: subscriber.bucket.clone(), change };
        let received = subscriber.publisher.publish(Arc::new(event));
        if is_end {
            state.subscribers.remove(&subscription);
        } else if !received {
            unsubscribe(&mut state, subscription);
            self.wake_task(state);
        }
    }

    /// Unsubscribes on behalf of subscribers that have gone, and frees memory that an idle queue does not
    /// need.
    pub(crate) fn reap(&self) {
        let mut state = self.lock();
        let gone =
            |(id, subscriber): (&u64, &RemoteSubscriber)| subscriber.publisher.is_closed().then_some(*id);
        let gone: Vec<u64> = state.subscribers.iter().filter_map(gone).collect();
        for subscription in &gone {
            unsubscribe(&mut state, *subscription);
        }
        buffers::shrink(&mut state.queue.frames);
        if !gone.is_empty() {
            self.wake_task(state);
        }
    }
}

fn unsubscribe(state: &mut State, subscription: u64) {
    state.subscribers.remove(&subscription);
    MessageWriter::begin(&mut state.queue, &Message::Unsubscribe { subscription }).finish();
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv::{Op, Request};
    use tokio::sync::oneshot::error::TryRecvError;

    #[test]
    fn changes_wait_when_too_much_is_unsent_and_calls_of_a_closed_link_end() {
        let link = Link::new("bar@127.0.0.1".parse().unwrap());
        let value = vec![b'x'; 1024 * 1024].into_boxed_slice();
        let change = Change::Set { key: b"milk".as_slice().into(), value };
        while link.send_change(1, &change).is_ok() {}
        assert_eq!(link.send_change(1, &change), Err(SendError::Full));
        link.drain_outgoing(|queue| queue.frames.clear());
        assert_eq!(link.send_change(1, &change), Ok(()));
        let (_, mut reply) = link.call(&[Request::new(b"shopping", Op::Create)]).unwrap();
        link.close();
        assert!(matches!(reply.try_recv(), Err(TryRecvError::Closed)));
        assert_eq!(link.send_change(1, &change), Err(SendError::Closed));
    }
}
