//! A histogram of durations: 16 buckets for each power of two, so a percentile is at most 7 % too high.

use std::{
    iter,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Buckets for each power of two.
const STEPS: u64 = 16;
/// Durations from here on, about a minute, are counted in the last bucket.
const MAX_NANOS: u64 = (1 << 36) - 1;
const BUCKETS: usize = bucket(MAX_NANOS) + 1;

/// Counts that several threads may add to.
#[derive(Debug)]
pub struct AtomicHistogram {
    /// Made with the first duration.
    counts: OnceLock<Box<[AtomicU64]>>,
    nanos: AtomicU64,
}

/// Counts at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    nanos: u64,
}

impl AtomicHistogram {
    /// A histogram without durations.
    pub const fn new() -> AtomicHistogram {
        AtomicHistogram { counts: OnceLock::new(), nanos: AtomicU64::new(0) }
    }

    /// Adds `count` durations of `nanos` each.
    #[inline]
    pub fn record(&self, nanos: u64, count: u64) {
        self.nanos.fetch_add(nanos * count, Relaxed);
        let counts = self.counts.get_or_init(|| (0..BUCKETS).map(|_| AtomicU64::new(0)).collect());
        counts[bucket(nanos)].fetch_add(count, Relaxed);
    }

    /// Adds its counts to `sum`.
    pub fn add_to(&self, sum: &mut Histogram) {
        let Some(counts) = self.counts.get() else { return };
        sum.nanos += self.nanos.load(Relaxed);
        sum.counts.resize(BUCKETS, 0);
        sum.counts.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count.load(Relaxed));
    }

    /// Sets all counts to zero.
    pub fn reset(&self) {
        self.nanos.store(0, Relaxed);
        self.counts.get().into_iter().flatten().for_each(|count| count.store(0, Relaxed));
    }
}

impl Default for AtomicHistogram {
    fn default() -> AtomicHistogram {
        AtomicHistogram::new()
    }
}

impl Histogram {
    /// The upper bounds for which [`Self::cumulative`] counts, in nanoseconds: powers of two of microseconds,
    /// up to half a minute.
    pub const BOUNDS: [u64; 26] = {
        let mut bounds = [1_000; 26];
        let mut index = 1;
        while index < bounds.len() {
            bounds[index] = bounds[index - 1] * 2;
            index += 1;
        }
        bounds
    };

    /// How many durations do not exceed each of [`Self::BOUNDS`].
    pub fn cumulative(&self) -> [u64; Histogram::BOUNDS.len()] {
        let (mut counts, mut seen) = (self.counts.iter().enumerate().peekable(), 0);
        Histogram::BOUNDS.map(|bound| {
            while let Some((_, count)) = counts.next_if(|(index, _)| largest(*index) <= bound) {
                seen += count;
            }
            seen
        })
    }

    /// The time of all durations together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// The duration that `percent` of all do not exceed.
    pub fn percentile(&self, percent: f64) -> Duration {
        let wanted = (self.count() as f64 * percent / 100.0).ceil() as u64;
        let mut seen = 0;
        let reaches = |count: &u64| {
            seen += count;
            seen >= wanted.max(1)
        };
        let found = self.counts.iter().position(reaches);
        Duration::from_nanos(found.map_or(0, largest))
    }

    /// Adds the durations of another one.
    pub fn add(&mut self, other: &Histogram) {
        self.nanos += other.nanos;
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
    }

    /// The durations that were counted since an earlier moment. If all were reset, those since then.
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        if self.count() < earlier.count() {
            return self.clone();
        }
        let before = earlier.counts.iter().chain(iter::repeat(&0));
        let counts = self.counts.iter().zip(before).map(|(now, before)| now.saturating_sub(*before));
        Histogram { counts: counts.collect(), nanos: self.nanos.saturating_sub(earlier.nanos) }
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many durations were at most so long, for each power of two of microseconds up to that of the
    /// longest, beginning with that of the shortest.
    pub fn by_powers_of_two(&self) -> Vec<(u64, u64)> {
        let (mut powers, mut micros, mut seen) = (Vec::new(), 1, 0);
        for (index, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
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
        assert_eq!((histogram.count(), histogram.sum().as_nanos()), (100, 900 * 98 + 3_000 + 100_000));
        let cumulative = histogram.cumulative();
        assert_eq!((cumulative[0], cumulative[1], cumulative[2], cumulative[6]), (98, 98, 99, 99));
        assert_eq!((cumulative[7], cumulative.last()), (100, Some(&100)));
        assert_eq!(
            histogram.by_powers_of_two(),
            [(1, 98), (2, 98), (4, 99), (8, 99), (16, 99), (32, 99), (64, 99), (128, 100)]
        );
    }

    #[test]
    fn histograms_are_added_and_compared_with_an_earlier_moment() {
        let histogram = |nanos: &[u64]| {
            let (atomic, mut histogram) = (AtomicHistogram::new(), Histogram::default());
            nanos.iter().for_each(|nanos| atomic.record(*nanos, 1));
            atomic.add_to(&mut histogram);
            histogram
        };
        let (earlier, now) = (histogram(&[1_000, 9_000]), histogram(&[1_000, 9_000, 9_000, 50_000]));
        assert_eq!(now.since(&earlier), histogram(&[9_000, 50_000]));
        assert_eq!(now.since(&Histogram::default()), now);
        assert_eq!(earlier.since(&now), earlier, "all were reset");
        let mut sum = Histogram::default();
        [&earlier, &histogram(&[9_000, 50_000])].into_iter().for_each(|part| sum.add(part));
        assert_eq!(sum, now);
    }
}
