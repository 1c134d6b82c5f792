//! What a replica does: it loads its log, leads its range, and proposes what waits. If the store halts, it
//! begins again; if the same entry halts it again, it stops. A log that fails is written again.

pub(crate) mod files;
mod reads;
pub(crate) mod renew;
mod reopen;
mod roles;

use crate::{
    consensus::{Consensus, ElectionTimes, transport::Transport},
    error::{panicked, remedy, ways_out},
    group::process,
    identity::read_skipped,
    limits::{
        EARLY_CLOCK_MS, END_PAUSE, LOG_CHECK_PAUSE, LOG_ENTRY_BYTES, LOG_LOW_BYTES, PROGRESS_PAUSE,
        RENEW_PAUSE_LIMIT, SNAPSHOT_INDEX_SHARE, SNAPSHOT_LOG_BYTES, SNAPSHOT_LOG_ENTRIES, SNAPSHOT_PAUSE,
        SWEEP_PAUSE,
    },
    log::{Fsync, Log, LogStats, sync},
    machine::{ApplyError, Crash, InFlight, Machine},
    proposals::{ClosedGroup, OpenGroup},
    range::Range,
};
use files::{LOG, ReplicaFiles, watch_files};
use kv::Removal;
use parking_lot::Mutex;
use renew::{open_log, renew_log};
use reopen::{Reopening, forget_cached, is_of_disk};
use std::{
    collections::BTreeSet,
    error::Error,
    future::pending,
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::Instant,
};
use tokio::{
    sync::oneshot,
    task::consume_budget,
    time::{interval, sleep},
};

/// A replica, and where its files are.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) range: Arc<Range>,
    pub(crate) files: ReplicaFiles,
    /// Bytes of entries that its log keeps in memory.
    pub(crate) cache_bytes: usize,
    /// Files of its log after which that is cut.
    pub(crate) log_files: usize,
    /// The way to the other replicas of the range, if there are any.
    pub(crate) transport: Option<Arc<Transport>>,
    /// When it calls an election, if there are other replicas.
    pub(crate) election: ElectionTimes,
}

/// Stops the range if `run` panics: who waits for it would wait forever.
pub(crate) async fn stop_at_panic(range: &Range, run: impl Future<Output = ()>) {
    struct Guard<'a>(&'a Range);
    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            if thread::panicking() {
                let reason = "its thread panicked, and the log says where; start the node again";
                tracing::error!(range = &*self.0.span().text, reason, "the range has stopped");
                self.0.stop(reason);
            }
        }
    }
    let _guard = Guard(range);
    run.await;
}

/// What a run begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// The process has started.
    Start,
    /// The store has crashed, and is loaded again.
    Reload,
    /// The log was written again. The store has everything.
    Renewed,
}

/// How a run ends.
enum End {
    /// The range was closed.
    Closed,
    /// The store has halted, at an entry or while it was read.
    Halted(Option<Crash>),
    /// What is on disk cannot be loaded, the log or the consensus has failed, or the store has halted.
    Broken(String),
    /// The disk has failed, or is full, and other replicas have what this one may have lost.
    LogFailed(String),
}

impl Replica {
    /// Runs until the range is closed or has stopped.
    pub(crate) async fn run(self) {
        stop_at_panic(&self.range, self.run_and_recover()).await;
    }

    async fn run_and_recover(&self) {
        let (mut halted_at, mut begin, mut reopening) = (None, Begin::Start, Reopening::default());
        loop {
            let span = &*self.range.span().text;
            let began = begin;
            begin = match self.run_once(began).await {
                End::Closed => return,
                End::Halted(Some(crash)) if halted_at == Some(crash.index) => {
                    let reason = crash.reason(span);
                    tracing::error!(range = span, reason, "the range has stopped");
                    return self.range.stop(&reason);
                }
                End::Halted(crash) => {
                    let index = crash.map(|crash| crash.index);
                    tracing::error!(
                        range = span,
                        index,
                        "the range has crashed, and is loaded again from its log"
                    );
                    halted_at = index.or(halted_at);
                    if !self.range.begin_loading() {
                        return;
                    }
                    self.range.store.restart();
                    Begin::Reload
                }
                End::Broken(reason) if self.transport.is_none() && self.range.may_read().is_ok() => {
                    tracing::error!(
                        range = span,
                        reason,
                        "the log has failed; it is written again from memory"
                    );
                    self.range.fail_log(&reason);
                    if began == Begin::Renewed {
                        sleep(RENEW_PAUSE_LIMIT).await;
                    }
                    if let Err(reason) = renew_log(&self.files, &self.range, self.cache_bytes).await {
                        return tracing::error!(
                            range = span,
                            reason,
                            "the range ends without its log: what was acknowledged and is not in its older files is lost"
                        );
                    }
                    tracing::warn!(
                        range = span,
                        "the log is written again; the one that failed is kept in log.failed"
                    );
                    Begin::Renewed
                }
                End::LogFailed(reason) => {
                    if !reopening.wait(&self.range, &reason).await {
                        return;
                    }
                    Begin::Reload
                }
                End::Broken(reason) => {
                    tracing::error!(range = span, reason, "the range has stopped");
                    return self.range.stop(&reason);
                }
            };
        }
    }

    /// Loads the log, and proposes what waits until something fails or the range is closed.
    async fn run_once(&self, begin: Begin) -> End {
        let loaded = tokio::select! {
            loaded = self.load(begin) => loaded,
            () = self.show_progress() => unreachable!("it does not end"),
        };
        let (log, skipped) = match loaded {
            Ok(loaded) => loaded,
            Err(end) => return end,
        };
        let (log, snapshots) = (Arc::new(Mutex::new(log)), self.range.snapshots.clone());
        let (ended, machine_ended) = oneshot::channel();
        let machine = Machine {
            store: self.range.store.clone(),
            progress: self.range.progress.clone(),
            in_flight: InFlight::default(),
            spans: self.range.spans.clone(),
            skipped,
            _ended: ended,
        };
        let load_and_start = async {
            self.keep_received(&machine).await;
            self.replay(&log, &machine).await?;
            let (replica, lease) = (self.files.owner().replica, self.range.lease.clone());
            let (lease, transport) = (lease.unwrap_or_default(), self.transport.clone());
            let started =
                Consensus::start(replica, log.clone(), machine, snapshots, lease, transport, self.election)
                    .await;
            started.map_err(|broken| broken.to_string())
        };
        let end = match load_and_start.await {
            Ok(consensus) => {
                let end = match &self.transport {
                    None => self.lead_alone(&consensus, &log, begin).await,
                    Some(transport) => self.take_part(&consensus, transport, &log).await,
                };
                consensus.stop().await;
                end
            }
            Err(reason) => End::Broken(reason),
        };
        let end = match end {
            End::Broken(reason) => self.broken(reason, log.lock().failure()),
            end => end,
        };
        drop(machine_ended.await);
        // Those that use the log end with the machine, or soon after it. It can be opened again after that.
        while Arc::strong_count(&log) > 1 {
            sleep(END_PAUSE).await;
        }
        // The files of one that was given up may be another's.
        if let End::Closed = end
            && !self.range.has_stopped()
        {
            self.sync_at_end(&log).await;
        }
        match (end, self.range.progress.take_crash()) {
            (End::Halted(_) | End::Broken(_), Some(crash)) => End::Halted(Some(crash)),
            (end, _) => end,
        }
    }

    /// How a run ends that cannot go on, since the log has failed if it has.
    fn broken(&self, reason: String, failure: Option<io::Error>) -> End {
        match failure {
            Some(failure) if self.transport.is_some() => End::LogFailed(failure.to_string()),
            Some(failure) if self.range.may_read().is_ok() => End::Broken(failure.to_string()),
            // It is not loaded, so it cannot write the log again.
            Some(failure) => End::Broken(format!("{failure}; then start the node again")),
            None => End::Broken(reason),
        }
    }

    /// Syncs all that is executed, and notes how far that is.
    async fn sync_at_end(&self, log: &Mutex<Log>) {
        let synced = sync(log).await.map_err(|error| format!("the log cannot be synced: {error}"));
        match synced.and_then(|()| self.files.keep().map_err(|error| error.to_string())) {
            Ok(()) => self.files.note_synced(self.range.progress.applied.load(Relaxed)),
            Err(reason) => {
                let span = &*self.range.span().text;
                tracing::error!(range = span, reason, "the range ends, and its log may not be on disk");
                self.range.fail_log(&reason);
            }
        }
    }

    /// Opens the log, and loads the snapshot before it, unless the store has everything. Returns as well
    /// which entries are not executed.
    async fn load(&self, begin: Begin) -> Result<(Log, BTreeSet<u64>), End> {
        let (range, files, cache_bytes) = (self.range.clone(), self.files.clone(), self.cache_bytes);
        let has_others = self.transport.is_some();
        let load = move || {
            let (directory, owner) = (&files.directory, files.owner());
            if matches!(begin, Begin::Start) {
                range.snapshots.note_newest();
            }
            let broken = |error: &dyn Error| End::Broken(error.to_string());
            let skipped = read_skipped(directory).map_err(|error| broken(&error))?;
            if has_others && matches!(begin, Begin::Reload) {
                // Not every file system does that.
                drop(forget_cached(directory));
            }
            let opened = open_log(directory, owner, cache_bytes, range.fsync);
            let mut log = opened.map_err(|error| match is_of_disk(&error) && has_others {
                true => End::LogFailed(error.to_string()),
                false => broken(&error),
            })?;
            range.set_last(log.last());
            range.set_log_stats(log.stats());
            let snapshot = match begin {
                Begin::Renewed => range.snapshots.status().newest,
                Begin::Start | Begin::Reload => {
                    range.snapshots.load(&range.store, log.purged()).map_err(|error| broken(&error))?
                }
            };
            let indices =
                [log.purged(), snapshot.as_ref().map(|snapshot| snapshot.position.last), log.last()];
            if !indices.map(|id| id.map(|id| id.index)).is_sorted() {
                return Err(End::Broken(format!(
                    "{}: the log does not go on from the snapshot; {}",
                    directory.display(),
                    ways_out(directory)
                )));
            }
            if let Some(snapshot) = snapshot {
                range.progress.begin_at(snapshot.position, snapshot.stamp_ms);
            }
            files.name_log(&mut log).map_err(End::Broken)?;
            Ok((log, skipped))
        };
        let directory = &self.files.directory;
        let panicked = |_| Err(End::Broken(format!("{}; {}", panicked(directory), ways_out(directory))));
        tokio::task::spawn_blocking(load).await.unwrap_or_else(panicked)
    }

    /// Ends what a process has begun that ended while it loaded the snapshot of another replica.
    async fn keep_received(&self, machine: &Machine) {
        let snapshots = &self.range.snapshots;
        if snapshots.has_received()
            && let Err(reason) = snapshots.keep_received(&machine.store, &machine.progress).await
        {
            let span = &*self.range.span().text;
            tracing::warn!(
                range = span,
                %reason,
                "the snapshot of another replica is kept as it was received"
            );
        }
    }

    /// Executes what is known to be committed, one entry at a time: the library would hold many of them at
    /// once, however large they are.
    async fn replay(&self, log: &Mutex<Log>, machine: &Machine) -> Result<(), String> {
        let end = log.lock().committed().map_or(0, |committed| committed.index + 1);
        let start = machine.progress.position().map_or(0, |position| position.last.index + 1);
        let mut shown = Instant::now();
        for index in start..end {
            // Reading a whole log takes long: other ranges have their turns in between.
            consume_budget().await;
            // Entries may be large, and a turn is many of them.
            if shown.elapsed() >= PROGRESS_PAUSE {
                self.log_progress();
                shown = Instant::now();
            }
            let entry = log.lock().read(index..index + 1).map(|mut entries| entries.pop());
            let (id, payload) = match entry {
                Ok(Some(entry)) => entry,
                Ok(None) => {
                    let ways_out = ways_out(&self.files.directory);
                    return Err(format!("entry {index} is not in the log; {ways_out}"));
                }
                Err(error) => {
                    let directory = &self.files.directory;
                    let (log, remedy) = (directory.join(LOG), remedy(error.kind(), directory));
                    return Err(format!("{}: entry {index} cannot be read: {error}{remedy}", log.display()));
                }
            };
            let failed = |error: ApplyError| {
                let directory = &self.files.directory;
                let remedy =
                    if error.is_damage() { format!("; {}", ways_out(directory)) } else { String::new() };
                format!("{}: entry {index}: {error}{remedy}", directory.join(LOG).display())
            };
            machine.replay(id, payload).map_err(failed)?;
        }
        Ok(())
    }

    /// Logs how far the range is loaded, as long as it is.
    async fn show_progress(&self) {
        let mut ticks = interval(PROGRESS_PAUSE);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            self.log_progress();
        }
    }

    fn log_progress(&self) {
        tracing::info!(range = &*self.range.span().text, percent = self.range.loaded(), "loading");
    }

    async fn lead_alone(&self, consensus: &Consensus, log: &Arc<Mutex<Log>>, begin: Begin) -> End {
        if let Err(broken) = consensus.lead_alone().await {
            return End::Broken(broken.to_string());
        }
        let proposals = &self.range.proposals;
        let first = match begin {
            // Those who watched are gone with the process.
            Begin::Start => Some(proposals.end_of_watches()),
            Begin::Reload => Some(proposals.barrier()),
            Begin::Renewed => None,
        };
        // When it is executed, so is all before it.
        if let Some(group) = first
            && let Err(end) = self.propose(consensus, group).await
        {
            return end;
        }
        self.range.set_ready();
        self.run_beside(consensus, log, self.propose_all(consensus)).await
    }

    /// Runs, and beside it what a replica does from time to time, until one of them ends.
    async fn run_beside(
        &self,
        consensus: &Consensus,
        log: &Arc<Mutex<Log>>,
        run: impl Future<Output = End>,
    ) -> End {
        let sync_failure = log.lock().sync_failure();
        tokio::select! {
            end = run => end,
            () = self.range.store.wait_for_halt() => End::Halted(None),
            end = self.take_snapshots(consensus, log) => end,
            end = self.sync_log(log) => end,
            lost = watch_files(&self.files, &self.range, log) => End::Broken(lost),
            reason = sync_failure => End::Broken(reason),
            reason = self.range.spans.failed() => End::LogFailed(reason),
            () = self.sweep() => unreachable!("it does not end"),
        }
    }

    /// Warns if the clock has been set back, unless it was already: the time of a range does not go back with
    /// it. Returns whether it is.
    fn warn_of_early_clock(&self, was_early: bool) -> bool {
        let ahead_ms = self.range.progress.stamp_ms.load(Relaxed).saturating_sub(kv::time::now_ms());
        let is_early = ahead_ms > EARLY_CLOCK_MS;
        if is_early && !was_early {
            tracing::warn!(
                range = &*self.range.span().text,
                seconds = ahead_ms / 1_000,
                "the clock is behind the last write of this range: until it has caught up, nothing expires, and \
                 what is to expire before that time expires at once; set the clock"
            );
        }
        is_early
    }

    /// Syncs the log from time to time, unless each entry is synced before it is executed.
    async fn sync_log(&self, log: &Mutex<Log>) -> End {
        let Fsync::Interval(pause) = self.range.fsync else { pending().await };
        loop {
            // What is executed has been written.
            let applied = self.range.progress.applied.load(Relaxed);
            if let Err(error) = sync(log).await {
                return End::Broken(error.to_string());
            }
            self.range.set_synced(applied);
            sleep(pause).await;
        }
    }

    /// Takes a snapshot whenever one is wanted, and when the log has outgrown what it is the log of.
    async fn take_snapshots(&self, consensus: &Consensus, log: &Mutex<Log>) -> End {
        let snapshots = &self.range.snapshots;
        let (mut ticks, mut is_early) = (interval(LOG_CHECK_PAUSE), false);
        loop {
            let is_wanted = tokio::select! {
                () = snapshots.wanted() => true,
                _ = ticks.tick() => {
                    is_early = self.warn_of_early_clock(is_early);
                    // It is locked as long as a large group is copied.
                    let Some(mut log) = log.try_lock() else { continue };
                    let stats = log.stats();
                    log.trim_cache();
                    drop(log);
                    self.range.set_log_stats(stats);
                    if self.transport.is_some() {
                        let (term, replicas) = consensus.replicas();
                        self.range.set_replicas(term, replicas);
                    }
                    let room = self.range.snapshots.disk.room();
                    let range = &self.range;
                    has_outgrown(stats, range.store.stats().bytes, room, self.log_files)
                        && range.may_begin_snapshot()
                }
            };
            let begun = snapshots.status().begun;
            // As long as another one is being taken, this does nothing.
            while is_wanted && snapshots.status().begun == begun {
                if let Err(broken) = consensus.begin_snapshot().await {
                    return End::Broken(broken.to_string());
                }
                sleep(SNAPSHOT_PAUSE).await;
            }
        }
    }

    /// Proposes what waits, one group after the other.
    async fn propose_all(&self, consensus: &Consensus) -> End {
        while let Some((group, writing)) = self.range.proposals.next().await {
            if let Err(end) = self.propose(consensus, group).await {
                return end;
            }
            drop(writing);
            self.range.proposals.end_group();
            // On a busy core, the clients of this group would otherwise only write again after the next one.
            thread::yield_now();
        }
        End::Closed
    }

    /// Proposes a group, and waits until it is executed.
    async fn propose(&self, consensus: &Consensus, group: OpenGroup) -> Result<(), End> {
        let proposed = consensus.propose(self.close_group(group)?).await;
        proposed.map_err(|error| End::Broken(error.to_string()))
    }

    /// Gives a group the terms of this moment.
    fn close_group(&self, group: OpenGroup) -> Result<Arc<ClosedGroup>, End> {
        let terms = self.range.terms();
        let closed = process(group.len(), || group.close(terms));
        closed.map(Arc::new).map_err(|malformed| End::Broken(malformed.to_string()))
    }

    /// Removes what has expired by the time of the range, forever. If something has expired by the clock
    /// alone, it lets the time of the range go on.
    async fn sweep(&self) {
        let (range, store) = (&self.range, &self.range.store);
        let mut removed_from = None;
        loop {
            sleep(SWEEP_PAUSE).await;
            let split_at = store.split_at().filter(|_| !range.spans.is_pending());
            if split_at != removed_from {
                let mut removal = Removal::default();
                while store.remove_split_off(&mut removal) {
                    tokio::task::yield_now().await;
                }
                removed_from = split_at;
            }
            let mut is_overdue = false;
            for index in 0..store.shard_count() {
                loop {
                    let swept = store.sweep(index, range.clock(kv::time::now_ms()));
                    is_overdue |= swept.is_overdue;
                    if !swept.is_busy {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            if is_overdue {
                range.propose_time();
            }
        }
    }
}

/// Whether the log of a range that takes `range_bytes` in memory is larger than a snapshot would be, or takes
/// much of that memory itself, and is large at all; or has more than `files`.
fn has_outgrown(log: LogStats, range_bytes: u64, room: u64, files: usize) -> bool {
    let limit = if room < log.bytes { LOG_LOW_BYTES } else { SNAPSHOT_LOG_BYTES };
    let is_large = log.bytes > limit && log.bytes > range_bytes;
    let index_bytes = log.entries * LOG_ENTRY_BYTES;
    let is_long = log.entries > SNAPSHOT_LOG_ENTRIES && index_bytes > range_bytes / SNAPSHOT_INDEX_SHARE;
    is_large || is_long || log.files > files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_cut_when_its_bytes_or_its_entries_are_much_beside_the_range() {
        let (bytes, entries) = (SNAPSHOT_LOG_BYTES, SNAPSHOT_LOG_ENTRIES);
        let index_bytes = entries * LOG_ENTRY_BYTES;
        let ample = u64::MAX;
        for (log_bytes, log_entries, range_bytes, room, expected) in [
            (bytes, entries, 0, ample, false),
            (bytes + 1, 0, 0, ample, true),
            (bytes + 1, 0, bytes + 1, ample, false),
            (LOG_LOW_BYTES + 1, 0, 0, LOG_LOW_BYTES, true),
            (LOG_LOW_BYTES + 1, 0, LOG_LOW_BYTES + 1, 0, false),
            (LOG_LOW_BYTES, 0, 0, 0, false),
            (0, entries + 1, 0, ample, true),
            (0, entries + 1, SNAPSHOT_INDEX_SHARE * index_bytes, ample, true),
            (0, 2 * entries, 2 * SNAPSHOT_INDEX_SHARE * index_bytes, ample, false),
        ] {
            let log = LogStats { bytes: log_bytes, entries: log_entries, files: 16, ..LogStats::default() };
            assert_eq!(has_outgrown(log, range_bytes, room, 16), expected, "{log:?} {range_bytes} {room}");
        }
    }

    #[test]
    fn a_log_is_cut_when_it_has_many_files_however_large_the_range_is() {
        let log = LogStats { files: 17, ..LogStats::default() };
        assert!(has_outgrown(log, u64::MAX, u64::MAX, 16));
        assert!(!has_outgrown(log, u64::MAX, u64::MAX, 17));
    }
}
