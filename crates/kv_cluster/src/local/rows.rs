//! The rows with replicas, as this node has them.

use crate::routing::placement::{PlacedRow, PlacementTable};
use kv_raft::Range;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// The rows whose replicas the meta group places.
#[derive(Debug, Default)]
pub(crate) struct ReplicatedRows {
    /// In the order of the table: what routes refer to stays in its place.
    pub(crate) rows: boxcar::Vec<Arc<ReplicatedRow>>,
    /// The group itself; `None` if there are no such rows.
    pub(crate) meta: Option<Arc<ReplicatedRow>>,
    /// The newest table that this node knows.
    pub(crate) table: watch::Sender<PlacementTable>,
    /// Held while this node changes the table, as the leader of the group.
    pub(super) changing: Mutex<()>,
}

/// A row with replicas.
#[derive(Debug)]
pub(crate) struct ReplicatedRow {
    /// Where they are, and where they were before: requests in flight refer to it.
    placed: boxcar::Vec<Placed>,
}

/// Where the replicas of a row are.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) row: PlacedRow,
    /// That of this node, if it has one.
    pub(crate) here: Option<Arc<Range>>,
}

impl ReplicatedRows {
    /// The rows of a table, with the ranges of this node.
    pub(crate) fn new(table: PlacementTable, ranges: &[Arc<Range>]) -> ReplicatedRows {
        let mut rows = table.rows.iter().map(|row| {
            // One that is yet to be split has more names.
            let span = row.span();
            let is_its = |range: &&Arc<Range>| range.is_replicated() && range.span().begins_like(&span);
            ReplicatedRow::new(Placed { row: row.clone(), here: ranges.iter().find(is_its).cloned() })
        });
        let (meta, rows) = (rows.next(), rows.collect());
        ReplicatedRows { rows, meta, table: watch::Sender::new(table), changing: Mutex::default() }
    }

    /// The rows, that of the meta group first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &ReplicatedRow> {
        self.meta.iter().chain(self.rows.iter().map(|(_, row)| row)).map(|row| &**row)
    }

    /// The row that begins with this name.
    pub(crate) fn find(&self, first_name: &[u8]) -> Option<&Arc<ReplicatedRow>> {
        self.rows.iter().map(|(_, row)| row).find(|row| row.placed().row.first_name() == first_name)
    }
}

impl ReplicatedRow {
    /// A row, and where its replicas are.
    pub(crate) fn new(placed: Placed) -> Arc<ReplicatedRow> {
        Arc::new(ReplicatedRow { placed: boxcar::vec![placed] })
    }

    /// Where its replicas are now.
    #[inline]
    pub(crate) fn placed(&self) -> &Placed {
        self.placed.get(self.placed.count() - 1).expect("the newest one")
    }

    /// Its replicas are somewhere else from now on. Only one task says so.
    pub(crate) fn place(&self, placed: Placed) {
        self.placed.push(placed);
    }

    /// The replica of this node, if it has one.
    #[inline]
    pub(crate) fn here(&self) -> Option<&Range> {
        self.placed().here.as_deref()
    }
}
