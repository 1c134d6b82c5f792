//! The bucket supervisor: starts buckets, ends them, and sees to it that the crash of one stays its own.

use crate::{
    bucket::Bucket,
    limits::SWEEP_LINES,
    memory::Memory,
    memory::table::Table,
    pubsub::bucket_changes::{Change, EndReason, Event, Publisher},
};
use std::{collections::HashMap, sync::Arc};

/// What one shard's buckets have to do with besides their contents.
#[derive(Debug, Default)]
pub(crate) struct BucketSupervisor {
    subscribers: HashMap<Box<[u8]>, Vec<Publisher>>,
    /// Tables of ended buckets, and the line up to which each is freed.
    ended: Vec<(Table, usize)>,
    /// Buckets that crashed.
    pub(crate) crashed: u64,
}

impl BucketSupervisor {
    /// Ends a bucket and tells its subscribers. What a large one held is freed bit by bit, by [`Self::sweep`].
    pub(crate) fn end(&mut self, memory: &mut Memory, name: &[u8], bucket: Bucket, reason: EndReason) {
        self.tell_end(name, reason);
        self.discard(memory, bucket);
    }

    /// Tells the subscribers of a bucket that it has ended.
    pub(crate) fn tell_end(&mut self, name: &[u8], reason: EndReason) {
        let Some(publishers) = self.subscribers.remove(name) else { return };
        let ended = Arc::new(Event { bucket: name.into(), change: Change::Ended(reason) });
        publishers.iter().for_each(|publisher| {
            publisher.publish(ended.clone());
        });
    }

    /// Frees a bucket that nobody knows of.
    pub(crate) fn discard(&mut self, memory: &mut Memory, bucket: Bucket) {
        self.ended.extend(bucket.end(memory).map(|table| (table, 0)));
    }

    /// Frees a bounded part of what ended buckets held.
    pub(crate) fn sweep(&mut self, memory: &mut Memory) {
        memory.expiries.sweep();
        let Some((table, line)) = self.ended.last_mut() else { return };
        let until = table.lines().min(*line + SWEEP_LINES);
        for number in *line..until {
            table.line(number).for_each(|handle| memory.free_entry(handle));
        }
        *line = until;
        if until == table.lines() {
            self.ended.pop();
        }
    }

    /// Whether there is something to be freed.
    pub(crate) fn is_sweeping(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Adds a subscriber of a bucket, and forgets those that have gone.
    pub(crate) fn subscribe(&mut self, bucket: &[u8], publisher: Publisher) {
        let publishers = self.subscribers.entry(bucket.into()).or_default();
        publishers.retain(|publisher| !publisher.is_closed());
        publishers.push(publisher);
    }

    /// Tells a bucket's subscribers of a change, if there are any.
    pub(crate) fn publish(&mut self, bucket: &[u8], change: impl FnOnce() -> Change) {
        if self.subscribers.is_empty() {
            return;
        }
        let Some(publishers) = self.subscribers.get_mut(bucket) else { return };
        let event = Arc::new(Event { bucket: bucket.into(), change: change() });
        publishers.retain(|publisher| publisher.publish(event.clone()));
        if publishers.is_empty() {
            self.subscribers.remove(bucket);
        }
    }

    /// Tells all subscribers of all buckets that their buckets have ended.
    pub(crate) fn all_ended(&mut self, reason: EndReason) {
        for (name, publishers) in self.subscribers.drain() {
            let ended = Arc::new(Event { bucket: name, change: Change::Ended(reason) });
            publishers.iter().for_each(|publisher| {
                publisher.publish(ended.clone());
            });
        }
    }
}
