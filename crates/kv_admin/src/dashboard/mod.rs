//! The page, from files that are part of the program.

use crate::context::Context;
use axum::{Router, response::Html, routing::get};

const INDEX: &str = include_str!("assets/index.html");

/// The page and its files.
pub(crate) fn routes() -> Router<Context> {
    Router::new().route("/", get(async || Html(INDEX)))
}
