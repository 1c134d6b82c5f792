//! Removes what has expired of a bucket.

use super::BucketMut;
use crate::pubsub::bucket_changes::{Change, EndReason};

impl BucketMut<'_> {
    /// Ends the bucket if it has expired by `removal_ms`. One that has expired only by now is not seen.
    #[inline]
    pub(crate) fn end_if_expired(&mut self, removal_ms: u64) {
        if !self.shard.expiry_cursor.has_expiries {
            return;
        }
        self.shard.removal_ms = removal_ms;
        let Some(bucket) = self.bucket() else { return };
        let is_expired = |at_ms| bucket.is_expired(&self.shard.memory, at_ms);
        if is_expired(removal_ms) {
            self.end_expired(EndReason::Expired);
            self.shard.counters.expired += 1;
        } else if removal_ms != self.now_ms && is_expired(self.now_ms) {
            self.registered = None;
        }
    }

    /// Deletes up to `limit` fields that have expired by the time given to [`Self::end_if_expired`], and ends
    /// the map if none is left. Returns the number of fields.
    pub(crate) fn delete_expired(&mut self, limit: usize) -> usize {
        let Ok(Some(map)) = self.view().map() else { return 0 };
        let expired = map.expired(self.shard.removal_ms, limit);
        let fields: Vec<Box<[u8]>> = expired.iter().map(|entry| entry.key.into()).collect();
        for field in &fields {
            #[cfg(test)]
            crate::tests::failpoint::reach("delete_expired");
            if self.delete(field).is_ok() {
                self.shard.watches.expired(self.name);
                self.shard.subscribers.notify(self.name, || Change::Deleted { key: field.clone() });
            }
        }
        self.shard.counters.expired_entries += fields.len() as u64;
        if !fields.is_empty() && self.is_to_end() {
            self.end_expired(EndReason::Dropped);
        }
        fields.len()
    }

    fn end_expired(&mut self, reason: EndReason) {
        if let Some((slot, bucket)) = self.registered.take() {
            self.shard.end_expired(slot, bucket, self.name, reason);
        }
    }
}
