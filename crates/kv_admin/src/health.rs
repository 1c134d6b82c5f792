//! `/health`: the process answers. `/ready`: it serves clients, or why not.

use crate::context::Context;
use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;

/// What `/health` says.
#[derive(Debug, Serialize)]
pub(crate) struct Health {
    node: String,
    status: &'static str,
}

/// What `/ready` says.
#[derive(Debug, Serialize)]
pub(crate) struct Readiness {
    node: String,
    ready: bool,
    /// Why it is not.
    reasons: Vec<String>,
}

pub(crate) async fn health(State(context): State<Context>) -> Json<Health> {
    Json(Health { node: context.cluster.node_name().to_string(), status: "ok" })
}

pub(crate) async fn ready(State(context): State<Context>) -> (StatusCode, Json<Readiness>) {
    let reasons = match context.draining.is_cancelled() {
        true => vec!["the node is draining: it ends, or starts again".to_owned()],
        false => context.cluster.unready_reasons().await,
    };
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { node: context.cluster.node_name().to_string(), ready, reasons }))
}
