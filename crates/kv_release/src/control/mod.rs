//! The control socket: how `rpc`, `remote`, `stop`, `restart` and `pid` reach the running node.
//!
//! A request is one line of JSON, and so is its reply. The socket lies in the run directory, which belongs
//! to the node's user alone.

pub(crate) mod client;
pub(crate) mod place;
pub(crate) mod server;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

/// One expression to evaluate.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    expression: String,
    /// Whether the result is wanted as JSON; else it comes as text.
    json: bool,
}

/// What became of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Result(serde_json::Value),
    Error(String),
}
