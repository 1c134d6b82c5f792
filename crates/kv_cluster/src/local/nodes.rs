//! The nodes of the cluster as this node knows them: beside the table of placements, the meta group keeps a
//! table of these.

use super::{
    LocalNode,
    membership::{Membership, SavedNodes},
    meta::invalid,
};
use crate::{
    error::{Error, RangeFailure},
    link::{codec, node_query::NodeReply},
    routing::{
        nodes::{NodeChange, NodeTable},
        whole::WholeRoutes,
    },
};

/// The key of the meta group's bucket that has the table.
const NODES: &[u8] = b"nodes";

impl LocalNode {
    /// Whether this node was removed from its cluster.
    pub(crate) fn is_removed(&self) -> bool {
        let table = self.nodes.borrow();
        table.epoch > 0 && !table.has(&self.name)
    }

    /// The table, if it is newer than this epoch. One who knows nothing yet gets what this node knows.
    pub(crate) fn nodes_since(&self, epoch: u64) -> Result<NodeReply, RangeFailure> {
        let table = match self.kept::<NodeTable>(NODES) {
            Err(_) if epoch == 0 && self.is_in_cluster() => Some(self.nodes.borrow().clone()),
            kept => kept?,
        };
        let newer = table.filter(|table| table.epoch > epoch);
        Ok(newer.map_or(NodeReply::Done, NodeReply::Nodes))
    }

    /// The nodes of the cluster, if this node leads the meta group; `None` if the group does not keep them
    /// yet.
    pub(super) fn kept_nodes(&self) -> Result<Option<NodeTable>, RangeFailure> {
        self.kept(NODES)
    }

    /// As the leader of the meta group, changes the nodes of the cluster, unless that cannot be. The group
    /// begins with those that this node knows.
    pub(crate) async fn change_nodes(&self, change: Option<&NodeChange>) -> Result<(), RangeFailure> {
        let next = |kept: Option<NodeTable>| {
            let is_kept = kept.is_some();
            let mut next = kept.unwrap_or_else(|| self.nodes.borrow().clone());
            let before = next.clone();
            if let Some(change) = change {
                let mut placements = self.kept_table()?.unwrap_or_default();
                placements.rows.extend(self.missing_rows(&placements));
                next.change(change, &placements, self.table.routes()).map_err(invalid)?;
            }
            let is_changed = !is_kept || next != before;
            next.epoch += u64::from(is_changed);
            Ok(is_changed.then_some(next))
        };
        if let Some(changed) = self.change_kept(NODES, next).await? {
            tracing::info!(
                epoch = changed.epoch,
                nodes = changed.names(),
                "the nodes of the cluster have changed"
            );
        }
        Ok(())
    }

    /// As the leader of the meta group, has it keep the nodes that this node knows, if it keeps none yet.
    pub(crate) async fn add_first_nodes(&self) -> Result<(), RangeFailure> {
        match self.kept_nodes()? {
            Some(_) => Ok(()),
            None => self.change_nodes(None).await,
        }
    }

    /// Notes which nodes the cluster has, and saves it, if that is newer than what is known.
    pub(crate) fn learn_nodes(&self, table: NodeTable) -> Result<(), Error> {
        if table.epoch <= self.nodes.borrow().epoch {
            return Ok(());
        }
        self.save_nodes(&table)?;
        self.nodes.send_if_modified(|known| {
            let is_newer = table.epoch > known.epoch;
            if is_newer {
                *known = table;
            }
            is_newer
        });
        Ok(())
    }

    /// Saves which nodes the cluster has, so that this node begins with that.
    fn save_nodes(&self, table: &NodeTable) -> Result<(), Error> {
        let Some(ranges) = &self.ranges else { return Ok(()) };
        let mut bytes = Vec::new();
        codec::encode(&mut bytes, &SavedNodes { table: table.clone(), routes: self.joined_routes.clone() });
        ranges.save_nodes(&bytes).map_err(|error| Error::DataDir(error.to_string()))
    }

    /// Saves what this node has learned when it joined the cluster.
    pub(crate) fn save_membership(&self) -> Result<(), Error> {
        self.save_table(&self.replicated.table.borrow())?;
        self.save_nodes(&self.nodes.borrow())
    }

    /// What this node knows of its cluster, for one that asks; `None` if it is in none.
    pub(crate) fn membership(&self) -> Option<Membership> {
        let placements = self.replicated.table.borrow().clone();
        let (nodes, routes) = (self.nodes.borrow().clone(), Some(WholeRoutes::of(self.table.routes())));
        let membership = Membership { placements, nodes, routes };
        (membership.is_of_cluster() && !self.is_removed()).then_some(membership)
    }
}
