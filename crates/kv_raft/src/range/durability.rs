//! What of a range is on disk: its snapshots, how far its log is synced, and whether that has failed.

use super::{Range, state::RangeState};
use crate::{error::RangeError, log::Fsync};
use kv::{AlreadyFrozen, FrozenStore};
use std::{
    future::pending,
    sync::{Arc, atomic::Ordering::Relaxed},
};

impl Range {
    /// Has a snapshot taken. The future waits until it is on disk and the log begins behind it, or why there
    /// is none, and does not end before the range is ready. It is taken without that, too.
    pub fn take_snapshot(&self) -> impl Future<Output = Result<(), Arc<str>>> + use<> {
        let (stopped, mut failure) = (self.wait_until_stopped(), self.log_failure.subscribe());
        // None is begun as long as the log is not on disk.
        let taken = self.log_failure.borrow().is_none().then(|| self.snapshots.take());
        async move {
            let taken = async {
                match taken {
                    Some(taken) => taken.await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                failed = failure.wait_for(Option::is_some) => {
                    Err(failed.ok().and_then(|reason| reason.clone()).unwrap_or_else(|| "the range has ended".into()))
                }
                taken = taken => taken,
                reason = stopped => Err(reason),
            }
        }
    }

    /// Waits until it has stopped, and returns why.
    fn wait_until_stopped(&self) -> impl Future<Output = Arc<str>> + use<> {
        let mut state = self.state.subscribe();
        async move {
            match state.wait_for(|state| matches!(state, RangeState::Stopped(_))).await.as_deref() {
                Ok(RangeState::Stopped(reason)) => reason.clone(),
                _ => "the range has ended".into(),
            }
        }
    }

    /// Waits until no snapshot is being written, so that the range can be frozen, or until it has stopped.
    pub async fn wait_until_written(&self) {
        tokio::select! {
            () = self.snapshots.wait_until_written() => {}
            _ = self.wait_until_stopped() => {}
        }
    }

    /// Whether it was split, and what it has split off has no files yet, so that nobody has that.
    pub fn is_being_split(&self) -> bool {
        self.spans.is_pending()
    }

    /// All its buckets as they are now. No snapshot is taken as long as there is the copy.
    pub(crate) fn freeze(&self) -> Result<FrozenStore, AlreadyFrozen> {
        self.store.freeze(&self.snapshots.budget)
    }

    /// Waits until all that was acknowledged is synced; an error if the range stops before.
    pub async fn wait_until_synced(&self) -> Result<(), RangeError> {
        let (applied, mut synced) = (self.progress.applied.load(Relaxed), self.synced.subscribe());
        if let RangeState::Stopped(reason) = &*self.state.borrow() {
            return Err(self.stopped(reason));
        }
        let mut failure = self.log_failure.subscribe();
        let on_disk = async {
            // Neither ends before `self` does.
            drop(failure.wait_for(Option::is_none).await);
            if self.fsync != Fsync::Always {
                drop(synced.wait_for(|synced| *synced >= applied).await);
            }
        };
        tokio::select! {
            biased;
            reason = self.wait_until_stopped() => Err(self.stopped(&reason)),
            () = on_disk => Ok(()),
        }
    }

    /// The last entry that is known to be synced.
    pub(crate) fn synced(&self) -> u64 {
        match self.fsync {
            Fsync::Always => self.progress.applied.load(Relaxed),
            Fsync::Interval(_) => *self.synced.borrow(),
        }
    }

    /// The entries that were executed and are not known to be synced.
    pub(super) fn unsynced(&self) -> u64 {
        self.progress.applied.load(Relaxed).saturating_sub(self.synced())
    }

    /// Notes that the entries up to this one are synced.
    pub(crate) fn set_synced(&self, entry: u64) {
        self.synced.send_replace(entry);
    }

    /// Why its log is not on disk, if it is not: what was acknowledged is in memory alone then.
    pub fn log_failure(&self) -> Option<Arc<str>> {
        self.log_failure.borrow().clone()
    }

    /// Fails while its log is not on disk.
    pub fn check_log(&self) -> Result<(), RangeError> {
        match self.log_failure() {
            Some(reason) => Err(RangeError::CannotWrite { range: self.spans.text(), reason }),
            None => Ok(()),
        }
    }

    /// Its log is not on disk any more, or cannot be written again: it refuses what writes, and what waits to
    /// be written, and takes no snapshots. Reads go on. Of a range that has stopped nothing more is written.
    pub(crate) fn fail_log(&self, reason: &str) {
        let reason: Arc<str> = reason.into();
        {
            let state = self.state.borrow();
            if matches!(*state, RangeState::Stopped(_)) {
                return;
            }
            self.log_failure.send_replace(Some(reason.clone()));
        }
        self.snapshots.forget_wanted();
        self.proposals.fail(&RangeError::CannotWrite { range: self.spans.text(), reason });
    }

    /// Its log has failed, and others have copies of the range: it is loaded again when there is space. Until
    /// then this is why.
    pub(crate) fn wait_for_log(&self, reason: &str) {
        let (range, reason) = (self.spans.text(), reason.into());
        self.proposals.fail(&RangeError::CannotWrite { range, reason });
    }
}
