//! Where the configuration of a node says something else than what the nodes of its cluster have agreed on.

use crate::{
    cluster::{Cluster, Settings},
    local::{configured::Configured, membership::Membership},
};

/// Where these settings say something else than what the node has saved of its cluster, which holds.
pub fn differences(known: &Membership, settings: &Settings) -> Vec<String> {
    let Settings { name, link, peers, routes, joined, .. } = settings;
    let routes = Some(routes).filter(|_| joined.is_none());
    Configured::new(name, link.as_deref(), peers, routes).differences(&known.placements, &known.nodes)
}

impl Cluster {
    /// Where the configuration of this node says something else than what holds.
    pub fn differences(&self) -> Vec<String> {
        let placements = self.local.replicated.table.borrow();
        self.configured.differences(&placements, &self.local.nodes.borrow())
    }
}
