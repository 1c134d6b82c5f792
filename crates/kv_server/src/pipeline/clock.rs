//! The clock of batches. One reading gives the time of day, and how long the batch before it has taken.

use std::{
    cell::Cell,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How long the time of day is taken from the monotonic clock before it is asked for again.
const RESYNC: Duration = Duration::from_millis(10);

/// A reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    instant: Instant,
    /// Milliseconds since 1970.
    pub(crate) unix_ms: u64,
}

impl Clock {
    /// Reads the clock.
    #[inline]
    pub(crate) fn read() -> Clock {
        /// An instant, and its time of day in nanoseconds since 1970.
        type Synced = Option<(Instant, u64)>;
        thread_local!(static SYNCED: Cell<Synced> = const { Cell::new(None) });
        let instant = Instant::now();
        if let Some((synced, unix_nanos)) = SYNCED.get()
            && let since = instant.duration_since(synced)
            && since < RESYNC
        {
            let unix_nanos = unix_nanos + u64::from(since.subsec_nanos());
            return Clock { instant, unix_ms: unix_nanos / 1_000_000 };
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        SYNCED.set(Some((instant, unix_nanos)));
        Clock { instant, unix_ms: unix_nanos / 1_000_000 }
    }

    /// The time between an earlier reading and this one.
    #[inline]
    pub(crate) fn since(self, earlier: Clock) -> Duration {
        self.instant.duration_since(earlier.instant)
    }

    /// Reads the clock again. Returns the time since the last reading.
    #[inline]
    pub(crate) fn lap(&mut self) -> Duration {
        let before = std::mem::replace(self, Clock::read()).instant;
        self.instant.duration_since(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_time_of_day() {
        let mut clock = Clock::read();
        for _ in 0..1_000 {
            let before = kv::time::now_ms();
            let lap = clock.lap();
            assert!(lap < Duration::from_secs(60));
            assert!((before.saturating_sub(1)..=kv::time::now_ms() + 1).contains(&clock.unix_ms));
        }
    }
}
