//! What the configuration of a node says of its cluster, and where that is something else than what the nodes
//! have agreed on, which holds.

use crate::{
    node_name::NodeName,
    routing::{
        Route, Routes,
        nodes::{ClusterNode, NodeTable},
        placement::PlacementTable,
    },
};

/// What a configuration says of the cluster.
#[derive(Debug)]
pub(crate) struct Configured {
    name: NodeName,
    /// All nodes, where others reach them.
    nodes: NodeTable,
    /// If it has some.
    routes: Option<Routes>,
}

impl Configured {
    /// What it says of this node and the others; `None` instead of routes if it has none.
    pub(crate) fn new(
        name: &NodeName,
        link: Option<&str>,
        peers: &[(NodeName, String)],
        routes: Option<&Routes>,
    ) -> Configured {
        let others = peers.iter().filter(|(peer, _)| peer != name);
        let others =
            others.map(|(name, link)| ClusterNode { name: name.clone(), link: link.as_str().into() });
        let own = link.map(|link| ClusterNode::reachable(name.clone(), link));
        Configured { name: name.clone(), nodes: NodeTable::of(others.chain(own)), routes: routes.cloned() }
    }

    pub(crate) fn nodes(&self) -> &NodeTable {
        &self.nodes
    }

    /// Where it says something else than these tables.
    pub(crate) fn differences(&self, placements: &PlacementTable, nodes: &NodeTable) -> Vec<String> {
        let mut differences = Vec::new();
        if nodes.epoch > 0 {
            differences.extend(self.nodes.nodes.iter().filter_map(|node| self.different_node(node, nodes)));
            // Without routes it names one of them, and needs no other.
            let is_missing = |node: &&ClusterNode| self.routes.is_some() && !self.nodes.has(&node.name);
            let missing = nodes.nodes.iter().filter(is_missing);
            differences.extend(missing.map(|ClusterNode { name, link }| {
                format!("it has no node {name}, which the cluster has, at {link}")
            }));
        }
        if placements.cluster > 0 {
            let routes = self.routes.iter().flat_map(Routes::spans).filter(|route| route.is_replicated());
            differences.extend(routes.filter_map(|route| different_row(route, placements)));
        }
        differences
    }

    /// How the cluster has this node of the configuration, if otherwise.
    fn different_node(&self, configured: &ClusterNode, nodes: &NodeTable) -> Option<String> {
        let ClusterNode { name, link } = configured;
        match nodes.find(name) {
            None if *name == self.name => Some(format!("the cluster does not have this node, {name}")),
            None => Some(format!("it names {name}, which is no node of the cluster")),
            Some(node) if node.link == *link => None,
            Some(node) => Some(format!("it has {link} as the link of {name}, and the cluster {}", node.link)),
        }
    }
}

/// How the cluster has this row of the configuration, which may have been split, if otherwise.
fn different_row(route: &Route, placements: &PlacementTable) -> Option<String> {
    let row = placements.rows_of(route).find(|row| *row.nodes != *route.nodes())?;
    let configured: Vec<_> = route.nodes().iter().map(NodeName::as_str).collect();
    let (buckets, configured, agreed) = (route.buckets(), configured.join(", "), row.node_names());
    let part = if row.buckets() == buckets { String::new() } else { format!(" of {}", row.buckets()) };
    Some(format!("it has {configured} as the nodes of {buckets}, and the copies{part} are on {agreed}"))
}
