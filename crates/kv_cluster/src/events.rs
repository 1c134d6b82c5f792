//! Nodes that come and go, as events.

use crate::node_name::NodeName;
use std::sync::Arc;

/// Something happened to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeEvent {
    /// Its link is up.
    Up(NodeName),
    /// Its link is down.
    Down {
        /// The node.
        node: NodeName,
        /// Why.
        reason: Arc<str>,
    },
}

/// A node of the cluster as this node sees it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its name.
    pub name: NodeName,
    /// Where its links are taken.
    pub address: String,
    /// Whether its link is up.
    pub up: bool,
    /// Why it is not.
    pub reason: Option<Arc<str>>,
}
