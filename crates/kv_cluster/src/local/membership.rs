//! What a node knows of its cluster when it starts: what it has saved, what another node has sent it that it
//! asked to join, and otherwise what its configuration says.

use crate::{
    error::{Error, ProtocolError},
    limits::{NODES_BYTES, TABLE_BYTES},
    link::codec,
    node_name::NodeName,
    routing::{Routes, nodes::NodeTable, placement::PlacementTable, whole::WholeRoutes},
};
use kv_raft::Ranges;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a node knows of its cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    pub(crate) placements: PlacementTable,
    pub(crate) nodes: NodeTable,
    /// The routes of the cluster, if the configuration of this node has none.
    pub(crate) routes: Option<WholeRoutes>,
}

/// What a file has of it beside the placements.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SavedNodes {
    pub(super) table: NodeTable,
    pub(super) routes: Option<WholeRoutes>,
}

impl Membership {
    /// What a node has saved in its data directory; nothing of a cluster if it has not.
    pub fn load(data_dir: Option<&Path>) -> Result<Membership, Error> {
        let Some(data_dir) = data_dir else { return Ok(Membership::default()) };
        let failed = |error: &dyn ToString| Error::DataDir(error.to_string());
        let unreadable = |what, error: ProtocolError| failed(&format!("{what} cannot be read: {}", error.0));
        let mut membership = Membership::default();
        if let Some(bytes) = Ranges::read_table(data_dir).map_err(|error| failed(&error))? {
            let table = codec::decode_whole::<_, TABLE_BYTES>(&bytes);
            membership.placements = table.map_err(|error| unreadable("the table of placements", error))?;
        }
        if let Some(bytes) = Ranges::read_nodes(data_dir).map_err(|error| failed(&error))? {
            let saved = codec::decode_whole::<_, NODES_BYTES>(&bytes);
            let SavedNodes { table, routes } =
                saved.map_err(|error| unreadable("the table of nodes", error))?;
            (membership.nodes, membership.routes) = (table, routes);
        }
        Ok(membership)
    }

    /// Whether a node that has no routes of its own has learned those of its cluster.
    pub fn has_joined(&self) -> bool {
        self.routes.is_some() && self.is_of_cluster()
    }

    /// The same with what another node of the cluster knows, as far as that is newer.
    #[must_use]
    pub fn updated(mut self, other: Membership) -> Membership {
        if other.placements.cluster == self.placements.cluster {
            self.routes = other.routes;
            if other.placements.epoch > self.placements.epoch {
                self.placements = other.placements;
            }
            if other.nodes.epoch > self.nodes.epoch {
                self.nodes = other.nodes;
            }
        }
        self
    }

    /// Whether nodes have agreed on it.
    pub(crate) fn is_of_cluster(&self) -> bool {
        self.placements.cluster > 0 && self.nodes.epoch > 0
    }

    /// Whether this is a node of the cluster.
    pub fn has(&self, node: &NodeName) -> bool {
        self.nodes.has(node)
    }

    /// Whether a row has replicas, or is the group that keeps where these are.
    pub fn has_row(&self, buckets: &str) -> bool {
        self.placements.find(buckets).is_ok()
    }

    /// The same with what only the configuration has: its nodes, if no others are known, and its rows.
    pub(crate) fn with_configured(mut self, nodes: NodeTable, routes: &Routes) -> Result<Membership, Error> {
        if self.nodes.epoch == 0 {
            self.nodes = nodes;
        }
        let configured = PlacementTable::of(routes).unwrap_or_default();
        let table = &mut self.placements;
        if table.rows.is_empty() {
            *table = configured;
            return Ok(self);
        }
        if let Some(lost) = table.unknown_to(&configured) {
            return Err(Error::RowMissing { row: lost.buckets().into(), nodes: lost.node_names().into() });
        }
        table.rows.extend(configured.missing_in(table));
        Ok(self)
    }
}
