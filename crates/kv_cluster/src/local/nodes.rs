//! The nodes of the cluster as this node knows them: beside the table of placements, the meta group keeps a
//! table of these.

use super::{LocalNode, meta::invalid};
use crate::{
    error::{Error, RangeFailure},
    limits::NODES_BYTES,
    link::{codec, node_query::NodeReply},
    routing::nodes::{NodeChange, NodeTable},
};
use kv_raft::Ranges;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The key of the meta group's bucket that has the table.
const NODES: &[u8] = b"nodes";

/// What a node saves of the cluster beside where its replicas are.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct SavedNodes {
    table: NodeTable,
}

/// The table with which a node begins: that which it has saved, or that of its configuration.
pub(crate) fn first_nodes(data_dir: Option<&Path>, configured: NodeTable) -> Result<NodeTable, Error> {
    let failed = |error: &dyn ToString| Error::DataDir(error.to_string());
    let saved = data_dir.map(Ranges::read_nodes).transpose().map_err(|error| failed(&error))?.flatten();
    let Some(bytes) = saved else { return Ok(configured) };
    let saved = codec::decode_whole::<SavedNodes, NODES_BYTES>(&bytes);
    let saved =
        saved.map_err(|error| failed(&format!("the nodes of the cluster cannot be read: {}", error.0)))?;
    Ok(saved.table)
}

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
        if let Some(ranges) = &self.ranges {
            let mut bytes = Vec::new();
            codec::encode(&mut bytes, &SavedNodes { table: table.clone() });
            ranges.save_nodes(&bytes).map_err(|error| Error::DataDir(error.to_string()))?;
        }
        self.nodes.send_if_modified(|known| {
            let is_newer = table.epoch > known.epoch;
            if is_newer {
                *known = table;
            }
            is_newer
        });
        Ok(())
    }
}
