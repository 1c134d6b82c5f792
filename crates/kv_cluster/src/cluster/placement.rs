//! Where the replicas of rows are to be, and how this node follows that: it makes replicas that are to be
//! here, and removes those that have left.

use crate::{
    cluster::{Cluster, fan_out::PendingReply},
    error::{Error, RangeFailure, RangeFailureKind},
    limits::{NODES_VERSION, PLACEMENT_PAUSE},
    link::node_query::NodeQuery,
    local::rows::{Placed, ReplicatedRow},
    node_name::NodeName,
    replicas::{Replicas, THIS_NODE_IS_REMOVED},
    routing::{
        Route,
        placement::{PlacedRow, PlacementTable, TableChange},
    },
};
use otp::Stop;
use tokio::time::{MissedTickBehavior, interval};

impl Cluster {
    /// The rows with replicas, that of the meta group first, as far as this node knows.
    pub fn placements(&self) -> Vec<PlacedRow> {
        self.local.replicated.table.borrow().sorted()
    }

    /// The rows with replicas that a route has become, in the order of their names.
    pub fn rows_of(&self, route: &Route) -> Vec<PlacedRow> {
        let table = self.local.replicated.table.borrow();
        let mut rows: Vec<_> = table.rows_of(route).cloned().collect();
        rows.sort_by(|one, other| one.first_name().cmp(other.first_name()));
        rows
    }

    /// Has a row have its replicas on these nodes: one, three or five. It is done step by step, while the row
    /// is used.
    pub async fn place(&self, buckets: &str, nodes: Vec<NodeName>) -> Result<(), Error> {
        let before = self.find_row(buckets)?;
        if nodes.iter().any(|node| self.peer_index(node).is_err()) {
            self.learn_nodes().await?;
        }
        for node in nodes.iter().filter(|node| !before.has(node)) {
            let peer = self.peer_index(node)?;
            self.query_node(peer, &NodeQuery::MayHaveReplicas).done().await?;
        }
        self.change(TableChange::Place { buckets: before.buckets().into(), nodes }).await?;
        self.learn_placements().await
    }

    /// Splits a row in two: the second part begins with a name. The replicas of both are on the same nodes.
    pub async fn split(&self, buckets: &str, at: &[u8]) -> Result<(), Error> {
        let row = self.find_row(buckets)?;
        self.peers.iter().try_for_each(|peer| peer.check_version(NODES_VERSION))?;
        // One that is away would have no part of its own to begin with.
        if let Some(down) = self.peers.iter().find(|peer| row.has(peer.name()) && !peer.is_up()) {
            let (row, node) = (row.buckets(), down.name());
            return Err(invalid(format!(
                "node {node} is down: {row} is split when all its nodes are up, or `replicas {row} NODE...` names \
                 others"
            )));
        }
        let buckets = row.buckets().into();
        self.change(TableChange::Split { buckets, at: at.into() }).await?;
        self.learn_placements().await
    }

    /// Has this node lead a row, which is to have a replica of it.
    pub async fn lead(&self, buckets: &str, node: &NodeName) -> Result<(), Error> {
        let row = self.find_row(buckets)?;
        let replicas = self.all_replicas().find(|replicas| replicas.row().is_like(&row));
        let no_row = || invalid(format!("the configuration of this node has no row {buckets:?}"));
        let replicas = replicas.ok_or_else(no_row)?;
        let range = (!row.is_meta()).then(|| replicas.first_name());
        self.query_leader(replicas, &NodeQuery::HandOver { range, to: node.clone() }).await?.done().await
    }

    /// What is wrong with this node, with the links to others, and with the copies of rows; nothing if all is
    /// well.
    pub async fn problems(&self) -> Vec<String> {
        let statuses = self.local.range_statuses();
        let read_only = statuses.iter().filter_map(|status| {
            let reason = status.cannot_write.as_ref()?;
            Some(format!("range {} takes no writes: {reason}", status.span))
        });
        let removed = self.local.is_removed().then(|| THIS_NODE_IS_REMOVED.to_owned());
        let problems = self.local.stopped_ranges().into_iter().chain(read_only);
        let mut problems: Vec<_> = removed.into_iter().chain(problems).collect();
        problems.extend(self.local.log_failure());
        for node in self.nodes().into_iter().filter(|node| !node.up) {
            problems.push(format!("node {} is down: {}", node.name, node.reason.unwrap_or_default()));
        }
        for replicas in self.all_replicas() {
            let range = (!replicas.row().is_meta()).then(|| replicas.first_name());
            let missing = match self.query_leader(replicas, &NodeQuery::MissingReplicas { range }).await {
                Ok(pending) => pending.names().await,
                Err(error) => Err(error),
            };
            match missing {
                Ok(nodes) => problems.extend(nodes.iter().map(|node| {
                    let node = String::from_utf8_lossy(node);
                    format!("range {} has no copy on {node} yet", replicas.text())
                })),
                Err(error) => problems.push(error.to_string()),
            }
        }
        problems
    }

    pub(super) fn find_row(&self, buckets: &str) -> Result<PlacedRow, Error> {
        let table = self.local.replicated.table.borrow();
        if table.rows.is_empty() {
            return Err(invalid(
                "no row has replicas: name three nodes in one of [[routes]], and start them",
            ));
        }
        table.find(buckets).cloned().map_err(invalid)
    }

    /// The replicas of each row, those of the meta group first.
    pub(super) fn all_replicas(&self) -> impl Iterator<Item = &Replicas> {
        self.meta.iter().map(|meta| &**meta).chain(self.replicas.iter())
    }

    async fn change(&self, change: TableChange) -> Result<(), Error> {
        let Some(meta) = &self.meta else { return Ok(()) };
        self.query_leader(meta, &NodeQuery::ChangePlacements { change }).await?.done().await
    }

    /// Follows the table of the meta group until the node stops.
    pub(super) async fn follow_placements(self, stop: Stop) -> Result<(), String> {
        let mut ticks = interval(PLACEMENT_PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = None;
        let follow = async {
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = self.local.range_was_split() => {}
                }
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

    /// Follows what is known, and what is new. What cannot be followed is no reason not to do the rest.
    async fn follow_once(&self) -> Result<(), Error> {
        let followed = self.follow_table(None).await;
        self.ask_if_alone().await?;
        if self.meta.as_ref().is_some_and(|meta| meta.served_here().is_some()) {
            self.local.add_missing_rows().await?;
            self.local.add_first_nodes().await?;
        }
        self.learn_nodes().await?;
        let learned = self.learn_placements().await;
        for row in self.local.replicated.all() {
            let Placed { row, here: Some(range) } = row.placed() else { continue };
            let is_split = *range.span() == row.span();
            if row.is_moving && is_split && range.settled() == Some(row.placement()) {
                self.change(TableChange::Settle { row: row.clone() }).await?;
                self.learn_placements().await?;
            }
        }
        followed.and(learned)
    }

    /// Asks for the newest table, and follows it if it is new.
    pub(super) async fn learn_placements(&self) -> Result<(), Error> {
        let epoch = self.local.replicated.table.borrow().epoch;
        let mut learned = None;
        for pending in self.query_meta(&NodeQuery::Placements { epoch }).await? {
            learned = learned.or(pending.placements().await.unwrap_or_default());
        }
        if learned.is_none() {
            return Ok(());
        }
        // Whoever has asked may go away in the middle of it.
        let cluster = self.clone();
        let followed = tokio::spawn(async move { cluster.follow_table(learned).await });
        followed.await.unwrap_or_else(|ended| Err(invalid(ended.to_string())))
    }

    /// Queries who knows what the meta group keeps: its leader.
    pub(super) async fn query_meta(&self, query: &NodeQuery<'_>) -> Result<Vec<PendingReply>, Error> {
        let Some(meta) = &self.meta else { return Ok(Vec::new()) };
        let mut asked = match self.query_leader(meta, query).await {
            Ok(pending) => vec![pending],
            // Who has a replica knows its leader from that; there is none for now.
            Err(Error::Range(RangeFailure { kind: RangeFailureKind::NoLeader, .. })) => Vec::new(),
            Err(error) => return Err(error),
        };
        if !self.local.is_in_cluster() {
            // The group may have moved away from the nodes that the configuration names.
            asked.extend(self.query_peers(query));
        }
        Ok(asked)
    }

    /// Makes the replicas that are to be here by the newest table, and removes those that have left.
    pub(super) async fn follow_table(&self, learned: Option<PlacementTable>) -> Result<(), Error> {
        let _following = self.following.lock().await;
        let known = &self.local.replicated.table;
        let epoch = known.borrow().epoch;
        if let Some(table) = learned.filter(|table| table.epoch > epoch) {
            self.local.save_table(&table)?;
            known.send_replace(table);
        }
        let table = known.borrow().clone();
        self.add_rows(&table);
        let mut followed = Ok(());
        for replicated in self.local.replicated.all() {
            if let Some(row) = table.row_like(&replicated.placed().row) {
                followed = followed.and(self.follow_row(replicated, row).await);
            }
        }
        followed.and(self.leave_parts(&table).await)
    }

    /// Makes the replica of a row that is to be here, or removes the one that has left.
    async fn follow_row(&self, replicated: &ReplicatedRow, row: &PlacedRow) -> Result<(), Error> {
        let (placed, is_here) = (replicated.placed(), row.has(&self.local.name));
        let here = match (&placed.here, is_here) {
            (here, _) if *row == placed.row && is_here == here.is_some() => return Ok(()),
            (Some(range), true) => {
                self.local.set_placement(range, row);
                Some(range.clone())
            }
            (None, true) => self.local.clone().add_replica(row.clone()).await?,
            (_, false) => None,
        };
        if here.is_none() && *row == placed.row && is_here {
            // It is yet to be split off.
            return Ok(());
        }
        let left = placed.here.clone().filter(|_| !is_here);
        replicated.place(Placed { here, row: row.clone() });
        match left {
            Some(range) => self.local.remove_replica(&range).await,
            None => Ok(()),
        }
    }

    /// Adds the rows that were split off others, and has requests go to them, before these end.
    fn add_rows(&self, table: &PlacementTable) {
        let rows = &self.local.replicated.rows;
        let known = rows.count();
        for row in table.rows.iter().filter(|row| !row.is_meta()) {
            if self.local.replicated.find(row.first_name()).is_none() {
                let added = ReplicatedRow::new(Placed { row: row.clone(), here: None });
                self.replicas.add(&added);
                rows.push(added);
            }
        }
        if rows.count() > known {
            let placed = rows.iter().map(|(_, row)| &row.placed().row);
            self.local.table.set_rows(placed.map(|row| table.row_like(row).unwrap_or(row)));
        }
    }

    /// Ends what ranges of this node have split off that is not to be here, or is here already, since a
    /// process ended before it had noted that.
    async fn leave_parts(&self, table: &PlacementTable) -> Result<(), Error> {
        for replicated in self.local.replicated.all() {
            let Placed { row, here: Some(range) } = replicated.placed() else { continue };
            let is_other = |other: &&PlacedRow| {
                !other.is_meta() && range.span().contains(other.first_name()) && !other.is_like(row)
            };
            let is_open = |other: &PlacedRow| {
                let open = self.local.replicated.find(other.first_name());
                open.is_some_and(|open| open.placed().here.is_some())
            };
            let is_over = |other: &&PlacedRow| !other.has(&self.local.name) || is_open(other);
            for other in table.rows.iter().filter(is_other).filter(is_over) {
                self.local.clone().leave_split_off(range.clone(), other.clone()).await?;
            }
        }
        Ok(())
    }
}

pub(super) fn invalid(problem: impl Into<Box<str>>) -> Error {
    Error::Range(RangeFailure::new(RangeFailureKind::Invalid, problem))
}
