//! The page: its files, and the stream of what it shows.

mod assets;
mod buckets;
mod stream;

use crate::context::Context;
use axum::{Router, routing::get};

/// The page, its files, and its data.
pub(crate) fn routes() -> Router<Context> {
    assets::routes()
        .route("/events", get(stream::events))
        .route("/samples", get(stream::samples))
        .route("/buckets", get(buckets::buckets))
        .route("/keys", get(buckets::keys))
}
