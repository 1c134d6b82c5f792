//! One client's subscriptions to the changes of buckets, in either protocol, and the backlog of all its
//! subscriptions.

use crate::{
    limits::{BACKLOG_BYTES, EVENTS_AT_ONCE, OUTPUT_BYTES, SUBSCRIPTION_BYTES, SUBSCRIPTIONS},
    memory::{Account, Charge, Use},
};
use kv::{Backlog, Event, Subscription};
use std::{
    future::{pending, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
};
use tokio_stream::{Stream, StreamMap};

/// The buckets whose changes a client receives.
pub(super) struct BucketSubscriptions {
    changes: StreamMap<Box<[u8]>, Subscription>,
    /// Made for the first subscription.
    backlog: Option<Arc<Backlog>>,
    /// The subscriptions without their backlog.
    charge: Charge,
}

impl BucketSubscriptions {
    /// No subscriptions, charged to `account`.
    pub(super) fn new(account: &Arc<Account>) -> BucketSubscriptions {
        let charge = Charge::new(account, Use::Session);
        BucketSubscriptions { changes: StreamMap::default(), backlog: None, charge }
    }

    /// What is queued for all subscriptions of the client, those to channels included. It counts as output.
    pub(super) fn backlog(&mut self) -> &Arc<Backlog> {
        self.backlog.get_or_insert_with(|| {
            // Weak, because a publisher may outlive the connection.
            let account = Arc::downgrade(self.charge.account());
            Backlog::new(BACKLOG_BYTES, move |before, now| {
                if let Some(account) = account.upgrade() {
                    account.change(Use::Output, before, now);
                }
            })
        })
    }

    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn contains(&self, bucket: &[u8]) -> bool {
        self.changes.contains_key(bucket)
    }

    /// Whether no other bucket can be subscribed to.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= SUBSCRIPTIONS
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.changes.keys().map(|bucket| &**bucket)
    }

    /// Adds a subscription, in place of an earlier one to the same bucket.
    pub(super) fn insert(&mut self, bucket: &[u8], changes: Subscription) {
        if self.changes.insert(bucket.into(), changes).is_none() {
            self.charge.add(charged_bytes(bucket));
        }
    }

    /// Ends a subscription.
    pub(super) fn remove(&mut self, bucket: &[u8]) {
        if self.changes.remove(bucket).is_some() {
            self.charge.subtract(charged_bytes(bucket));
        }
    }

    /// Waits for changes and takes those that have arrived; waits forever without a subscription. One whose
    /// end is among them must be removed.
    pub(super) async fn next_changes(&mut self) -> Vec<(Box<[u8]>, Arc<Event>)> {
        if self.is_empty() {
            return pending().await;
        }
        next_items(&mut self.changes, |(_, event)| event.size()).await
    }
}

/// What a subscription counts: the bucket's name is stored here, in the subscription, and with the publisher.
fn charged_bytes(bucket: &[u8]) -> usize {
    3 * bucket.len() + SUBSCRIPTION_BYTES
}

/// Waits for an item of a stream, and takes those that have arrived with it: not more than are written
/// together. None: the stream has ended.
pub(super) async fn next_items<S: Stream + Unpin>(
    stream: &mut S,
    size: impl Fn(&S::Item) -> usize,
) -> Vec<S::Item> {
    let (mut items, mut bytes) = (Vec::new(), 0);
    poll_fn(|context| {
        while items.len() < EVENTS_AT_ONCE && bytes < OUTPUT_BYTES {
            match Pin::new(&mut *stream).poll_next(context) {
                Poll::Ready(Some(item)) => {
                    bytes += size(&item);
                    items.push(item);
                }
                Poll::Pending if items.is_empty() => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Ready(())
    })
    .await;
    items
}
