//! The nodes of a cluster. The meta group keeps this table beside that of placements, and all nodes follow
//! it: the nodes of the configuration are only what it begins with.

use crate::{
    error::Error,
    node_name::NodeName,
    routing::{
        Routes,
        placement::{PlacedRow, PlacementTable},
    },
};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The nodes of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeTable {
    /// How often it has been changed; 0 while only the configuration is known.
    pub(crate) epoch: u64,
    /// In the order of their names.
    pub(crate) nodes: Vec<ClusterNode>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClusterNode {
    /// Its name.
    pub name: NodeName,
    /// Where the others reach it, as `host:port`.
    pub link: Box<str>,
}

impl ClusterNode {
    /// A node that accepts links at this address of its configuration. If that is any address of its machine,
    /// others reach it at the host of its name.
    pub fn reachable(name: NodeName, link: &str) -> ClusterNode {
        let link = match link.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_unspecified() => format!("{}:{}", name.host(), address.port()),
            _ => link.to_owned(),
        };
        ClusterNode { name, link: link.into() }
    }
}

/// A change of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NodeChange {
    /// The node is one of the cluster, and has its links at this address.
    Add(ClusterNode),
    /// It is none any more.
    Remove(NodeName),
}

impl NodeTable {
    /// The nodes of a configuration.
    pub(crate) fn of(nodes: impl IntoIterator<Item = ClusterNode>) -> NodeTable {
        let mut nodes: Vec<_> = nodes.into_iter().collect();
        nodes.sort();
        NodeTable { epoch: 0, nodes }
    }

    /// The node of this name.
    pub(crate) fn find(&self, name: &NodeName) -> Option<&ClusterNode> {
        self.nodes.iter().find(|node| node.name == *name)
    }

    /// Whether it has this node.
    pub(crate) fn has(&self, name: &NodeName) -> bool {
        self.find(name).is_some()
    }

    /// The names, for people.
    pub(crate) fn names(&self) -> String {
        self.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The error that a node is not known, with what to do about it once nodes have agreed on this table.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match error {
            Error::UnknownNode { node, .. } if self.epoch > 0 => {
                Error::NotInCluster { node, nodes: self.names().into() }
            }
            error => error,
        }
    }

    /// Makes a change, or says why it cannot be made.
    pub(crate) fn change(
        &mut self,
        change: &NodeChange,
        placements: &PlacementTable,
        routes: &Routes,
    ) -> Result<(), String> {
        match change {
            NodeChange::Add(node) => self.add(node),
            NodeChange::Remove(name) => self.remove(name, placements, routes),
        }
    }

    fn add(&mut self, node: &ClusterNode) -> Result<(), String> {
        let has_address = |other: &&ClusterNode| other.link == node.link && other.name != node.name;
        if let Some(other) = self.nodes.iter().find(has_address) {
            return Err(format!(
                "{} is the address of node {}: write that of {}",
                node.link, other.name, node.name
            ));
        }
        self.nodes.retain(|other| other.name != node.name);
        self.nodes.push(node.clone());
        self.nodes.sort();
        Ok(())
    }

    fn remove(
        &mut self,
        name: &NodeName,
        placements: &PlacementTable,
        routes: &Routes,
    ) -> Result<(), String> {
        if let Some(route) = routes.spans_of(name).find(|route| !route.is_replicated()) {
            return Err(format!(
                "node {name} owns {} alone: give that row of [[routes]] to another node first",
                route.buckets()
            ));
        }
        let rows: Vec<_> = placements.rows.iter().filter(|row| row.has(name)).collect();
        if !rows.is_empty() {
            let names: Vec<_> = rows.iter().map(|row| row.buckets()).collect();
            let moves: Vec<_> = rows.iter().map(|row| self.move_away(row, name)).collect();
            return Err(format!(
                "node {name} has copies of {}: move them first, with {}, and wait until `plans` is empty",
                names.join(", "),
                moves.join(" and ")
            ));
        }
        match self.nodes.len() {
            ..=1 => Err(format!("node {name} is the only one of its cluster")),
            _ => {
                self.nodes.retain(|node| node.name != *name);
                Ok(())
            }
        }
    }

    /// The command that moves a row away from a node, to others in its place if there are enough.
    fn move_away(&self, row: &PlacedRow, leaving: &NodeName) -> String {
        let stay = row.nodes.iter().filter(|node| *node != leaving);
        let others = self.nodes.iter().map(|node| &node.name);
        let others = others.filter(|node| *node != leaving && !row.nodes.contains(node));
        let mut nodes: Vec<&str> = stay.chain(others).map(NodeName::as_str).take(row.nodes.len()).collect();
        if nodes.len().is_multiple_of(2) {
            nodes.pop();
        }
        format!("`replicas {} {}`", row.buckets(), nodes.join(" "))
    }
}

/// Whether this is an address, as `host:port`.
pub fn is_address(text: &str) -> bool {
    let is_host = |host: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_';
        !host.is_empty() && host.chars().all(allowed)
    };
    text.parse::<SocketAddr>().is_ok()
        || text.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::RouteRow;

    fn node(name: &str) -> ClusterNode {
        let name: NodeName = format!("{name}@{name}.local").parse().expect("a name");
        ClusterNode { link: format!("{}:4051", name.host()).into(), name }
    }

    fn nodes(names: &[&str]) -> NodeTable {
        NodeTable::of(names.iter().map(|name| node(name)))
    }

    fn routes(rows: &[(&str, &[&str])]) -> Routes {
        let row = |(buckets, names): &(&str, &[&str])| RouteRow {
            buckets: (*buckets).into(),
            nodes: names.iter().map(|name| node(name).name.to_string()).collect(),
            durable: true,
            confirms_reads: false,
        };
        let known = ["a", "b", "c", "d", "e"].map(|name| node(name).name);
        Routes::new(&rows.iter().map(row).collect::<Vec<_>>(), &known).expect("valid")
    }

    #[test]
    fn a_node_that_has_data_is_not_removed_and_the_error_says_what_to_type() {
        let routes = routes(&[("..f", &["e"]), ("g..", &["a", "b", "c"])]);
        let placements = PlacementTable::of(&routes).expect("it has replicas");
        let refused = |names: &[&str], removed: &str| {
            let change = NodeChange::Remove(node(removed).name);
            nodes(names).change(&change, &placements, &routes).expect_err("refused")
        };
        assert_eq!(
            refused(&["a", "b", "c", "d", "e"], "b"),
            "node b@b.local has copies of meta, g..: move them first, with `replicas meta a@a.local c@c.local \
             d@d.local` and `replicas g.. a@a.local c@c.local d@d.local`, and wait until `plans` is empty"
        );
        let alone = refused(&["a", "b", "c"], "c");
        assert!(alone.contains("with `replicas meta a@a.local` and `replicas g.. a@a.local`"), "{alone}");
        let owner = refused(&["a", "b", "c", "d", "e"], "e");
        assert_eq!(owner, "node e@e.local owns ..f alone: give that row of [[routes]] to another node first");
        assert_eq!(refused(&["d"], "d"), "node d@d.local is the only one of its cluster");
        let mut table = nodes(&["a", "b", "c", "d"]);
        table.change(&NodeChange::Remove(node("d").name), &placements, &routes).expect("it has nothing");
        assert_eq!(table, nodes(&["a", "b", "c"]));
    }

    #[test]
    fn a_node_is_added_or_gets_another_address_but_not_that_of_another_node() {
        let (placements, routes) = (PlacementTable::default(), routes(&[("..", &["a"])]));
        let mut table = nodes(&["a", "c"]);
        let mut add = |name: &str, link: &str| {
            let change = NodeChange::Add(ClusterNode { link: link.into(), ..node(name) });
            table.change(&change, &placements, &routes).map(|()| table.nodes.clone())
        };
        let added = add("b", "b.local:4051").expect("added");
        assert_eq!(added, nodes(&["a", "b", "c"]).nodes);
        let refused = add("d", "a.local:4051").expect_err("refused");
        assert_eq!(refused, "a.local:4051 is the address of node a@a.local: write that of d@d.local");
        assert_eq!(add("a", "10.0.0.1:4051").expect("moved")[0].link, "10.0.0.1:4051".into());
    }

    #[test]
    fn an_address_is_a_host_and_a_port_and_others_reach_a_node_at_its_host() {
        for (text, expected) in [
            ("10.0.0.1:4051", true),
            ("[::1]:4051", true),
            ("host-1.local:4051", true),
            ("host", false),
            ("ho st:1", false),
            (":1", false),
            ("host:70000", false),
        ] {
            assert_eq!(is_address(text), expected, "{text}");
        }
        let name = node("a").name;
        for (link, expected) in
            [("0.0.0.0:1", "a.local:1"), ("[::]:2", "a.local:2"), ("10.0.0.1:3", "10.0.0.1:3")]
        {
            assert_eq!(&*ClusterNode::reachable(name.clone(), link).link, expected);
        }
    }
}
