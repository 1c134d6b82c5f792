//! What the console shows of nodes, and what it asks of them.

use super::{
    node::Node,
    parse::Argument,
    value::{NodeRow, PlanRow, RouteRow, Value},
};
use crate::{limits::TREE_CHILDREN, suggest::nearest};
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
    let reason = node.cluster.is_removed().then(|| "it was removed from the cluster".to_owned());
    let me = NodeRow { node: me, up: true, me: true, reason, routes_differ: None };
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
        None if node.cluster.placements().is_empty() => {
            format!("the configuration has no node {name}; add [nodes.{:?}]", name.as_str())
        }
        None => format!("the cluster has no node {name}; `add-node {name} HOST:PORT` adds it"),
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
    let row = |route: &kv_cluster::Route| {
        let of_nodes = |buckets: &str, nodes: &[NodeName]| RouteRow {
            buckets: buckets.to_owned(),
            nodes: names(nodes),
            durable: route.is_durable(),
        };
        // It may have been split.
        match node.cluster.rows_of(route) {
            rows if rows.is_empty() => vec![of_nodes(route.buckets(), route.nodes())],
            rows => rows.iter().map(|row| of_nodes(row.buckets(), &row.nodes)).collect(),
        }
    };
    Ok(Value::Routes(rows.flat_map(row).collect(), difference(&node.cluster.differences())))
}

/// A warning that the configuration of this node says something else than what holds, if it does.
pub(crate) fn difference(differences: &[String]) -> Option<String> {
    let is_different = !differences.is_empty();
    is_different.then(|| {
        format!(
            "the configuration differs from what the nodes have agreed on, which holds: {}; `routes --toml` prints \
             what to write",
            differences.join("; ")
        )
    })
}

/// Has a node be one of the cluster.
pub(super) async fn add(node: &Node, arguments: &[Argument]) -> Result<Value, String> {
    let (added, link) = (name(&arguments[0])?, utf8(&arguments[1], "an address")?);
    let is_there = node.cluster.add_node(&added, link).await.map_err(|error| error.to_string())?;
    Ok(Value::Text(match is_there {
        true => format!("{added} is a node of the cluster already, at {link}"),
        false => format!("{added} is a node of the cluster: start it, and give it copies with `replicas`"),
    }))
}

/// Has a node be none of the cluster any more.
pub(super) async fn remove(node: &Node, arguments: &[Argument]) -> Result<Value, String> {
    let removed = name(&arguments[0])?;
    let known: Vec<_> = node.cluster.nodes().into_iter().map(|row| row.name).collect();
    if removed != *node.cluster.node_name()
        && !known.contains(&removed)
        && let Some(similar) = nearest(removed.as_str(), known.iter().map(NodeName::as_str))
    {
        return Err(format!("there is no node {removed}; did you mean {similar}?"));
    }
    node.cluster.remove_node(&removed).await.map_err(|error| error.to_string())?;
    Ok(Value::Text(format!("{removed} is no node of the cluster any more: stop it, and wipe its data_dir")))
}

/// Whether all is well; the error says what is not.
pub(super) async fn health(node: &Node) -> Result<Value, String> {
    match node.cluster.problems().await {
        problems if problems.is_empty() => Ok(Value::Text("ok".to_owned())),
        problems => Err(problems.join("; ")),
    }
}

/// Has the replicas of a row on the named nodes.
pub(super) async fn replicas(node: &Node, arguments: &[Argument]) -> Result<Value, String> {
    place(node, &arguments[0], &arguments[1..]).await
}

/// The same, with a word between.
pub(super) async fn move_row(node: &Node, arguments: &[Argument]) -> Result<Value, String> {
    place(node, &arguments[0], &arguments[2..]).await
}

async fn place(node: &Node, row: &Argument, nodes: &[Argument]) -> Result<Value, String> {
    let (row, nodes) = (row_name(row)?, nodes.iter().map(name).collect::<Result<_, _>>()?);
    node.cluster.place(row, nodes).await.map_err(|error| error.to_string())?;
    plans(node, &[])
}

/// Splits a row in two.
pub(super) async fn split(node: &Node, arguments: &[Argument]) -> Result<Value, String> {
    let (row, at) = (row_name(&arguments[0])?, &arguments[2].bytes);
    node.cluster.split(row, at).await.map_err(|error| error.to_string())?;
    plans(node, &[])
}

/// Has a node lead a row.
pub(super) async fn leader(node: &Node, arguments: &[Argument]) -> Result<Value, String> {
    let (row, leader) = (row_name(&arguments[0])?, name(&arguments[1])?);
    node.cluster.lead(row, &leader).await.map_err(|error| error.to_string())?;
    Ok(Value::Done)
}

fn row_name(argument: &Argument) -> Result<&str, String> {
    utf8(argument, "a row, as [[routes]] write it,")
}

fn utf8<'a>(argument: &'a Argument, what: &str) -> Result<&'a str, String> {
    std::str::from_utf8(&argument.bytes).map_err(|_| format!("{what} is UTF-8"))
}

/// The rows that are being moved or split.
pub(super) fn plans(node: &Node, _: &[Argument]) -> Result<Value, String> {
    let rows = node.cluster.placements();
    let moving = rows.iter().filter(|row| row.is_moving);
    let plan = moving.map(|row| PlanRow {
        range: row.buckets().to_owned(),
        nodes: names(&row.nodes),
        leaving: names(&row.leaving),
    });
    Ok(Value::Plans(plan.collect()))
}

fn names(nodes: &[NodeName]) -> Vec<String> {
    nodes.iter().map(ToString::to_string).collect()
}
