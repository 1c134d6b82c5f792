//! The subscribers to the changes of a shard's buckets.

use crate::{
    limits::SUBSCRIBED_VALUE_BYTES,
    pubsub::bucket_changes::{Change, EndReason, Event, Publisher},
};
use std::{collections::BTreeMap, sync::Arc};

/// The subscribers of one shard's buckets.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    /// A tree, which grows and shrinks node by node.
    by_bucket: BTreeMap<Box<[u8]>, Vec<Publisher>>,
}

impl Subscribers {
    /// Adds a subscriber of a bucket, and removes those that are gone.
    pub(crate) fn add(&mut self, bucket: &[u8], publisher: Publisher) {
        let publishers = self.by_bucket.entry(bucket.into()).or_default();
        publishers.retain(|publisher| !publisher.is_closed());
        publishers.push(publisher);
    }

    /// Notifies the subscribers of a bucket of a change. Without any, `change` is not called.
    pub(crate) fn notify(&mut self, bucket: &[u8], change: impl FnOnce() -> Change) {
        if self.by_bucket.is_empty() {
            return;
        }
        let Some(publishers) = self.by_bucket.get_mut(bucket) else { return };
        let event = Arc::new(Event { bucket: bucket.into(), change: change() });
        publishers.retain(|publisher| publisher.publish(event.clone()));
        if publishers.is_empty() {
            self.by_bucket.remove(bucket);
        }
    }

    /// Notifies the subscribers of a bucket of a change to a value of `len` bytes. One that is too large is
    /// not copied: it ends the subscriptions.
    pub(crate) fn notify_set(&mut self, bucket: &[u8], len: usize, change: impl FnOnce() -> Change) {
        if len > SUBSCRIBED_VALUE_BYTES {
            return self.notify_end(bucket, EndReason::FellBehind);
        }
        self.notify(bucket, change);
    }

    /// Notifies the subscribers of a bucket that it has ended.
    pub(crate) fn notify_end(&mut self, bucket: &[u8], reason: EndReason) {
        if let Some((name, publishers)) = self.by_bucket.remove_entry(bucket) {
            publish_end(name, &publishers, reason);
        }
    }

    /// Notifies the subscribers of all buckets from `start` on that these have ended.
    pub(crate) fn notify_ended_from(&mut self, start: &[u8], reason: EndReason) {
        for (name, publishers) in self.by_bucket.split_off(start) {
            publish_end(name, &publishers, reason);
        }
    }

    /// Notifies all subscribers that their buckets have ended.
    pub(crate) fn notify_all_ended(&mut self, reason: EndReason) {
        self.notify_ended_from(b"", reason);
    }
}

fn publish_end(bucket: Box<[u8]>, publishers: &[Publisher], reason: EndReason) {
    let event = Arc::new(Event { bucket, change: Change::Ended(reason) });
    for publisher in publishers {
        publisher.publish(event.clone());
    }
}
