//! The meta group on this node: a range without buckets whose store keeps the table of placements, and that
//! of nodes. Its leader changes them, one change at a time; each node saves the newest that it has learned,
//! and begins with that.

use super::LocalNode;
use crate::{
    error::{Error, ProtocolError, RangeFailure, RangeFailureKind},
    limits::TABLE_BYTES,
    link::{
        codec,
        node_query::{NodeQuery, NodeReply},
    },
    node_name::NodeName,
    routing::{
        nodes::NodeChange,
        placement::{PlacedRow, PlacementTable, TableChange},
    },
};
use kv::{FullName, Op, Reply, Request, Watcher, time::now_ms};
use kv_raft::{ProposalOutcome, Range, RangeReply};
use serde::{Serialize, de::DeserializeOwned};
use std::{future::pending, ops::ControlFlow::Continue, sync::Arc};
use tokio::task::spawn_blocking;

/// The bucket of the meta group, and its key that has the table.
const BUCKET: &[u8] = b"meta";
const TABLE: &[u8] = b"table";
/// Who watches that bucket while it is changed.
const WATCHER: Watcher = Watcher { link: 0, connection: u64::MAX };

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RangeFailure> {
    let unreadable = |error: ProtocolError| {
        let message = format!("the table of the cluster cannot be read: {}", error.0);
        RangeFailure::new(RangeFailureKind::Stopped, message)
    };
    codec::decode_whole::<_, TABLE_BYTES>(bytes).map_err(unreadable)
}

/// What cannot be done, and would be wrong at any other node, too.
pub(super) fn invalid(problem: impl Into<Box<str>>) -> RangeFailure {
    RangeFailure::new(RangeFailureKind::Invalid, problem)
}

impl LocalNode {
    /// The meta group's replica on this node, if it has one.
    pub fn meta_range(&self) -> Option<&Arc<Range>> {
        self.replicated.meta.as_ref()?.placed().here.as_ref()
    }

    /// The meta group, if this node leads it.
    fn led_meta(&self) -> Result<&Arc<Range>, RangeFailure> {
        let no_replica =
            || RangeFailure::new(RangeFailureKind::NoLeader, "this node does not keep the table");
        let range = self.meta_range().ok_or_else(no_replica)?;
        range.may_read()?;
        Ok(range)
    }

    /// The table, if this node leads the meta group; `None` if there is none yet.
    pub(super) fn kept_table(&self) -> Result<Option<PlacementTable>, RangeFailure> {
        self.kept(TABLE)
    }

    /// What the meta group keeps under a key, if this node leads it.
    pub(super) fn kept<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, RangeFailure> {
        let range = self.led_meta()?;
        let mut kept = None;
        range.store().read(&[Request::new(BUCKET, Op::Get { key })], range.clock(now_ms()), |reply| {
            if let Reply::Value(value) = reply {
                kept = Some(decode(value));
            }
            Continue(())
        });
        kept.transpose()
    }

    /// Whether this node knows where the nodes have agreed to have replicas.
    pub(crate) fn is_in_cluster(&self) -> bool {
        self.replicated.table.borrow().cluster > 0
    }

    /// Other nodes have agreed on where replicas are: this one founds nothing, and learns it from them.
    pub(crate) fn join_cluster(&self) {
        if let Some(ranges) = &self.ranges {
            ranges.name_no_members();
        }
    }

    /// The reply to [`NodeQuery::Placements`]. One who knows nothing yet gets what this node knows.
    pub(crate) fn placements_since(&self, epoch: u64) -> Result<NodeReply, RangeFailure> {
        let table = match self.kept_table() {
            Err(_) if epoch == 0 && self.is_in_cluster() => Some(self.replicated.table.borrow().clone()),
            kept => kept?,
        };
        let newer = table.filter(|table| table.epoch > epoch);
        Ok(newer.map_or(NodeReply::Done, NodeReply::Placements))
    }

    /// The rows that this node knows, and the table has not: those of its configuration.
    pub(super) fn missing_rows(&self, kept: &PlacementTable) -> Vec<PlacedRow> {
        self.replicated.table.borrow().missing_in(kept)
    }

    /// As the leader of the meta group, changes the table, unless that cannot be. Rows that it has not yet
    /// are added in any case.
    pub(crate) async fn change_table(&self, change: Option<&TableChange>) -> Result<(), RangeFailure> {
        let next = |kept: Option<PlacementTable>| {
            let kept = kept.unwrap_or_default();
            let mut next = kept.clone();
            next.rows.extend(self.missing_rows(&kept));
            if let Some(change) = change {
                self.check_change(change)?;
                next.change(change).map_err(invalid)?;
            }
            if next == kept {
                return Ok(None);
            }
            next.epoch += 1;
            if next.cluster == 0 {
                // It must not be that of another one.
                next.cluster = getrandom::u64().map_or(now_ms(), |random| random | 1);
            }
            Ok(Some(next))
        };
        if let Some(changed) = self.change_kept(TABLE, next).await? {
            let change = change.map(ToString::to_string);
            tracing::info!(epoch = changed.epoch, change, "the placement of replicas has changed");
        }
        Ok(())
    }

    /// Fails if a change gives replicas to what is no node of the cluster.
    fn check_change(&self, change: &TableChange) -> Result<(), RangeFailure> {
        let TableChange::Place { nodes, .. } = change else { return Ok(()) };
        let Some(known) = self.kept_nodes()? else { return Ok(()) };
        match nodes.iter().find(|node| !known.has(node)) {
            Some(node) => {
                let error = Error::NotInCluster { node: node.shared(), nodes: known.names().into() };
                Err(invalid(error.to_string()))
            }
            None => Ok(()),
        }
    }

    /// As the leader of the meta group, changes what it keeps under a key to what `next` makes of it; not at
    /// all if that is `None`. Returns what is kept from now on, if that is something else.
    pub(super) async fn change_kept<T: DeserializeOwned + Serialize>(
        &self,
        key: &[u8],
        next: impl FnOnce(Option<T>) -> Result<Option<T>, RangeFailure>,
    ) -> Result<Option<T>, RangeFailure> {
        let _changing = self.replicated.changing.lock().await;
        let range = self.led_meta()?;
        let request = |op| [Request::new(BUCKET, op)];
        let (_, ticket) = range.propose(&request(Op::Watch { watcher: WATCHER }))?;
        // A watch changes nothing, so whoever leads now may be asked if it was lost.
        let watched = ticket.await.map_err(|error| RangeFailure::from(error).of_read());
        let Some(RangeReply::Reply(Reply::Number(version))) = watched?.next_reply() else {
            return Err(RangeFailure::new(
                RangeFailureKind::Behind,
                "the table cannot be watched; try again",
            ));
        };
        let next = next(self.kept(key)?)?;
        if let Some(next) = &next {
            let mut value = Vec::new();
            codec::encode(&mut value, next);
            let put = Op::Put { key, value: &value };
            let requests = [Op::Create, put].map(|op| Request::new(BUCKET, op));
            let watched = (FullName::new(BUCKET), version.cast_unsigned());
            let replies = range.transact(&[watched], &requests)?.await?;
            if *replies.outcome() != ProposalOutcome::Executed {
                let message = "the table was changed by another node meanwhile; try again";
                return Err(RangeFailure::new(RangeFailureKind::Behind, message));
            }
        }
        drop(range.propose(&request(Op::Unwatch { watcher: WATCHER })));
        Ok(next)
    }

    /// As the leader of the meta group, adds the rows that the table has not, and this node knows: those of
    /// its configuration.
    pub(crate) async fn add_missing_rows(&self) -> Result<(), RangeFailure> {
        match self.missing_rows(&self.kept_table()?.unwrap_or_default())[..] {
            [] => Ok(()),
            [..] => self.change_table(None).await,
        }
    }

    /// The row of a range with replicas, or of the meta group, which this node leads.
    fn led_row(&self, range: Option<&[u8]>) -> Result<(&PlacedRow, &Range), RangeFailure> {
        let rows = &self.replicated;
        let row = match range {
            None => rows.meta.as_ref(),
            Some(first_name) => rows.find(first_name),
        };
        let no_replica =
            || RangeFailure::new(RangeFailureKind::NoLeader, "this node has no replica of the range");
        let (row, range) = row.and_then(|row| Some((row, row.here()?))).ok_or_else(no_replica)?;
        range.may_read()?;
        Ok((&row.placed().row, range))
    }

    /// The reply to [`NodeQuery::MissingReplicas`].
    pub(crate) fn missing_replicas(&self, range: Option<&[u8]>) -> Result<NodeReply, RangeFailure> {
        let (row, range) = self.led_row(range)?;
        let replicas = range.status().replicas;
        let is_voter = |node: &NodeName| {
            replicas.iter().any(|replica| *replica.node == *node.as_str() && replica.is_voter)
        };
        let missing = row.nodes.iter().filter(|node| **node != self.name && !is_voter(node));
        Ok(NodeReply::names(missing.map(|node| node.as_str().as_bytes().into()).collect()))
    }

    /// As the leader of a range with replicas, or of the meta group, has another node lead it.
    async fn hand_over_range(&self, range: Option<&[u8]>, to: &NodeName) -> Result<(), RangeFailure> {
        let (row, range) = self.led_row(range)?;
        if *to == self.name {
            return Ok(());
        }
        if !row.nodes.contains(to) {
            let (row, nodes) = (row.buckets(), row.node_names());
            return Err(invalid(format!("node {to} has no replica of {row}: it is on {nodes}")));
        }
        match range.hand_over(Some(to.as_str())).await {
            true => Ok(()),
            false => {
                // If yet another one leads, that is asked.
                range.may_read()?;
                Err(invalid(format!(
                    "node {to} does not lead {}: it does not have all entries yet, or does not answer",
                    row.buckets()
                )))
            }
        }
    }

    /// Saves the table, so that this node begins with it.
    pub(crate) fn save_table(&self, table: &PlacementTable) -> Result<(), Error> {
        let Some(ranges) = &self.ranges else { return Ok(()) };
        let mut bytes = Vec::new();
        codec::encode(&mut bytes, table);
        ranges.save_table(&bytes).map_err(|error| Error::DataDir(error.to_string()))
    }

    /// The reply to [`NodeQuery::MayHaveReplicas`].
    pub(crate) fn may_have_replicas(&self) -> NodeReply {
        match self.data_dir() {
            Some(_) => NodeReply::Done,
            None => NodeReply::Failed(RangeFailure::new(
                RangeFailureKind::Invalid,
                format!("node {0} has no data_dir: give it one, such as data_dir = \"data/{0}\"", self.name),
            )),
        }
    }

    /// Opens a replica of a row that has none here: that which another one has split off, or an empty one.
    /// `None` if it is yet to be split off.
    pub(crate) async fn add_replica(self: Arc<Self>, row: PlacedRow) -> Result<Option<Arc<Range>>, Error> {
        let add = move || {
            let Some(ranges) = &self.ranges else {
                return Err(Error::NoDataDir { node: self.name.shared(), row: row.buckets().into() });
            };
            ranges.add(&row.replica(self.table.routes())).map_err(|error| Error::DataDir(error.to_string()))
        };
        let panicked = |_| Err(Error::DataDir("its thread panicked, and the log says where".into()));
        spawn_blocking(add).await.unwrap_or_else(panicked)
    }

    /// Changes where the replicas of a range of this node are.
    pub(crate) fn set_placement(&self, range: &Arc<Range>, row: &PlacedRow) {
        if let Some(ranges) = &self.ranges {
            ranges.set_placement(range, &row.replica(self.table.routes()));
        }
    }

    /// A range is to be split, and the row that begins then is not to be on this node.
    pub(crate) async fn leave_split_off(
        self: Arc<Self>,
        range: Arc<Range>,
        row: PlacedRow,
    ) -> Result<(), Error> {
        let leave = move || match &self.ranges {
            Some(ranges) => ranges.leave_split_off(&range, row.first_name()),
            None => Ok(()),
        };
        let left = spawn_blocking(leave).await.unwrap_or(Ok(()));
        left.map_err(|error| Error::DataDir(error.to_string()))
    }

    /// Waits until a range of this node was split.
    pub(crate) async fn range_was_split(&self) {
        match &self.ranges {
            Some(ranges) => ranges.split().await,
            None => pending().await,
        }
    }

    /// Ends a replica of this node, and removes its data.
    pub(crate) async fn remove_replica(&self, range: &Arc<Range>) -> Result<(), Error> {
        let Some(ranges) = &self.ranges else { return Ok(()) };
        ranges.remove(range).await.map_err(|error| Error::DataDir(error.to_string()))
    }
}

/// The reply to a query that takes a while; `None` to any other.
pub(crate) fn reply_later(
    local: &Arc<LocalNode>,
    query: &NodeQuery<'_>,
) -> Option<impl Future<Output = NodeReply> + Send + 'static> {
    let (local, query) = (
        local.clone(),
        match query {
            NodeQuery::ChangePlacements { change } => Later::Change(change.clone()),
            NodeQuery::ChangeNodes { change } => Later::ChangeNodes(change.clone()),
            NodeQuery::HandOver { range, to } => Later::HandOver(range.map(Box::from), to.clone()),
            _ => return None,
        },
    );
    Some(async move {
        let done = match query {
            Later::Change(change) => local.change_table(Some(&change)).await,
            Later::ChangeNodes(change) => local.change_nodes(Some(&change)).await,
            Later::HandOver(range, to) => local.hand_over_range(range.as_deref(), &to).await,
        };
        done.map_or_else(NodeReply::Failed, |()| NodeReply::Done)
    })
}

enum Later {
    Change(TableChange),
    ChangeNodes(NodeChange),
    HandOver(Option<Box<[u8]>>, NodeName),
}
