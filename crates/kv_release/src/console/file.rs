//! `routes --toml`: what `[nodes]` and `[[routes]]` of the configuration should say.

use super::{node::Node, parse::Argument, value::Value};
use kv_cluster::{ClusterNode, NodeName, PlacedRow, Route};
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
        if let Some(admin) = configured.admin {
            line(format!("admin = {}", quoted(&admin)));
        }
        if let Some(data_dir) = configured.data_dir {
            line(format!("data_dir = {}", quoted(&data_dir.to_string_lossy())));
        }
        line(String::new());
    }
    for route in node.cluster.routes().spans() {
        let placed = node.cluster.rows_of(route);
        if placed.is_empty() {
            line(row(route.buckets(), route.row_text(), route, route.nodes().iter().collect(), "")?);
        }
        for of_range in &placed {
            let (nodes, note) = with_others(of_range, &nodes)?;
            line(row(of_range.buckets(), of_range.row_text(), route, nodes, &note)?);
        }
    }
    Ok(Value::Text(text.trim_end().to_owned()))
}

/// How many nodes a row with copies has at least in a configuration.
const REPLICAS: usize = 3;

/// The nodes that a row with copies names, so that it can be moved, and a comment if it has copies on fewer.
fn with_others<'a>(
    row: &'a PlacedRow,
    known: &'a [ClusterNode],
) -> Result<(Vec<&'a NodeName>, String), String> {
    let mut nodes: Vec<_> = row.nodes.iter().collect();
    if nodes.len() >= REPLICAS {
        return Ok((nodes, String::new()));
    }
    let others = known.iter().map(|node| &node.name).filter(|node| !row.nodes.contains(node));
    nodes.extend(others.take(REPLICAS - row.nodes.len()));
    if nodes.len() < REPLICAS {
        return Err(format!(
            "row {} would have to name three nodes, and the cluster has {}: keep [[routes]] as they are",
            row.buckets(),
            known.len()
        ));
    }
    nodes.sort();
    let alone: Vec<&str> = row.nodes.iter().map(NodeName::as_str).collect();
    let note =
        format!("# Its copies are on {} alone. A row that can be moved names three.\n", alone.join(", "));
    Ok((nodes, note))
}

fn row(
    names: &str,
    buckets: Option<String>,
    route: &Route,
    nodes: Vec<&NodeName>,
    note: &str,
) -> Result<String, String> {
    let no_row = || format!("no row can have these names: {names}; keep [[routes]] as they are");
    let buckets = quoted(&buckets.ok_or_else(no_row)?);
    let nodes: Vec<String> = nodes.into_iter().map(|node| quoted(node.as_str())).collect();
    let mut text = format!("[[routes]]\n{note}buckets = {buckets}\nnodes = [{}]\n", nodes.join(", "));
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
