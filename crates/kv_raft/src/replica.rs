//! The life of a replica: it loads its log, leads its range, and proposes what waits. If the store halts, it
//! begins again; if the same entry halts it again, or the log fails, it stops.

use crate::{
    consensus::Consensus,
    limits::{LOG_CHECK_PAUSE, LOG_FILE_BYTES, PROGRESS_PAUSE, SNAPSHOT_LOG_BYTES, SWEEP_PAUSE},
    log::{Log, LogSettings},
    machine::{Crash, InFlight, Machine},
    proposals::OpenGroup,
    range::Range,
    snapshot::taking::Snapshots,
};
use parking_lot::Mutex;
use std::{path::PathBuf, sync::Arc};
use tokio::{
    sync::oneshot,
    time::{interval, sleep},
};

/// A replica, and where its files are.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) id: u64,
    pub(crate) range: Arc<Range>,
    pub(crate) directory: PathBuf,
    /// Bytes of entries that its log keeps in memory.
    pub(crate) cache_bytes: usize,
}

/// How a life ends.
enum End {
    /// The range was closed.
    Closed,
    /// The store has halted, at an entry or while it was read.
    Halted(Option<Crash>),
    /// The log or the consensus cannot go on, or the store has halted.
    Broken(String),
}

impl Replica {
    /// Runs until the range is closed or has stopped.
    pub(crate) async fn run(self) {
        let (mut halted_at, mut is_first) = (None, true);
        loop {
            let span = &*self.range.span().text;
            match self.live(is_first).await {
                End::Closed => return,
                End::Halted(Some(crash)) if halted_at == Some(crash.index) => {
                    let reason = format!(
                        "entry {} of its log crashes it, at bucket \"{}\"; see docs/operations.md",
                        crash.index,
                        crash.bucket.unwrap_or_default().escape_ascii()
                    );
                    tracing::error!(span, reason, "the range has stopped");
                    return self.range.stop(&reason);
                }
                End::Halted(crash) => {
                    let index = crash.map(|crash| crash.index);
                    tracing::error!(span, ?index, "the range has crashed, and is loaded again from its log");
                    halted_at = index.or(halted_at);
                }
                End::Broken(reason) => {
                    tracing::error!(span, reason, "the range has stopped");
                    return self.range.stop(&reason);
                }
            }
            is_first = false;
            self.range.begin_loading();
            self.range.store.restart();
        }
    }

    /// Loads the log, and proposes what waits until something fails or the range is closed.
    async fn live(&self, is_first: bool) -> End {
        let (log, snapshots) = match self.load().await {
            Ok(loaded) => loaded,
            Err(reason) => return End::Broken(reason),
        };
        let (ended, machine_ended) = oneshot::channel();
        let machine = Machine {
            store: self.range.store.clone(),
            progress: self.range.progress.clone(),
            in_flight: InFlight::default(),
            _ended: ended,
        };
        let started = tokio::select! {
            started = Consensus::start(self.id, log, machine, snapshots) => started,
            () = self.show_progress() => unreachable!("it does not end"),
        };
        let end = match started {
            Ok(consensus) => {
                let end = self.lead(&consensus, is_first).await;
                consensus.stop().await;
                end
            }
            Err(broken) => End::Broken(broken.to_string()),
        };
        drop(machine_ended.await);
        match (end, self.range.progress.take_crash()) {
            (End::Halted(_) | End::Broken(_), Some(crash)) => End::Halted(Some(crash)),
            (end, _) => end,
        }
    }

    /// Opens the log, and loads the snapshot before it.
    async fn load(&self) -> Result<(Arc<Mutex<Log>>, Arc<Snapshots>), String> {
        let (range, cache_bytes) = (self.range.clone(), self.cache_bytes);
        let directory = self.directory.join("log");
        let load = move || {
            let file_bytes = LOG_FILE_BYTES.min(cache_bytes);
            let log = Log::open(LogSettings { directory: &directory, cache_bytes, file_bytes });
            let log = log.map_err(|error| error.to_string())?;
            let snapshot = range.snapshots.load(&range.store).map_err(|error| error.to_string())?;
            let index = snapshot.as_ref().map(|snapshot| snapshot.position.last.index);
            if log.purged().is_some_and(|purged| index.is_none_or(|index| index < purged.index)) {
                return Err(format!(
                    "the snapshot before {} is missing; restore the range from a backup",
                    directory.display()
                ));
            }
            if let Some(snapshot) = snapshot {
                range.progress.begin_at(snapshot.position.last, snapshot.stamp_ms);
            }
            let log = Arc::new(Mutex::new(log));
            range.set_log(&log);
            Ok((log, range.snapshots.clone()))
        };
        match tokio::task::spawn_blocking(load).await {
            Ok(loaded) => loaded,
            Err(panic) => Err(panic.to_string()),
        }
    }

    /// Logs how far the range is loaded, as long as it is.
    async fn show_progress(&self) {
        let mut ticks = interval(PROGRESS_PAUSE);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            tracing::info!(span = &*self.range.span().text, percent = self.range.loaded(), "loading");
        }
    }

    async fn lead(&self, consensus: &Consensus, is_first: bool) -> End {
        if let Err(broken) = consensus.lead_alone(self.id).await {
            return End::Broken(broken.to_string());
        }
        if is_first {
            // Those who watched are gone with the process. When that is executed, so is all before it.
            let group = self.range.proposals.end_of_watches();
            if let Err(end) = self.propose(consensus, group).await {
                return end;
            }
        }
        self.range.set_ready();
        tokio::select! {
            end = self.propose_all(consensus) => end,
            () = self.range.store.wait_for_halt() => End::Halted(None),
            end = self.take_snapshots(consensus) => end,
            () = self.sweep() => unreachable!("it does not end"),
        }
    }

    /// Takes a snapshot whenever one is wanted, and when the log has outgrown what it is the log of.
    async fn take_snapshots(&self, consensus: &Consensus) -> End {
        let mut ticks = interval(LOG_CHECK_PAUSE);
        loop {
            let is_wanted = tokio::select! {
                () = self.range.snapshots.wanted() => true,
                _ = ticks.tick() => self.has_outgrown_log(),
            };
            if is_wanted && let Err(broken) = consensus.begin_snapshot().await {
                return End::Broken(broken.to_string());
            }
        }
    }

    /// Whether the log is larger than a snapshot would be, and large at all.
    fn has_outgrown_log(&self) -> bool {
        self.range.log_bytes() > SNAPSHOT_LOG_BYTES.max(self.range.store.used_bytes() as u64)
    }

    /// Proposes what waits, one group after the other.
    async fn propose_all(&self, consensus: &Consensus) -> End {
        while let Some(group) = self.range.proposals.next().await {
            if let Err(end) = self.propose(consensus, group).await {
                return end;
            }
        }
        End::Closed
    }

    /// Proposes a group, and waits until it is executed.
    async fn propose(&self, consensus: &Consensus, group: OpenGroup) -> Result<(), End> {
        let closed = group.close(self.range.terms());
        let group = closed.map_err(|malformed| End::Broken(malformed.to_string()))?;
        let proposed = consensus.propose(Arc::new(group)).await;
        proposed.map_err(|broken| End::Broken(broken.to_string()))
    }

    /// Removes what has expired by the time of the range, forever. If something has expired by the clock
    /// alone, it lets the time of the range go on.
    async fn sweep(&self) {
        let (range, store) = (&self.range, &self.range.store);
        loop {
            sleep(SWEEP_PAUSE).await;
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
