//! Nodes that go up and down: the events, and the status of one node.

use crate::node_name::NodeName;
use std::sync::Arc;

/// A node went up or down.
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

/// The status of a node as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its name.
    pub name: NodeName,
    /// The address where it accepts links.
    pub address: String,
    /// Whether its link is up.
    pub up: bool,
    /// Why it is not.
    pub reason: Option<Arc<str>>,
    /// The names on whose owner its routes and those of this node differ. Neither node serves them.
    pub disputed_names: Option<String>,
}
