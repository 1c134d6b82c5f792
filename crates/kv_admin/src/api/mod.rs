//! `/api/v1`: what the console shows, as JSON. Every path is a row of one table; docs/api.md is made of it.

mod buckets;
mod node;
mod parameters;
#[cfg(test)]
mod tests;

use crate::{
    context::Context,
    limits::{API_REQUESTS, API_WAIT},
    response,
};
use axum::{
    Json, Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{MethodRouter, get},
};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use tokio::{sync::Semaphore, time::timeout};

/// One path.
#[derive(Debug, Serialize)]
struct Endpoint {
    path: &'static str,
    help: &'static str,
    /// The names of its parameters, and what they are.
    parameters: &'static [(&'static str, &'static str)],
    returns: &'static str,
    /// A query to try.
    example: &'static str,
    #[serde(skip)]
    route: fn() -> MethodRouter<Context>,
}

const CURSOR: (&str, &str) = ("cursor", "`next` of the page before; without it, the first page");
const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/api/v1/status",
        help: "This node.",
        parameters: &[],
        returns: "`node`, `release`, `version`, `pid`, `link` (its address), `durable`, `data_dir`, `volatile` (rows), \
                  `memory` with `used`, `free` and `limit` in bytes, `draining`",
        example: "",
        route: || get(node::status),
    },
    Endpoint {
        path: "/api/v1/health",
        help: "Whether all is well with this node, the others and the copies, as `rpc health`.",
        parameters: &[],
        returns: "`healthy`, and `problems`, a list of texts",
        example: "",
        route: || get(node::health),
    },
    Endpoint {
        path: "/api/v1/nodes",
        help: "All nodes, this one first, with their links as this node sees them.",
        parameters: &[],
        returns: "a list of `node`, `up`, `me`, `address`, `reason` (why it is down), `routes_differ` (the names \
                  on whose owner the two differ), `since_ms` (of the last change, since 1970), `seen_ms` (when one \
                  that is down was last up), `history` (when it went up or down), `in_flight` (calls), \
                  `round_trip` (seconds)",
        example: "",
        route: || get(async |State(context): State<Context>| node::part(&context, "nodes")),
    },
    Endpoint {
        path: "/api/v1/routes",
        help: "The routing table: who owns which buckets.",
        parameters: &[],
        returns: "a list of `buckets` (a row), `nodes`, `durable`",
        example: "",
        route: || get(async |State(context): State<Context>| node::part(&context, "routes")),
    },
    Endpoint {
        path: "/api/v1/ranges",
        help: "What a node keeps on disk, and how far.",
        parameters: &[("node", "its name; without it, this node")],
        returns: "a list of `range` (a row), `state` (loading, ready, read-only, following, no leader, stopped, \
                  volatile), `reason`, `loaded_percent`, `leader`, `term`, `replicas` (each with `node`, `voter` and \
                  `lag` in entries), `entries` (since the newest snapshot), `log_bytes`, `snapshot_bytes`, \
                  `snapshot_ms`, `sync_p99_us`; null is unknown",
        example: "",
        route: || get(node::ranges),
    },
    Endpoint {
        path: "/api/v1/plans",
        help: "The rows that are being moved or split.",
        parameters: &[],
        returns: "a list of `range`, `nodes` (that are to have it), `leaving` (that have it until then)",
        example: "",
        route: || get(async |State(context): State<Context>| node::part(&context, "plans")),
    },
    Endpoint {
        path: "/api/v1/events",
        help: "What has happened lately: crashes, nodes that went up or down, new leaders.",
        parameters: &[],
        returns: "a list of `id`, `node`, `at` (milliseconds since 1970), `kind`, `path` (in the tree), `text`",
        example: "",
        route: || get(async |State(context): State<Context>| node::part(&context, "events")),
    },
    Endpoint {
        path: "/api/v1/tree",
        help: "The supervision tree of a node.",
        parameters: &[
            ("node", "its name; without it, this node"),
            ("children", "how many buckets are shown, up to 1000; without it, 20"),
        ],
        returns: "`name`, `kind`, `strategy`, `state`, `up_seconds`, `restarts`, `recent_restarts`, `bytes`, \
                  `crashed`, `total`, `children` (rows like this one)",
        example: "children=100",
        route: || get(node::tree),
    },
    Endpoint {
        path: "/api/v1/buckets",
        help: "The buckets of database 0 of all nodes, page by page, in no particular order.",
        parameters: &[
            ("prefix", "what their names begin with"),
            ("limit", "about how many, up to 300; without it, 50"),
            CURSOR,
        ],
        returns: "`buckets`, each with `name` (its first 4 KiB), `keys`, `bytes` (unknown of large ones), `expires_in_ms`; `next`, \
                  null after the last page; `unavailable`: why those of a node are missing",
        example: "prefix=shop&limit=100",
        route: || get(buckets::buckets),
    },
    Endpoint {
        path: "/api/v1/keys",
        help: "The keys of a bucket with their values, page by page, or the value of a string.",
        parameters: &[("bucket", "its name"), CURSOR],
        returns: "`keys`, each with `key` and `value` (the first 4 KiB), `cut` (whether it has more), `bytes`; `next`, \
                  null after the last page",
        example: "bucket=shopping",
        route: || get(buckets::keys),
    },
];

/// All paths. A few requests are executed at once, so that many of them do not slow clients.
pub(crate) fn routes(context: Context) -> Router<Context> {
    let turns = Arc::new(Semaphore::new(API_REQUESTS));
    let paths = Router::new().route("/api/v1", get(async || Json(json!(ENDPOINTS))));
    let paths =
        ENDPOINTS.iter().fold(paths, |paths, endpoint| paths.route(endpoint.path, (endpoint.route)()));
    paths.layer(from_fn_with_state(turns, take_turn)).with_state(context)
}

/// Refuses unknown parameters, and waits for a turn.
async fn take_turn(State(turns): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let endpoint = ENDPOINTS.iter().find(|endpoint| endpoint.path == request.uri().path());
    let known = endpoint.map_or(&[][..], |endpoint| endpoint.parameters);
    if let Some(unknown) = parameters::unknown(request.uri().query().unwrap_or_default(), known) {
        let known: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message = format!("unknown parameter {unknown:?}; known here: {known}");
        return response::error(StatusCode::BAD_REQUEST, message);
    }
    match timeout(API_WAIT, turns.acquire()).await {
        Ok(Ok(_turn)) => next.run(request).await,
        Ok(Err(_)) | Err(_) => response::busy("too many requests at once; try again"),
    }
}
