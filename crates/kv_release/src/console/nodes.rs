//! What the console shows of nodes, and what it asks of them.

use super::{
    node::Node,
    parse::Argument,
    value::{NodeRow, RouteRow, Value},
};
use crate::limits::TREE_CHILDREN;
use kv_cluster::NodeName;

pub(super) fn node_name(node: &Node, _: &[Argument]) -> Result<Value, String> {
    Ok(Value::NodeName(node.cluster.node_name().to_string()))
}

pub(super) fn connected_nodes(node: &Node, _: &[Argument]) -> Result<Value, String> {
    let up = node.cluster.nodes().into_iter().filter(|row| row.up);
    Ok(Value::NodeNames(up.map(|row| row.name.to_string()).collect()))
}

pub(super) fn nodes(node: &Node, _: &[Argument]) -> Result<Value, String> {
    let me = node.cluster.node_name().to_string();
    let me = NodeRow { node: me, up: true, me: true, reason: None, routes_differ: None };
    let others = node.cluster.nodes().into_iter().map(|row| NodeRow {
        node: row.name.to_string(),
        up: row.up,
        me: false,
        reason: row.reason.map(|reason| reason.to_string()),
        routes_differ: row.disputed_names,
    });
    Ok(Value::Nodes([me].into_iter().chain(others).collect()))
}

/// `true` or `false`, as in Elixir, with the reason beside it; only an invalid name is an error.
pub(super) async fn connect(node: &Node, arguments: &[Argument]) -> Result<Value, String> {
    let name = name(&arguments[0])?;
    let connected = node.cluster.connect(&name).await;
    Ok(Value::Connected(if connected { Ok(()) } else { Err(why_down(node, &name)) }))
}

/// `:pong` or `:pang`, as in Elixir.
pub(super) async fn ping(node: &Node, arguments: &[Argument]) -> Result<Value, String> {
    let name = name(&arguments[0])?;
    let connected = node.cluster.connect(&name).await;
    Ok(Value::Pinged(if connected { Ok(()) } else { Err(why_down(node, &name)) }))
}

fn name(argument: &Argument) -> Result<NodeName, String> {
    argument.node_name()?.parse().map_err(|error| format!("{error}"))
}

fn why_down(node: &Node, name: &NodeName) -> String {
    let nodes = node.cluster.nodes();
    match nodes.into_iter().find(|row| row.name == *name) {
        Some(row) => row.reason.map_or_else(|| "not connected yet".to_owned(), |reason| reason.to_string()),
        None => format!("the configuration has no node {name}; add [nodes.{:?}]", name.as_str()),
    }
}

/// The supervision tree of this node, or of the named one.
pub(super) async fn tree(node: &Node, arguments: &[Argument]) -> Result<Value, String> {
    let (named, count) = match arguments {
        [first, ..] if first.bytes.contains(&b'@') => (Some(name(first)?), arguments.get(1)),
        [_, _, ..] => return Err("a node's name has an @; write tree bar@127.0.0.1 100".to_owned()),
        _ => (None, arguments.first()),
    };
    let children = count.map_or(Ok(TREE_CHILDREN), |count| count.number("children", "tree 100"))?;
    let named = named.as_ref().unwrap_or(node.cluster.node_name());
    let text = node.cluster.tree(named, children).await.map_err(|error| error.to_string())?;
    let text = text.ok_or("the node is still starting")?;
    serde_json::from_slice(&text).map(Value::Tree).map_err(|error| format!("unreadable tree: {error}"))
}

pub(super) fn routes(node: &Node, _: &[Argument]) -> Result<Value, String> {
    let rows = node.cluster.routes().spans().iter();
    let row = |row: &kv_cluster::Route| RouteRow {
        buckets: row.buckets().to_owned(),
        nodes: row.nodes().iter().map(ToString::to_string).collect(),
        durable: row.is_durable(),
    };
    Ok(Value::Routes(rows.map(row).collect()))
}
