//! `routes --toml`: what `[nodes]` and `[[routes]]` of the configuration should say.

use super::{node::Node, parse::Argument, value::Value};
use kv_cluster::Route;
use std::fmt::Write;
use toml_edit::Value as Toml;

/// The tables of a configuration with what the nodes have agreed on; what only this node's configuration says
/// stays.
pub(super) fn toml(node: &Node, _: &[Argument]) -> Result<Value, String> {
    let (mut text, own) = (String::new(), node.cluster.node_name());
    let mut line = |line: String| writeln!(text, "{line}").expect("a String can grow");
    let nodes = node.cluster.known_nodes();
    for known in &nodes {
        let configured = node.tables.get(known.name.as_str()).cloned().unwrap_or_default();
        // Others reach this one at an address that may not be that where it listens.
        let link = configured.link.filter(|_| known.name == *own).unwrap_or_else(|| known.link.to_string());
        line(format!("[nodes.{}]", quoted(known.name.as_str())));
        if let Some(clients) = configured.clients {
            line(format!("clients = {}", quoted(&clients)));
        }
        line(format!("link = {}", quoted(&link)));
        if let Some(data_dir) = configured.data_dir {
            line(format!("data_dir = {}", quoted(&data_dir.to_string_lossy())));
        }
        line(String::new());
    }
    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    for route in node.cluster.routes().spans() {
        line(row(node, route, &names)?);
    }
    Ok(Value::Text(text.trim_end().to_owned()))
}

/// How many nodes a row with copies has at least in a configuration.
const REPLICAS: usize = 3;

fn row(node: &Node, route: &Route, known: &[&str]) -> Result<String, String> {
    let no_row =
        || format!("a row cannot have these names: {}; keep [[routes]] as they are", route.buckets());
    let buckets = quoted(&route.row_text().ok_or_else(no_row)?);
    let placements = node.cluster.placements();
    let placed = placements.iter().find(|placed| placed.buckets() == route.buckets());
    let mut nodes: Vec<&str> =
        placed.map_or(route.nodes(), |row| &row.nodes).iter().map(|node| node.as_str()).collect();
    let mut text = "[[routes]]\n".to_owned();
    if placed.is_some() && nodes.len() < REPLICAS {
        text += &format!(
            "# Its copies are on {} alone. A row that can be moved names three nodes.\n",
            nodes.join(", ")
        );
        let others: Vec<&str> = known.iter().copied().filter(|name| !nodes.contains(name)).collect();
        nodes.extend(others.into_iter().take(REPLICAS - nodes.len()));
        if nodes.len() < REPLICAS {
            return Err(format!(
                "row {buckets} would have to name three nodes, and the cluster has {}: keep [[routes]] as they are",
                known.join(", ")
            ));
        }
        nodes.sort_unstable();
    }
    let nodes: Vec<String> = nodes.into_iter().map(quoted).collect();
    text += &format!("buckets = {buckets}\nnodes = [{}]\n", nodes.join(", "));
    if !route.is_durable() {
        text += "durable = false\n";
    }
    if route.confirms_reads() {
        text += "reads = \"confirmed\"\n";
    }
    Ok(text)
}

fn quoted(text: &str) -> String {
    Toml::from(text).to_string()
}
