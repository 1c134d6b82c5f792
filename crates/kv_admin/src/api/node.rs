//! What the API says of nodes and ranges. What this node has seen within the last second is not read again.

use super::parameters::{number, parameter};
use crate::{
    context::Context,
    limits::{API_CHILDREN, HEALTH_WAIT, TREE_CHILDREN},
    response::{self, known},
};
use axum::{
    Json,
    extract::{RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use kv_cluster::NodeName;
use serde_json::{Value, json};
use tokio::time::timeout;

/// A part of what the page shows.
pub(super) fn part(context: &Context, name: &str) -> Response {
    known(context.observer.part(name))
}

pub(super) async fn status(State(context): State<Context>) -> Json<Value> {
    let (cluster, about) = (&context.cluster, context.observer.about());
    let (local, memory) = (cluster.local(), cluster.local().stats());
    Json(json!({
        "node": cluster.node_name().as_str(),
        "release": about.release,
        "version": about.version,
        "pid": std::process::id(),
        "link": cluster.link_address(),
        "durable": !local.ranges().is_empty(),
        "data_dir": local.data_dir().map(|data_dir| data_dir.display().to_string()),
        "volatile": local.volatile_rows().collect::<Vec<_>>(),
        "memory": { "used": memory.bytes, "free": memory.free, "limit": memory.limit },
        "draining": context.draining.is_cancelled(),
    }))
}

pub(super) async fn health(State(context): State<Context>) -> Response {
    match timeout(HEALTH_WAIT, context.cluster.problems()).await {
        Ok(problems) => Json(json!({ "healthy": problems.is_empty(), "problems": problems })).into_response(),
        Err(_) => response::busy("the other nodes have not answered yet"),
    }
}

pub(super) async fn ranges(State(context): State<Context>, RawQuery(query): RawQuery) -> Response {
    let Some(node) = node(&context, &query.unwrap_or_default()) else { return no_such_node() };
    let own = context.cluster.node_name();
    if node == *own {
        return part(&context, &format!("ranges/{own}"));
    }
    // No samples are so new.
    match context.cluster.report(&node, u64::MAX).await {
        Ok(report) => {
            let report = report.and_then(|report| serde_json::from_slice::<Value>(&report).ok());
            known(report.and_then(|report| report.get("ranges").cloned()))
        }
        Err(error) => response::error(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

pub(super) async fn tree(State(context): State<Context>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let Some(node) = node(&context, &query) else { return no_such_node() };
    let Some(children) = number(&query, "children", TREE_CHILDREN) else {
        return response::error(StatusCode::BAD_REQUEST, "children is a number");
    };
    match context.cluster.tree(&node, children.min(API_CHILDREN) as usize).await {
        Ok(tree) => known(tree.and_then(|tree| serde_json::from_slice(&tree).ok())),
        Err(error) => response::error(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

/// The node that a query names, or this one; `None` if it is unknown.
fn node(context: &Context, query: &str) -> Option<NodeName> {
    let own = context.cluster.node_name();
    let Some(name) = parameter(query, "node") else { return Some(own.clone()) };
    let mut known = context.cluster.nodes().into_iter().map(|node| node.name).chain([own.clone()]);
    known.find(|known| known.as_str().as_bytes() == name)
}

fn no_such_node() -> Response {
    response::error(StatusCode::NOT_FOUND, "there is no such node; /api/v1/nodes lists them")
}
