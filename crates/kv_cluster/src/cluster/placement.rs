//! Where the replicas of rows are to be, and how this node follows that: it makes replicas that are to be here,
//! and removes those that have left.

use crate::{
    cluster::Cluster,
    error::{Error, RangeFailure, RangeFailureKind},
    limits::PLACEMENT_PAUSE,
    link::node_query::NodeQuery,
    node_name::NodeName,
    peer::{Peer, PeerList},
    replicas::{Placed, Replicas},
    routing::placement::{PlacedRow, PlacementTable, TableChange},
};
use kv_raft::Range;
use otp::Stop;
use std::sync::Arc;
use tokio::time::{MissedTickBehavior, interval};

impl Cluster {
    /// The rows with replicas, that of the meta group first, as far as this node knows.
    pub fn placements(&self) -> Vec<PlacedRow> {
        self.local.replicated.table.borrow().rows.clone()
    }

    /// Has a row have its replicas on these nodes: one, three or five. It is done step by step, while the row
    /// is used.
    pub async fn place(&self, buckets: &str, nodes: Vec<NodeName>) -> Result<(), Error> {
        let before = self.find_row(buckets)?;
        for node in nodes.iter().filter(|node| !before.has(node)) {
            let peer = self.peer_index(node)?;
            self.query_node(peer, &NodeQuery::MayHaveReplicas).done().await?;
        }
        self.change(TableChange::Place { buckets: before.buckets().into(), nodes }).await?;
        self.learn_placements().await
    }

    /// Has this node lead a row, which is to have a replica of it.
    pub async fn lead(&self, buckets: &str, node: &NodeName) -> Result<(), Error> {
        let row = self.find_row(buckets)?;
        let replicas = self.replicas_like(&row).expect("each row of the table has them");
        let range = (!row.is_meta()).then(|| replicas.first_name());
        self.query_leader(replicas, &NodeQuery::HandOver { range, to: node.clone() }).await?.done().await
    }

    fn find_row(&self, buckets: &str) -> Result<PlacedRow, Error> {
        let table = self.local.replicated.table.borrow();
        let invalid = |problem: String| Error::Range(RangeFailure::new(RangeFailureKind::Invalid, problem));
        if table.rows.is_empty() {
            return Err(invalid(
                "no row has replicas: name three nodes in one of [[routes]], and start them".into(),
            ));
        }
        table.find(buckets).cloned().map_err(invalid)
    }

    fn replicas_like(&self, row: &PlacedRow) -> Option<&Replicas> {
        self.local.replicated.all().find(|replicas| replicas.placed().row.is_like(row))
    }

    async fn change(&self, change: TableChange) -> Result<(), Error> {
        let Some(meta) = &self.local.replicated.meta else { return Ok(()) };
        self.query_leader(meta, &NodeQuery::ChangePlacements { change }).await?.done().await
    }

    /// Follows the table of the meta group until the node stops.
    pub(super) async fn follow_placements(self, stop: Stop) -> Result<(), String> {
        if self.local.replicated.meta.is_none() {
            stop.cancelled().await;
            return Ok(());
        }
        let mut ticks = interval(PLACEMENT_PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = None;
        let follow = async {
            loop {
                ticks.tick().await;
                let problem = self.follow_once().await.err().map(|error| error.to_string());
                if problem != last
                    && let Some(problem) = &problem
                {
                    tracing::warn!(problem, "the placement of replicas is not followed; trying again");
                }
                last = problem;
            }
        };
        stop.run_until_cancelled(follow).await;
        Ok(())
    }

    async fn follow_once(&self) -> Result<(), Error> {
        self.follow_table().await?;
        let meta = self.local.replicated.meta.as_ref();
        if meta.is_some_and(|meta| meta.served_here().is_some()) {
            self.local.add_missing_rows().await?;
        }
        self.learn_placements().await?;
        for replicas in self.local.replicated.all() {
            let Placed { row, here: Some(range), .. } = replicas.placed() else { continue };
            if !row.leaving.is_empty() && range.settled() == Some(row.placement()) {
                self.change(TableChange::Settle { row: row.clone() }).await?;
                self.learn_placements().await?;
            }
        }
        Ok(())
    }

    /// Asks for the newest table, and follows it.
    async fn learn_placements(&self) -> Result<(), Error> {
        let rows = &self.local.replicated;
        let Some(meta) = &rows.meta else { return Ok(()) };
        let epoch = rows.table.borrow().epoch;
        let learned = match self.query_leader(meta, &NodeQuery::Placements { epoch }).await {
            Ok(pending) => pending.placements().await?,
            // Who has a replica knows its leader from that; there is none for now.
            Err(Error::Range(RangeFailure { kind: RangeFailureKind::NoLeader, .. })) => None,
            Err(error) => return Err(error),
        };
        if let Some(table) = learned.filter(|table| table.epoch > epoch) {
            self.local.save_table(&table)?;
            rows.table.send_replace(table);
        }
        self.follow_table().await
    }

    /// Makes the replicas that are to be here, and removes those that have left.
    async fn follow_table(&self) -> Result<(), Error> {
        let _following = self.following.lock().await;
        let table = self.local.replicated.table.borrow().clone();
        for replicas in self.local.replicated.all() {
            let placed = replicas.placed();
            let Some(row) = table.row_like(&placed.row) else { continue };
            let is_here = row.has(&self.local.name);
            if *row == placed.row && is_here == placed.here.is_some() {
                continue;
            }
            let here = match (&placed.here, is_here) {
                (Some(range), true) => {
                    self.local.set_placement(range, row);
                    Some(range.clone())
                }
                (None, true) => Some(self.local.clone().add_replica(row.clone()).await?),
                (_, false) => None,
            };
            let left = placed.here.clone().filter(|_| !is_here);
            replicas.place(Placed {
                peers: peers_of(row, &self.local.name, &self.peers),
                here,
                row: row.clone(),
            });
            if let Some(range) = left {
                self.local.remove_replica(&range).await?;
            }
        }
        Ok(())
    }
}

/// The other nodes of a row.
pub(super) fn peers_of(row: &PlacedRow, local: &NodeName, peers: &PeerList) -> Box<[Arc<Peer>]> {
    let others = row.all_nodes().filter(|node| *node != local);
    others.filter_map(|node| peers.iter().find(|peer| peer.name() == node)).cloned().collect()
}

/// The rows with replicas, as a node begins with them.
pub(super) fn placed_rows<'t>(
    table: &'t PlacementTable,
    ranges: &'t [Arc<Range>],
    local: &'t NodeName,
    peers: &'t PeerList,
) -> impl Iterator<Item = Replicas> + 't {
    table.rows.iter().map(|row| {
        let span = row.span();
        let here = ranges.iter().find(|range| range.is_replicated() && *range.span() == span).cloned();
        Replicas::new(Placed { row: row.clone(), here, peers: peers_of(row, local, peers) })
    })
}
