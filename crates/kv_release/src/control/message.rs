//! The messages on the control socket; each is one line of JSON.

use serde::{Deserialize, Serialize};

/// One expression to evaluate.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) expression: String,
    /// Whether the result is wanted as JSON instead of text.
    pub(super) json: bool,
}

/// The result of an expression.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Result(serde_json::Value),
    Error(String),
}
