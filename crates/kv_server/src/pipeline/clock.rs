//! The clock of batches. One reading gives the time of day, and how long the batch before it has taken.

use rustix::time::{ClockId, Timespec, clock_gettime};
use std::{cell::Cell, time::Duration};

/// How long the time of day is taken from the monotonic clock before it is asked for again, in nanoseconds.
const RESYNC_NANOS: u64 = 10_000_000;

/// A reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchClock {
    /// Of the monotonic clock.
    nanos: u64,
}

impl BatchClock {
    /// Reads the clock.
    #[inline]
    pub(crate) fn read() -> BatchClock {
        BatchClock { nanos: nanoseconds(clock_gettime(ClockId::Monotonic)) }
    }

    /// Milliseconds since 1970.
    #[inline]
    pub(crate) fn unix_ms(self) -> u64 {
        thread_local! {
            /// A reading of the monotonic clock, and its time of day, both in nanoseconds.
            static SYNCED: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
        }
        let (mut synced, mut unix_nanos) = SYNCED.get();
        if self.nanos.wrapping_sub(synced) >= RESYNC_NANOS {
            (synced, unix_nanos) = (self.nanos, nanoseconds(clock_gettime(ClockId::Realtime)));
            SYNCED.set((synced, unix_nanos));
        }
        (unix_nanos + (self.nanos - synced)) / 1_000_000
    }

    /// The time between an earlier reading and this one.
    #[inline]
    pub(crate) fn since(self, earlier: BatchClock) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }

    /// Reads the clock again. Returns the time since the last reading in nanoseconds.
    #[inline]
    pub(crate) fn lap(&mut self) -> u64 {
        let before = std::mem::replace(self, BatchClock::read()).nanos;
        self.nanos - before
    }
}

#[inline]
fn nanoseconds(time: Timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_time_of_day() {
        let mut clock = BatchClock::read();
        for _ in 0..1_000 {
            let before = kv::time::now_ms();
            assert!(clock.lap() < 60_000_000_000);
            assert!((before.saturating_sub(1)..=kv::time::now_ms() + 1).contains(&clock.unix_ms()));
        }
    }
}
