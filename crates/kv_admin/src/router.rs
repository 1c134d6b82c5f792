//! Which path is served by whom.

use crate::{context::Context, dashboard, guard, health, metrics, response};
use axum::{
    Router,
    http::{StatusCode, Uri},
    middleware,
    response::Response,
    routing::get,
};

/// All paths, behind the guard.
pub(crate) fn router(context: Context) -> Router {
    Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .merge(dashboard::routes())
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(context.clone(), guard::guard))
        .with_state(context)
}

async fn not_found(path: Uri) -> Response {
    response::error(StatusCode::NOT_FOUND, format!("there is no {}", path.path()))
}
