//! Responses that are no pages: JSON, and errors, which are JSON too.

use axum::{
    Json,
    http::{StatusCode, header::ALLOW},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// An error, as `{"error": "..."}`.
pub(crate) fn error(status: StatusCode, message: impl Into<String>) -> Response {
    let message: String = message.into();
    (status, Json(json!({ "error": message }))).into_response()
}

/// The error of a method that this port does not have.
pub(crate) fn method_not_allowed() -> Response {
    let message = "this port only shows things: GET and HEAD; `rpc` and `remote` change them";
    ([(ALLOW, "GET, HEAD")], error(StatusCode::METHOD_NOT_ALLOWED, message)).into_response()
}
