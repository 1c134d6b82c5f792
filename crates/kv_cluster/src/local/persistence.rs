//! What this node keeps on disk, and how far: for INFO, CONFIG, SAVE and the console.

use super::LocalNode;
use crate::error::{RangeFailure, RangeFailureKind};
use kv_raft::{Fsync, Range, RangeState, RangeStatus, Ranges};
use std::{path::Path, sync::Arc};

impl LocalNode {
    /// The whole path of the directory in which durable buckets are kept.
    pub fn data_dir(&self) -> Option<&Path> {
        self.ranges.as_ref().map(Ranges::data_dir)
    }

    /// What each durable range is and does.
    pub fn range_statuses(&self) -> Vec<RangeStatus> {
        self.ranges().iter().map(|range| range.status()).collect()
    }

    /// The rows of this node whose buckets are volatile, in the order of their names.
    pub fn volatile_rows(&self) -> impl Iterator<Item = &str> {
        let own = self.table.routes().spans_of(&self.name);
        own.filter(|row| self.ranges.is_none() || !row.is_durable()).map(|row| row.buckets())
    }

    /// When the logs of durable ranges are synced; `None` if there are none.
    pub fn fsync(&self) -> Option<Fsync> {
        self.ranges().first().map(|range| range.status().fsync)
    }

    /// Waits until all that was acknowledged of durable buckets is synced; an error if a range stops before.
    pub async fn wait_until_synced(&self) -> Result<(), RangeFailure> {
        for range in self.ranges() {
            range.wait_until_synced().await?;
        }
        Ok(())
    }

    /// Fails while the log of a range is not on disk, as it has failed and cannot be written again yet.
    pub fn check_logs(&self) -> Result<(), RangeFailure> {
        self.ranges().into_iter().chain(self.meta_range()).try_for_each(|range| range.check_log())?;
        Ok(())
    }

    /// A range whose log is not on disk, and why, if there is one.
    pub fn log_failure(&self) -> Option<String> {
        let failure = |range: &Arc<Range>| {
            range.log_failure().map(|reason| format!("range {}: {reason}", range.span().text))
        };
        self.ranges().into_iter().chain(self.meta_range()).find_map(failure)
    }

    /// Has a snapshot taken of each durable range that is ready, from which its log goes on. The future waits
    /// until they are on disk; they are taken without that, too. An error is that of the first range without
    /// one: the others are taken all the same.
    pub fn take_snapshots(&self) -> impl Future<Output = Result<(), RangeFailure>> + Send + use<> {
        let mut failure = self.check_ranges().err();
        let is_loaded = |range: &&Arc<Range>| {
            !matches!(range.status().state, RangeState::Loading | RangeState::Stopped(_))
        };
        let ready = self.ranges().into_iter().filter(is_loaded);
        let taken: Vec<_> = ready.map(|range| (range.span().text.clone(), range.take_snapshot())).collect();
        async move {
            for (range, taken) in taken {
                if let Err(reason) = taken.await {
                    let message = format!("no snapshot of range {range} was taken: {reason}");
                    failure.get_or_insert(RangeFailure::new(RangeFailureKind::CannotWrite, message));
                }
            }
            failure.map_or(Ok(()), Err)
        }
    }
}
