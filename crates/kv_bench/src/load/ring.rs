//! A ring of batches of requests for random keys, built before the measurement starts.

use crate::{limits, workload::Workload};
use std::ops::Range;

/// Batches of one size, sent in a cycle.
#[derive(Debug)]
pub(crate) struct Ring {
    bytes: Vec<u8>,
    batch_bytes: usize,
    next: usize,
}

impl Ring {
    /// Builds as many batches as the limits allow, always with the same seed, so that runs are comparable.
    pub(crate) fn of_random_keys(workload: &Workload) -> Ring {
        let batch_bytes = workload.requests().bytes() * workload.pipeline;
        let batches =
            (limits::RING_REQUESTS / workload.pipeline).min(limits::RING_BYTES / batch_bytes).max(1);
        let mut random = fastrand::Rng::with_seed(limits::RING_SEED);
        let keys = (0..batches * workload.pipeline).map(|_| random.u64(..workload.keys));
        Ring::of(workload, keys)
    }

    /// Each key once, those at the end again until a batch is full.
    pub(crate) fn of_all_keys(workload: &Workload) -> Ring {
        let requests = workload.keys.next_multiple_of(workload.pipeline as u64);
        Ring::of(workload, (0..requests).map(|key| key.min(workload.keys - 1)))
    }

    fn of(workload: &Workload, keys: impl Iterator<Item = u64>) -> Ring {
        let (requests, mut bytes) = (workload.requests(), Vec::new());
        keys.for_each(|key| requests.write(key, &mut bytes));
        Ring { bytes, batch_bytes: requests.bytes() * workload.pipeline, next: 0 }
    }

    /// The range of the next batch.
    pub(crate) fn next_batch(&mut self) -> Range<usize> {
        let start = self.next;
        let end = start + self.batch_bytes;
        self.next = if end == self.bytes.len() { 0 } else { end };
        start..end
    }

    /// The bytes of a range.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Operation, Protocol};

    #[test]
    fn batches_follow_each_other_and_start_over() {
        let pipeline = limits::RING_REQUESTS / 2;
        let workload = Workload {
            protocol: Protocol::Text,
            operation: Operation::Get,
            pipeline,
            keys: 10,
            key_bytes: 2,
            value_bytes: 1,
            bucket: "b".into(),
        };
        let mut ring = Ring::of_random_keys(&workload);
        let batch = "GET b k0\r\n".len() * pipeline;
        assert_eq!(ring.next_batch(), 0..batch);
        assert_eq!(ring.next_batch(), batch..2 * batch);
        assert_eq!(ring.next_batch(), 0..batch);
        assert!(ring.bytes(0..batch).starts_with(b"GET b k"));
    }
}
