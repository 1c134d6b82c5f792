//! Takes the snapshots of a range: freezes its store between two entries, and writes the copy while the range
//! goes on.

use super::{
    SnapshotHeader, encode_store,
    files::{self, LoadProgress, RangeSnapshot},
    receive::{self, IncomingSnapshot, NotReceived, Received, SnapshotId},
};
use crate::{
    disk::Disk,
    error::panicked,
    identity::{Owner, data_dir::DataDir},
    limits::{
        OLD_SNAPSHOT, OLD_SNAPSHOT_LOG_BYTES, OLD_SNAPSHOT_PAUSE, SNAPSHOT_RETRY_PAUSE,
        SNAPSHOT_RETRY_PAUSE_LIMIT, SNAPSHOT_SPACE_SHARE,
    },
    log::encoding::{LogId, Position},
    machine::Progress,
};
use kv::{FreezeBudget, FrozenStore, Store};
use otp::LogLimiter;
use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// The snapshots of a range.
#[derive(Debug)]
pub(crate) struct Snapshots {
    range: Box<str>,
    data_dir: Arc<DataDir>,
    directory: PathBuf,
    owner: Owner,
    pub(crate) disk: Arc<Disk>,
    pub(crate) budget: Arc<FreezeBudget>,
    status: watch::Sender<SnapshotStatus>,
    failures: LogLimiter,
    /// How much of the newest is loaded.
    pub(crate) loading: LoadProgress,
    /// When it was said last that the newest is old, in milliseconds since 1970.
    warned_ms: AtomicU64,
}

/// What there is of snapshots of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotStatus {
    /// How many were begun since the range was opened, and how many of them have ended.
    pub(crate) begun: u64,
    pub(crate) ended: u64,
    /// How many are to have begun.
    wanted: u64,
    /// When the one that is being taken was begun.
    began: Option<Instant>,
    /// The newest, if there is one.
    pub(crate) newest: Option<RangeSnapshot>,
    /// How many were written since the range was opened.
    pub written: u64,
    /// How long the last one took.
    pub took: Option<Duration>,
    /// Why the last one was not written, if it was not.
    pub failure: Option<Arc<str>>,
    /// How many were not written since one was.
    pub failures: u64,
    /// When the last of these was given up.
    failed: Option<Instant>,
}

impl SnapshotStatus {
    /// Whether one is being taken, or is to be.
    pub fn is_running(&self) -> bool {
        self.ended < self.begun.max(self.wanted)
    }

    /// Whether the last one was not written, and too little time has passed to try that again unasked.
    pub(crate) fn is_held_back(&self, now: Instant) -> bool {
        let doublings = self.failures.saturating_sub(1).min(16) as u32;
        let pause = SNAPSHOT_RETRY_PAUSE.saturating_mul(1 << doublings).min(SNAPSHOT_RETRY_PAUSE_LIMIT);
        self.failed.is_some_and(|failed| now.saturating_duration_since(failed) < pause)
    }

    /// How long the one that is being taken takes already.
    pub fn running_for(&self) -> Option<Duration> {
        self.began.map(|began| began.elapsed())
    }

    /// How long ago the last one was given up, if it was.
    pub fn failed_for(&self) -> Option<Duration> {
        self.failed.map(|failed| failed.elapsed())
    }

    /// When the newest was written, in milliseconds since 1970.
    pub fn written_ms(&self) -> Option<u64> {
        self.newest.as_ref().map(|newest| newest.written_ms)
    }

    /// The last entry that is in the newest; 0 without one.
    pub(crate) fn entry(&self) -> u64 {
        self.newest.as_ref().map_or(0, |newest| newest.position.last.index)
    }

    /// Bytes of the newest.
    pub fn bytes(&self) -> u64 {
        self.newest.as_ref().map_or(0, |newest| newest.bytes)
    }
}

impl Snapshots {
    pub(crate) fn new(
        range: Box<str>,
        data_dir: Arc<DataDir>,
        directory: PathBuf,
        owner: Owner,
        disk: Arc<Disk>,
        budget: Arc<FreezeBudget>,
    ) -> Snapshots {
        let failures = LogLimiter::new("snapshots were not taken", 1);
        Snapshots {
            range,
            data_dir,
            directory,
            owner,
            disk,
            budget,
            status: watch::Sender::default(),
            failures,
            loading: LoadProgress::default(),
            warned_ms: 0.into(),
        }
    }

    /// Notes which is the newest, before it is loaded. One that cannot be read is left out: loading it says
    /// why.
    pub(crate) fn note_newest(&self) {
        let newest = files::newest(&self.directory, self.owner).ok().flatten();
        self.status.send_modify(|status| status.newest = newest);
    }

    /// Loads the newest snapshot into an empty store: the one that the log goes on from, which is purged as
    /// far as that.
    pub(crate) fn load(
        &self,
        store: &Store,
        purged: Option<LogId>,
    ) -> Result<Option<RangeSnapshot>, files::NotLoaded> {
        let loaded = self.load_newest(store, purged);
        let newest = loaded.as_ref().ok().cloned().flatten();
        self.status.send_modify(|status| status.newest = newest);
        loaded
    }

    fn load_newest(
        &self,
        store: &Store,
        purged: Option<LogId>,
    ) -> Result<Option<RangeSnapshot>, files::NotLoaded> {
        let loaded = files::load(&self.directory, self.owner, store, &self.loading)?;
        // A process that ends while it loads the snapshot of another replica may have cut the log behind it.
        let received = receive::path(&self.directory);
        if loaded.as_ref().map(|loaded| loaded.position.last) >= purged || !received.exists() {
            receive::remove(&self.directory);
            return Ok(loaded);
        }
        let of_other = self.load_received(&received, store)?;
        Ok(Some(of_other).filter(|of_other| Some(of_other.position.last) == purged))
    }

    /// Loads the snapshot of another replica in place of what is in the store.
    pub(crate) fn load_received(
        &self,
        path: &Path,
        store: &Store,
    ) -> Result<RangeSnapshot, files::NotLoaded> {
        files::check(path)?;
        // A backup that is being taken can wait.
        store.end_freeze();
        store.restart();
        files::load_file(path, None, store, &self.loading)
    }

    /// Whether the store has the snapshot of another replica, which is to be kept.
    pub(crate) fn has_received(&self) -> bool {
        receive::path(&self.directory).exists()
    }

    /// Writes the store, which has the snapshot of another replica and no more, as one of this replica, and
    /// removes the file that was received.
    pub(crate) async fn keep_received(
        self: &Arc<Self>,
        store: &Arc<Store>,
        progress: &Progress,
    ) -> Result<(), Arc<str>> {
        if let Some(taking) = self.begin(store, progress) {
            taking.finish().await;
        }
        if let Some(failure) = self.status().failure {
            return Err(failure);
        }
        receive::remove(&self.directory);
        Ok(())
    }

    /// Takes the next part of the snapshot of another replica.
    pub(crate) fn receive(
        &self,
        incoming: &mut Option<IncomingSnapshot>,
        id: SnapshotId,
        offset: u64,
        part: &[u8],
    ) -> Result<Received, NotReceived> {
        receive::receive(&self.directory, &self.disk, incoming, id, offset, part)
    }

    /// Where the snapshot is whose last entry has this index.
    pub(crate) fn path(&self, last: u64) -> PathBuf {
        files::path(&self.directory, last)
    }

    /// What there is.
    pub(crate) fn status(&self) -> SnapshotStatus {
        self.status.borrow().clone()
    }

    /// Where the newest is, and its bytes.
    pub(crate) fn file(&self) -> Option<(PathBuf, u64)> {
        let status = self.status.borrow();
        let newest = status.newest.as_ref()?;
        Some((files::path(&self.directory, newest.position.last.index), newest.bytes))
    }

    /// Has a snapshot begun, after the one that is being taken if there is one. The future waits until it is
    /// on disk; it is taken without that, too.
    pub(crate) fn take(&self) -> impl Future<Output = Result<(), Arc<str>>> + use<> {
        let (mut status, mut number) = (self.status.subscribe(), 0);
        self.status.send_modify(|status| {
            number = status.begun + 1;
            status.wanted = number;
        });
        async move {
            match status.wait_for(|status| status.ended >= number).await {
                Ok(status) => status.failure.clone().map_or(Ok(()), Err),
                Err(_) => Err("the range has ended".into()),
            }
        }
    }

    /// None is to be begun any more, but for the one that is being taken.
    pub(crate) fn forget_wanted(&self) {
        self.status.send_modify(|status| status.wanted = status.begun);
    }

    /// Waits until no snapshot is being written.
    pub(crate) async fn wait_until_written(&self) {
        // It is not closed as long as this is borrowed.
        let _ = self.status.subscribe().wait_for(|status| !status.is_running()).await;
    }

    /// Waits until a snapshot is to be begun.
    pub(crate) async fn wanted(&self) {
        // It does not end before `self` does.
        let _ = self.status.subscribe().wait_for(|status| status.wanted > status.begun).await;
    }

    /// Warns, once in a while, if the newest is old and the log behind it is long. Without one, its age is
    /// that of this process.
    pub(crate) fn warn_if_old(&self, began_ms: u64, log_bytes: u64, now_ms: u64) {
        let age = |since_ms: u64| Duration::from_millis(now_ms.saturating_sub(since_ms));
        let old = age(self.status.borrow().written_ms().unwrap_or(began_ms));
        let is_long_ago = |warned_ms| age(warned_ms) >= OLD_SNAPSHOT_PAUSE;
        if old >= OLD_SNAPSHOT
            && log_bytes >= OLD_SNAPSHOT_LOG_BYTES
            && is_long_ago(self.warned_ms.load(Relaxed))
        {
            self.warned_ms.store(now_ms, Relaxed);
            let hours = old.as_secs() / 3_600;
            tracing::warn!(
                range = &*self.range,
                hours,
                log_bytes,
                "the newest snapshot is old: BGSAVE takes one, so that a start is fast and the log is cut"
            );
        }
    }

    /// Freezes the store, which is as far as `progress` says; `None` before the first entry.
    pub(crate) fn begin(self: &Arc<Self>, store: &Arc<Store>, progress: &Progress) -> Option<Taking> {
        let (position, stamp_ms) = (progress.position()?, progress.stamp_ms.load(Relaxed));
        self.status.send_modify(|status| {
            (status.begun, status.began) = (status.begun + 1, Some(Instant::now()));
        });
        // What has expired is removed meanwhile, which changes no watches, and nothing else is executed.
        let frozen = match self.disk.check_snapshot_room(store.stats().bytes / SNAPSHOT_SPACE_SHARE, 0) {
            Ok(()) => store.freeze(&self.budget).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let frozen = frozen.map(|frozen| (files::header(&position, self.owner, stamp_ms, store), frozen));
        Some(Taking { snapshots: self.clone(), position, frozen })
    }

    fn end(&self, written: Result<RangeSnapshot, String>) {
        let span = &*self.range;
        self.status.send_modify(|status| {
            status.ended += 1;
            let took = status.began.take().map(|began| began.elapsed()).unwrap_or_default();
            status.took = Some(took);
            let took_ms = took.as_millis() as u64;
            match written {
                Ok(snapshot) => {
                    let (bytes, entry) = (snapshot.bytes, snapshot.position.last.index);
                    tracing::info!(range = span, bytes, entry, took_ms, "a snapshot was taken");
                    (status.newest, status.failure, status.failed) = (Some(snapshot), None, None);
                    (status.written, status.failures) = (status.written + 1, 0);
                }
                Err(reason) => {
                    if self.failures.admit() {
                        tracing::warn!(
                            range = span,
                            reason,
                            "no snapshot was taken; the log is kept, and grows"
                        );
                    }
                    (status.failure, status.failures) = (Some(reason.into()), status.failures + 1);
                    status.failed = Some(Instant::now());
                }
            }
        });
    }
}

/// A snapshot that is being taken.
pub(crate) struct Taking {
    snapshots: Arc<Snapshots>,
    position: Position,
    frozen: Result<(SnapshotHeader, FrozenStore), String>,
}

impl Taking {
    /// Takes none, for this reason. Returns the newest that there is.
    pub(crate) fn give_up(self, reason: &io::Error) -> Option<RangeSnapshot> {
        self.snapshots.end(Err(reason.to_string()));
        self.snapshots.status().newest
    }

    /// Writes it. Returns the newest that there is then: the one before, if it could not be written.
    pub(crate) async fn finish(self) -> Option<RangeSnapshot> {
        let Taking { snapshots, position, frozen } = self;
        match frozen {
            Ok((header, mut frozen)) => {
                let writer = snapshots.clone();
                let write = move || {
                    let Snapshots { data_dir, directory, disk, .. } = &*writer;
                    let written = files::write(directory, data_dir, disk, &position, &header, |encoder| {
                        encode_store(&mut frozen, encoder)
                    });
                    // Whoever waits for the end may freeze the store.
                    drop(frozen);
                    writer.end(written.map_err(|error| error.to_string()));
                };
                if tokio::task::spawn_blocking(write).await.is_err() {
                    snapshots.end(Err(panicked(&snapshots.directory)));
                }
            }
            Err(reason) => snapshots.end(Err(reason)),
        }
        snapshots.status().newest
    }
}
