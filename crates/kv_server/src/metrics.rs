//! Counters of the commands that clients have sent. Each thread adds to counters of its own; whoever reads
//! them adds them up.

pub(crate) mod rates;

use self::rates::Rates;
use kv_metrics::{AtomicHistogram, Histogram, PerThread};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Counts since the start, or since CONFIG RESETSTAT.
#[derive(Debug)]
pub(crate) struct Metrics {
    threads: PerThread<ThreadCounters>,
    /// Clients that were turned away.
    pub(crate) rejected_connections: AtomicU64,
    pub(crate) rates: Rates,
}

/// What one thread counts.
#[derive(Debug)]
struct ThreadCounters {
    /// By the index in the table of commands.
    commands: Box<[CommandCounters]>,
    /// Requests of the text protocol.
    text: AtomicU64,
    /// Error replies, by their first word.
    errors: Mutex<BTreeMap<Box<[u8]>, u64>>,
}

#[derive(Debug, Default)]
struct CommandCounters {
    calls: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    latencies: AtomicHistogram,
}

/// What is known of one command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CommandStats {
    pub(crate) calls: u64,
    /// Calls that were refused before they were executed.
    pub(crate) rejected: u64,
    /// Calls that ended with an error.
    pub(crate) failed: u64,
    pub(crate) latencies: Histogram,
}

/// Why a command failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It was refused before it was executed.
    Rejected,
    /// While it was executed.
    Failed,
}

impl Metrics {
    /// Counters for this number of commands.
    pub(crate) fn new(commands: usize) -> Metrics {
        let counters = || ThreadCounters {
            commands: (0..commands).map(|_| CommandCounters::default()).collect(),
            text: AtomicU64::new(0),
            errors: Mutex::default(),
        };
        Metrics {
            threads: PerThread::new(counters),
            rejected_connections: AtomicU64::new(0),
            rates: Rates::default(),
        }
    }

    /// Counts calls of commands that took `nanos` together; each is an index and a number of calls, `total`
    /// in all.
    #[inline]
    pub(crate) fn record(&self, calls: &[(usize, u64)], total: u64, nanos: u64) {
        let each = if total > 1 { nanos / total } else { nanos };
        let counters = &self.threads.own().commands;
        for (command, count) in calls {
            counters[*command].record(*count, each);
        }
    }

    /// Counts requests of the text protocol.
    #[inline]
    pub(crate) fn count_text(&self, requests: u64) {
        self.threads.own().text.fetch_add(requests, Relaxed);
    }

    /// Counts an error reply, and the failure of the command with this index, if there is one.
    #[cold]
    pub(crate) fn record_error(&self, command: Option<usize>, failure: Failure, message: &[u8]) {
        let counters = self.threads.own();
        if let Some(counters) = command.map(|command| &counters.commands[command]) {
            match failure {
                Failure::Rejected => counters.rejected.fetch_add(1, Relaxed),
                Failure::Failed => counters.failed.fetch_add(1, Relaxed),
            };
        }
        let code = message.split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
        let mut errors = counters.lock_errors();
        match errors.get_mut(code) {
            Some(count) => *count += 1,
            None => _ = errors.insert(code.into(), 1),
        }
    }

    /// What is known of each command, in the order of the table.
    pub(crate) fn commands(&self) -> Vec<CommandStats> {
        (0..self.threads.own().commands.len()).map(|command| self.command(command)).collect()
    }

    /// What is known of the command with this index.
    pub(crate) fn command(&self, command: usize) -> CommandStats {
        let mut stats = CommandStats::default();
        for counters in self.threads.all().iter().map(|counters| &counters.commands[command]) {
            stats.calls += counters.calls.load(Relaxed);
            stats.rejected += counters.rejected.load(Relaxed);
            stats.failed += counters.failed.load(Relaxed);
            counters.latencies.add_to(&mut stats.latencies);
        }
        stats
    }

    /// All commands of both protocols that were executed.
    pub(crate) fn total_calls(&self) -> u64 {
        let calls = |counters: &ThreadCounters| {
            let commands = counters.commands.iter().map(|counters| counters.calls.load(Relaxed));
            commands.sum::<u64>() + counters.text.load(Relaxed)
        };
        self.threads.all().iter().map(calls).sum()
    }

    /// Requests of the text protocol that were executed.
    pub(crate) fn text_requests(&self) -> u64 {
        self.threads.all().iter().map(|counters| counters.text.load(Relaxed)).sum()
    }

    /// Error replies, by their first word.
    pub(crate) fn errors(&self) -> BTreeMap<Box<[u8]>, u64> {
        let mut sum = BTreeMap::new();
        for counters in self.threads.all() {
            for (code, count) in &*counters.lock_errors() {
                *sum.entry(code.clone()).or_default() += count;
            }
        }
        sum
    }

    /// Sets all counters to zero.
    pub(crate) fn reset(&self) {
        for counters in self.threads.all() {
            for CommandCounters { calls, rejected, failed, latencies } in &counters.commands {
                [calls, rejected, failed].into_iter().for_each(|counter| counter.store(0, Relaxed));
                latencies.reset();
            }
            counters.text.store(0, Relaxed);
            counters.lock_errors().clear();
        }
        self.rejected_connections.store(0, Relaxed);
        self.rates.reset();
    }
}

impl CommandCounters {
    /// Counts calls that took `nanos` each.
    #[inline]
    fn record(&self, calls: u64, nanos: u64) {
        self.calls.fetch_add(calls, Relaxed);
        self.latencies.record(nanos, calls);
    }
}

impl ThreadCounters {
    fn lock_errors(&self) -> MutexGuard<'_, BTreeMap<Box<[u8]>, u64>> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{thread, time::Duration};

    #[test]
    fn a_batch_shares_its_time_and_threads_are_added_up() {
        let metrics = Metrics::new(2);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| metrics.record(&[(0, 3), (1, 1)], 4, 8_000));
            }
        });
        let [first, second] = &metrics.commands()[..] else { panic!("two commands") };
        assert_eq!((first.calls, first.latencies.sum()), (24, Duration::from_micros(48)));
        assert_eq!((second.calls, second.latencies.sum()), (8, Duration::from_micros(16)));
        assert_eq!((first.latencies.count(), first.latencies.percentile(50.0).as_micros()), (24, 2));
        metrics.count_text(5);
        assert_eq!(metrics.total_calls(), 37);
        metrics.reset();
        let first = metrics.command(0);
        assert_eq!((metrics.total_calls(), first.calls, first.latencies.count()), (0, 0, 0));
        assert_eq!(first.latencies.sum(), Duration::ZERO);
    }

    #[test]
    fn errors_are_counted_by_command_and_by_code() {
        let metrics = Metrics::new(1);
        metrics.record_error(Some(0), Failure::Failed, b"WRONGTYPE Operation against");
        metrics.record_error(Some(0), Failure::Rejected, b"OOM command not allowed");
        metrics.record_error(None, Failure::Rejected, b"ERR unknown command");
        metrics.record_error(None, Failure::Rejected, b"ERR unknown command");
        let stats = metrics.command(0);
        assert_eq!((stats.rejected, stats.failed), (1, 1));
        let errors: Vec<(Box<[u8]>, u64)> = metrics.errors().into_iter().collect();
        let code = |code: &[u8], count| (code.into(), count);
        assert_eq!(errors, [code(b"ERR", 2), code(b"OOM", 1), code(b"WRONGTYPE", 1)]);
        metrics.reset();
        assert_eq!((metrics.errors().len(), metrics.command(0)), (0, CommandStats::default()));
    }
}
