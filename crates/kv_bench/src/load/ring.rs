//! The requests, built before the clock starts: batches of random keys, written as they are, round and round.

use crate::{limits, workload::Workload};
use std::ops::Range;

/// A long run of batches, all of one size.
#[derive(Debug)]
pub(crate) struct Ring {
    bytes: Vec<u8>,
    batch_bytes: usize,
    next: usize,
}

impl Ring {
    /// Builds as many batches as the limits allow; the same seed every time, so that runs compare.
    pub(crate) fn build(workload: &Workload) -> Ring {
        let requests = workload.requests();
        let batch_bytes = requests.bytes() * workload.pipeline;
        let batches =
            (limits::RING_REQUESTS / workload.pipeline).min(limits::RING_BYTES / batch_bytes).max(1);
        let mut bytes = Vec::with_capacity(batches * batch_bytes);
        let mut random = fastrand::Rng::with_seed(limits::RING_SEED);
        for _ in 0..batches * workload.pipeline {
            requests.write(random.u64(..workload.keys), &mut bytes);
        }
        Ring { bytes, batch_bytes, next: 0 }
    }

    /// Where the next batch lies.
    pub(crate) fn take(&mut self) -> Range<usize> {
        let start = self.next;
        let end = start + self.batch_bytes;
        self.next = if end == self.bytes.len() { 0 } else { end };
        start..end
    }

    /// The bytes that lie there.
    pub(crate) fn bytes(&self, place: Range<usize>) -> &[u8] {
        &self.bytes[place]
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
        let mut ring = Ring::build(&workload);
        let batch = "GET b k0\r\n".len() * pipeline;
        assert_eq!(ring.take(), 0..batch);
        assert_eq!(ring.take(), batch..2 * batch);
        assert_eq!(ring.take(), 0..batch);
        assert!(ring.bytes(0..batch).starts_with(b"GET b k"));
    }
}
