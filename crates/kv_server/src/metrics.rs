//! Counters of the commands that Redis clients have sent.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the start, or since CONFIG RESETSTAT.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Calls of each command, by its index in the table of commands.
    calls: Box<[AtomicU64]>,
    rejected_calls: AtomicU64,
}

impl Metrics {
    /// Counters for this number of commands.
    pub(crate) fn new(commands: usize) -> Metrics {
        let calls = (0..commands).map(|_| AtomicU64::new(0)).collect();
        Metrics { calls, rejected_calls: AtomicU64::new(0) }
    }

    /// Counts `count` calls of the command with this index.
    pub(crate) fn record_calls(&self, command: usize, count: u64) {
        self.calls[command].fetch_add(count, Relaxed);
    }

    /// Counts a command that was rejected before it was executed.
    pub(crate) fn record_rejection(&self) {
        self.rejected_calls.fetch_add(1, Relaxed);
    }

    pub(crate) fn rejected_calls(&self) -> u64 {
        self.rejected_calls.load(Relaxed)
    }

    /// Calls of each command, in the order of the table.
    pub(crate) fn calls(&self) -> impl Iterator<Item = u64> {
        self.calls.iter().map(|calls| calls.load(Relaxed))
    }

    /// Sets all counters to zero.
    pub(crate) fn reset(&self) {
        self.calls.iter().chain([&self.rejected_calls]).for_each(|counter| counter.store(0, Relaxed));
    }
}
