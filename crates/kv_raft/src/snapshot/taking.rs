//! Takes the snapshots of a range: freezes its store between two entries, and writes the copy while the range
//! goes on.

use super::files::{self, RangeSnapshot};
use crate::{log::encoding::Position, machine::Progress};
use kv::{AlreadyFrozen, FreezeBudget, FrozenStore, Store};
use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::sync::{Notify, watch};

/// The snapshots of a range.
#[derive(Debug)]
pub(crate) struct Snapshots {
    directory: PathBuf,
    budget: Arc<FreezeBudget>,
    status: watch::Sender<SnapshotStatus>,
    wanted: Notify,
}

/// What there is of snapshots of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotStatus {
    /// How many were begun since the range was opened, and how many of them have ended.
    pub(crate) begun: u64,
    pub(crate) ended: u64,
    /// The newest, if there is one.
    pub(crate) newest: Option<RangeSnapshot>,
    /// Why the last one was not written, if it was not.
    pub failure: Option<Arc<str>>,
}

impl SnapshotStatus {
    /// Whether one is being written.
    pub fn is_running(&self) -> bool {
        self.ended < self.begun
    }

    /// The moment of the newest, in milliseconds since 1970.
    pub fn newest_ms(&self) -> Option<u64> {
        self.newest.as_ref().map(|newest| newest.stamp_ms)
    }

    /// Bytes of the newest.
    pub fn bytes(&self) -> u64 {
        self.newest.as_ref().map_or(0, |newest| newest.bytes)
    }
}

impl Snapshots {
    pub(crate) fn new(directory: PathBuf, budget: Arc<FreezeBudget>) -> Snapshots {
        Snapshots { directory, budget, status: watch::Sender::default(), wanted: Notify::new() }
    }

    /// Loads the newest snapshot into an empty store.
    pub(crate) fn load(&self, store: &Store) -> Result<Option<RangeSnapshot>, files::NotLoaded> {
        let loaded = files::load(&self.directory, store)?;
        self.status.send_modify(|status| status.newest.clone_from(&loaded));
        Ok(loaded)
    }

    /// What there is.
    pub(crate) fn status(&self) -> SnapshotStatus {
        self.status.borrow().clone()
    }

    /// Takes a snapshot, and waits until it is on disk.
    pub(crate) async fn take(&self) -> Result<(), Arc<str>> {
        let mut status = self.status.subscribe();
        let next = status.borrow_and_update().begun + 1;
        loop {
            self.wanted.notify_one();
            // One that is being written was begun before: another one follows it.
            let ended = status.borrow_and_update().ended;
            let changed = status.wait_for(|status| status.ended > ended).await;
            let Ok(status) = changed else { return Err("the range has ended".into()) };
            if status.ended >= next {
                return status.failure.clone().map_or(Ok(()), Err);
            }
        }
    }

    /// Waits until no snapshot is being written.
    pub(crate) async fn wait_until_written(&self) {
        // It is not closed as long as this is borrowed.
        let _ = self.status.subscribe().wait_for(|status| !status.is_running()).await;
    }

    /// Freezes the store for a copy that is not a snapshot.
    pub(crate) fn freeze(&self, store: &Arc<Store>) -> Result<FrozenStore, AlreadyFrozen> {
        store.freeze(&self.budget)
    }

    /// Waits until a snapshot is wanted.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Freezes the store, which is as far as `progress` says; `None` before the first entry.
    pub(crate) fn begin(self: &Arc<Self>, store: &Arc<Store>, progress: &Progress) -> Option<Taking> {
        let (position, stamp_ms) = (progress.position()?, progress.stamp_ms.load(Relaxed));
        self.status.send_modify(|status| status.begun += 1);
        let frozen = store.freeze(&self.budget);
        Some(Taking { snapshots: self.clone(), position, stamp_ms, frozen })
    }

    fn end(&self, written: Result<RangeSnapshot, String>) {
        self.status.send_modify(|status| {
            status.ended += 1;
            match written {
                Ok(snapshot) => (status.newest, status.failure) = (Some(snapshot), None),
                Err(reason) => {
                    let directory = self.directory.display();
                    tracing::warn!(%directory, reason, "no snapshot was taken; the log is kept");
                    status.failure = Some(reason.into());
                }
            }
        });
    }
}

/// A snapshot that is being taken.
pub(crate) struct Taking {
    snapshots: Arc<Snapshots>,
    position: Position,
    stamp_ms: u64,
    frozen: Result<FrozenStore, AlreadyFrozen>,
}

impl Taking {
    /// Writes it. Returns the newest that there is then: the one before, if it could not be written.
    pub(crate) async fn finish(self) -> Option<RangeSnapshot> {
        let Taking { snapshots, position, stamp_ms, frozen } = self;
        match frozen {
            Ok(mut frozen) => {
                let writer = snapshots.clone();
                let write = move || {
                    let written = files::write(&writer.directory, &position, stamp_ms, &mut frozen);
                    // Whoever waits for the end may freeze the store.
                    drop(frozen);
                    writer.end(written.map_err(|error| error.to_string()));
                };
                if let Err(panic) = tokio::task::spawn_blocking(write).await {
                    snapshots.end(Err(panic.to_string()));
                }
            }
            Err(error) => snapshots.end(Err(error.to_string())),
        }
        snapshots.status().newest
    }
}
