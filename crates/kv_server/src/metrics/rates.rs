//! What happened per second of late: totals are sampled, and the present ones are compared with the oldest
//! sample.

use crate::limits::RATE_SAMPLES;
use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// The latest samples, and the most memory that any of them has seen.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    samples: Mutex<VecDeque<(Instant, Totals)>>,
    peak_bytes: AtomicU64,
}

/// Totals at one moment.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) commands: u64,
    /// Bytes received from clients.
    pub(crate) received: u64,
    /// Bytes sent to clients.
    pub(crate) sent: u64,
}

/// Per second.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct PerSecond {
    pub(crate) commands: f64,
    pub(crate) received: f64,
    pub(crate) sent: f64,
}

impl Rates {
    /// Adds a sample, and drops the oldest.
    pub(crate) fn add(&self, now: Instant, totals: Totals) {
        let mut samples = self.lock();
        samples.truncate(RATE_SAMPLES - 1);
        samples.push_front((now, totals));
    }

    /// What happened per second between the oldest sample and `now`.
    pub(crate) fn per_second(&self, now: Instant, totals: Totals) -> PerSecond {
        let Some((then, before)) = self.lock().back().copied() else { return PerSecond::default() };
        let seconds = now.duration_since(then).as_secs_f64().max(f64::MIN_POSITIVE);
        let rate = |after: u64, before: u64| after.saturating_sub(before) as f64 / seconds;
        PerSecond {
            commands: rate(totals.commands, before.commands),
            received: rate(totals.received, before.received),
            sent: rate(totals.sent, before.sent),
        }
    }

    /// Notes how much memory is used now. Returns the most that was ever noted.
    pub(crate) fn note_used(&self, bytes: u64) -> u64 {
        self.peak_bytes.fetch_max(bytes, Relaxed).max(bytes)
    }

    /// Forgets all samples, and the peak.
    pub(super) fn reset(&self) {
        self.lock().clear();
        self.peak_bytes.store(0, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, Totals)>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SAMPLE_PAUSE;

    #[test]
    fn a_rate_is_that_since_the_oldest_sample_kept() {
        let (rates, start) = (Rates::default(), Instant::now());
        let totals = |number| Totals { commands: number * 100, received: number * 10, sent: number };
        assert_eq!(rates.per_second(start, totals(1)), PerSecond::default());
        for number in 0..100 {
            rates.add(start + SAMPLE_PAUSE * number, totals(number.into()));
        }
        let rate = 1.0 / SAMPLE_PAUSE.as_secs_f64();
        let now = rates.per_second(start + SAMPLE_PAUSE * 100, totals(100));
        let wanted = PerSecond { commands: 100.0 * rate, received: 10.0 * rate, sent: rate };
        assert_eq!((now, rates.lock().len()), (wanted, RATE_SAMPLES));
        assert_eq!((rates.note_used(7), rates.note_used(5)), (7, 7));
        rates.reset();
        assert_eq!((rates.per_second(start, totals(1)), rates.note_used(1)), (PerSecond::default(), 1));
    }
}
