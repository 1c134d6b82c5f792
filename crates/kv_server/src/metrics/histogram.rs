//! A histogram of durations: 16 buckets for each power of two, so a percentile is at most 7 % too high.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Buckets for each power of two.
const STEPS: u64 = 16;
/// Durations from here on, about a minute, are counted in the last bucket.
const MAX_NANOS: u64 = (1 << 36) - 1;
const BUCKETS: usize = bucket(MAX_NANOS) + 1;

/// Counts that several threads may add to.
#[derive(Debug)]
pub(super) struct AtomicHistogram(Box<[AtomicU64]>);

/// Counts at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Histogram(Vec<u64>);

impl AtomicHistogram {
    pub(super) fn new() -> AtomicHistogram {
        AtomicHistogram((0..BUCKETS).map(|_| AtomicU64::new(0)).collect())
    }

    /// Adds `count` durations of `nanos` each.
    #[inline]
    pub(super) fn record(&self, nanos: u64, count: u64) {
        self.0[bucket(nanos)].fetch_add(count, Relaxed);
    }

    /// Adds its counts to `sum`.
    pub(super) fn add_to(&self, sum: &mut Histogram) {
        sum.0.resize(BUCKETS, 0);
        sum.0.iter_mut().zip(&self.0).for_each(|(sum, count)| *sum += count.load(Relaxed));
    }

    pub(super) fn reset(&self) {
        self.0.iter().for_each(|count| count.store(0, Relaxed));
    }
}

impl Histogram {
    /// The duration that `percent` of all do not exceed.
    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        let wanted = (self.count() as f64 * percent / 100.0).ceil() as u64;
        let mut seen = 0;
        let reaches = |count: &u64| {
            seen += count;
            seen >= wanted.max(1)
        };
        let found = self.0.iter().position(reaches);
        Duration::from_nanos(found.map_or(0, largest))
    }

    /// How many durations were counted.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many durations were at most so long, for each power of two of microseconds up to that of the
    /// longest, beginning with that of the shortest.
    pub(crate) fn by_powers_of_two(&self) -> Vec<(u64, u64)> {
        let (mut powers, mut micros, mut seen) = (Vec::new(), 1, 0);
        for (index, count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            while largest(index) > micros * 1_000 {
                if seen > 0 {
                    powers.push((micros, seen));
                }
                micros *= 2;
            }
            seen += count;
        }
        powers.extend((seen > 0).then_some((micros, seen)));
        powers
    }
}

/// The bucket that counts durations of `nanos`.
const fn bucket(nanos: u64) -> usize {
    let nanos = if nanos > MAX_NANOS { MAX_NANOS } else { nanos };
    if nanos < STEPS {
        return nanos as usize;
    }
    let shift = (nanos.ilog2() - STEPS.ilog2()) as u64;
    (shift * STEPS + (nanos >> shift)) as usize
}

/// The longest duration that a bucket counts, in nanoseconds.
fn largest(bucket: usize) -> u64 {
    let (bucket, steps) = (bucket as u64, STEPS);
    let shift = (bucket / steps).saturating_sub(1);
    ((bucket - shift * steps + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_at_most_its_largest() {
        for nanos in [0, 1, 15, 16, 17, 31, 32, 33, 1_000, 999_999, 1 << 35, MAX_NANOS, u64::MAX] {
            let (bucket, nanos) = (bucket(nanos), nanos.min(MAX_NANOS));
            assert!(largest(bucket) >= nanos && largest(bucket) <= nanos + nanos / 16, "{nanos}");
            assert!(bucket == 0 || largest(bucket - 1) < nanos, "{nanos}");
        }
    }

    #[test]
    fn percentiles_and_powers_of_two() {
        let (atomic, mut histogram) = (AtomicHistogram::new(), Histogram::default());
        assert_eq!((histogram.percentile(50.0), histogram.by_powers_of_two()), (Duration::ZERO, Vec::new()));
        atomic.record(900, 98);
        atomic.record(3_000, 1);
        atomic.record(100_000, 1);
        atomic.add_to(&mut histogram);
        let micros = |percent| histogram.percentile(percent).as_micros();
        assert_eq!((micros(50.0), micros(99.0), micros(100.0)), (0, 3, 102));
        assert_eq!(histogram.count(), 100);
        assert_eq!(
            histogram.by_powers_of_two(),
            [(1, 98), (2, 98), (4, 99), (8, 99), (16, 99), (32, 99), (64, 99), (128, 100)]
        );
    }
}
