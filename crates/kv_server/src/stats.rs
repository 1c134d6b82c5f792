//! What the commands of Redis clients have been, in numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters since the start, or since CONFIG RESETSTAT.
#[derive(Debug)]
pub(crate) struct Stats {
    /// How often each command was called, by the number of its row.
    calls: Box<[AtomicU64]>,
    refused: AtomicU64,
}

impl Stats {
    /// No calls yet of so many commands.
    pub(crate) fn new(commands: usize) -> Stats {
        let calls = (0..commands).map(|_| AtomicU64::new(0)).collect();
        Stats { calls, refused: AtomicU64::new(0) }
    }

    /// The command of this row was called so many times.
    pub(crate) fn called(&self, row: usize, times: u64) {
        self.calls[row].fetch_add(times, Relaxed);
    }

    /// A command was refused before it was executed.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// How many commands were refused.
    pub(crate) fn refused_count(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// How often the command of each row was called.
    pub(crate) fn calls(&self) -> impl Iterator<Item = u64> {
        self.calls.iter().map(|calls| calls.load(Relaxed))
    }

    /// Starts to count from zero.
    pub(crate) fn reset(&self) {
        self.calls.iter().chain([&self.refused]).for_each(|counter| counter.store(0, Relaxed));
    }
}
