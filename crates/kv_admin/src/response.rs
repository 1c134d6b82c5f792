//! Responses that are no pages: JSON, and errors, which are JSON too.

use crate::limits;
use axum::{
    Json,
    http::{
        StatusCode,
        header::{ALLOW, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

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

/// The error of a request that may succeed a moment later.
pub(crate) fn busy(message: &str) -> Response {
    let retry_after = [(RETRY_AFTER, limits::RETRY_AFTER)];
    (retry_after, error(StatusCode::SERVICE_UNAVAILABLE, message)).into_response()
}

/// A value, if there is one yet.
pub(crate) fn known(value: Option<Value>) -> Response {
    match value {
        Some(value) => Json(value).into_response(),
        None => busy("the node is still starting"),
    }
}
