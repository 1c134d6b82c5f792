//! The bytes of a backup, page by page: all buckets of this node as they were at one moment, those of each
//! durable range at a moment of its own.

use super::pages::{ExportCounts, ExportScope, Pages};
use crate::limits::TRANSFER_PAGE_BYTES;
use kv::FrozenStore;
use kv_cluster::Cluster;
use kv_raft::snapshot::{SnapshotEncoder, SnapshotHeader, SnapshotKind, encode_store};
use std::collections::VecDeque;

/// A backup of this node's buckets.
pub(crate) struct Backup {
    /// The copies of which some is left.
    frozen: VecDeque<FrozenStore>,
    total: u64,
    /// `None` when its last bytes have been returned.
    encoder: Option<SnapshotEncoder>,
    counts: ExportCounts,
    scope: ExportScope,
}

impl Backup {
    /// A backup as of now. An error says why there cannot be one.
    pub(crate) fn new(cluster: &Cluster) -> Result<Backup, String> {
        let local = cluster.local();
        local.check_ranges().map_err(|failure| failure.to_string())?;
        let frozen: VecDeque<_> = local.freeze().map_err(|error| error.to_string())?.into();
        let scope = ExportScope::new(cluster);
        let description = scope.node.clone().into_bytes();
        let now_ms = kv::time::now_ms();
        // What has expired by the time of a range has expired for good.
        let stamp_ms = local.ranges().iter().map(|range| range.clock(now_ms).now_ms).fold(now_ms, u64::max);
        let header = SnapshotHeader { kind: SnapshotKind::Backup, stamp_ms, description };
        let total = frozen.iter().map(|frozen| frozen.buckets() as u64).sum();
        let encoder = Some(SnapshotEncoder::new(&header));
        Ok(Backup { frozen, total, encoder, counts: ExportCounts::default(), scope })
    }
}

impl Pages for Backup {
    fn total(&self) -> u64 {
        self.total
    }

    fn next_page(&mut self) -> Result<Option<Vec<u8>>, String> {
        let Some(mut encoder) = self.encoder.take() else { return Ok(None) };
        let mut bytes = Vec::new();
        while bytes.len() < TRANSFER_PAGE_BYTES {
            let Some(frozen) = self.frozen.front_mut() else {
                bytes.extend_from_slice(&encoder.finish());
                return Ok(Some(bytes));
            };
            let read = encode_store(frozen, &mut encoder).map_err(|error| error.to_string())?;
            let counts = encoder.counts();
            self.counts =
                ExportCounts { buckets: counts.maps, entries: counts.entries, strings: counts.strings };
            match read {
                Some(blocks) => bytes.extend_from_slice(&blocks),
                None => drop(self.frozen.pop_front()),
            }
        }
        self.encoder = Some(encoder);
        Ok(Some(bytes))
    }

    fn counts(&self) -> ExportCounts {
        self.counts
    }

    fn into_scope(self) -> Result<ExportScope, String> {
        Ok(self.scope)
    }
}
