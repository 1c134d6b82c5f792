//! Subscriptions to the changes of a bucket: the events, and the two ends of a subscription.

use crate::{
    limits::SUBSCRIBER_EVENTS,
    pubsub::backlog::{Backlog, QueueReceiver, QueueSender, queue},
};
use serde::{Deserialize, Serialize};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio_stream::Stream;

/// One change of one bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The bucket's name.
    pub bucket: Box<[u8]>,
    /// The change.
    pub change: Change,
}

/// A change of a bucket, or the end of its changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// `key` has a new value.
    Set {
        /// The key.
        #[serde(with = "crate::bounded_serde")]
        key: Box<[u8]>,
        /// Its new value.
        #[serde(with = "crate::bounded_serde")]
        value: Box<[u8]>,
    },
    /// `key` was deleted.
    Deleted {
        /// The key.
        #[serde(with = "crate::bounded_serde")]
        key: Box<[u8]>,
    },
    /// No more changes will come.
    Ended(EndReason),
    /// Changes may be missing here.
    Interrupted,
}

/// Why a subscription ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndReason {
    /// The bucket was dropped.
    Dropped,
    /// The bucket expired.
    Expired,
    /// The bucket crashed.
    Crashed,
    /// The store was restarted by its supervisor.
    Restarted,
    /// The link to the bucket's node was lost.
    NodeDown,
    /// The subscriber did not keep up with the changes.
    FellBehind,
}

impl Event {
    /// Bytes of its bucket's name, its key and its value.
    pub fn size(&self) -> usize {
        let change = match &self.change {
            Change::Set { key, value } => key.len() + value.len(),
            Change::Deleted { key } => key.len(),
            Change::Ended(_) | Change::Interrupted => 0,
        };
        self.bucket.len() + change
    }
}

/// The receiving end of a bucket's changes: a stream that closes after [`Change::Ended`]. Dropping it ends
/// the subscription.
#[derive(Debug)]
pub struct Subscription {
    bucket: Box<[u8]>,
    events: QueueReceiver<Arc<Event>>,
    ended: bool,
}

/// The sending end of a bucket's changes. It never blocks: a subscriber that does not keep up is dropped.
#[derive(Debug)]
pub struct Publisher {
    events: QueueSender<Arc<Event>>,
}

impl Subscription {
    /// A subscription to the changes of `bucket`, which are queued in `backlog`, and the publisher that feeds
    /// it.
    pub fn new(bucket: &[u8], backlog: &Arc<Backlog>) -> (Publisher, Subscription) {
        let (sender, receiver) = queue(SUBSCRIBER_EVENTS, backlog);
        let subscription = Subscription { bucket: bucket.into(), events: receiver, ended: false };
        (Publisher { events: sender }, subscription)
    }
}

impl Stream for Subscription {
    type Item = Arc<Event>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Arc<Event>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let event = ready!(self.events.poll_receive(context)).unwrap_or_else(|| {
            Arc::new(Event { bucket: self.bucket.clone(), change: Change::Ended(EndReason::FellBehind) })
        });
        self.ended = matches!(event.change, Change::Ended(_));
        Poll::Ready(Some(event))
    }
}

impl Publisher {
    /// Queues one event. Returns `false` if the subscriber is gone or fell behind; remove it then.
    pub fn publish(&self, event: Arc<Event>) -> bool {
        let bytes = event.size();
        self.events.send(event, bytes)
    }

    /// Whether the subscriber is gone.
    pub fn is_closed(&self) -> bool {
        self.events.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_stream::StreamExt;

    const MIB: usize = 1024 * 1024;

    fn subscription() -> (Publisher, Subscription) {
        Subscription::new(b"shopping", &Backlog::new(8 * MIB, |_, _| {}))
    }

    fn set(value: &[u8]) -> Arc<Event> {
        let change = Change::Set { key: (*b"milk").into(), value: value.into() };
        Arc::new(Event { bucket: (*b"shopping").into(), change })
    }

    fn ended(end: EndReason) -> Option<Arc<Event>> {
        Some(Arc::new(Event { bucket: (*b"shopping").into(), change: Change::Ended(end) }))
    }

    #[tokio::test]
    async fn changes_arrive_in_order_until_the_end() {
        let (publisher, mut changes) = subscription();
        assert!(publisher.publish(set(b"1")) && publisher.publish(set(b"2")));
        assert!(publisher.publish(ended(EndReason::Dropped).expect("an event")));
        assert_eq!(changes.next().await, Some(set(b"1")));
        assert_eq!(changes.next().await, Some(set(b"2")));
        assert_eq!(changes.next().await, ended(EndReason::Dropped));
        assert_eq!(changes.next().await, None);
    }

    #[tokio::test]
    async fn a_subscriber_that_falls_behind_is_dropped_and_notified() {
        let (publisher, mut changes) = subscription();
        let taken = (0..2 * SUBSCRIBER_EVENTS).take_while(|_| publisher.publish(set(b"1"))).count();
        assert_eq!(taken, SUBSCRIBER_EVENTS);
        drop(publisher);
        for _ in 0..taken {
            assert_eq!(changes.next().await, Some(set(b"1")));
        }
        assert_eq!(changes.next().await, ended(EndReason::FellBehind));
    }

    #[test]
    fn queued_changes_are_bounded_in_bytes() {
        let (publisher, _changes) = subscription();
        let megabyte = set(&[0; MIB]);
        let taken = (0..SUBSCRIBER_EVENTS).take_while(|_| publisher.publish(megabyte.clone())).count();
        assert_eq!(taken, 7);
    }

    #[test]
    fn a_subscriber_that_left_is_noticed() {
        let (publisher, changes) = subscription();
        drop(changes);
        assert!(publisher.is_closed() && !publisher.publish(set(b"1")));
    }
}
