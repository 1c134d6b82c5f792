//! Clients: one port that a person can talk to.
//!
//! Follow a request through the files in this order: acceptor -> reactor -> connection -> input -> protocol/text (session, lines,
//! parse) or protocol/resp (session, parse, rows, split) -> router -> `kv_cluster` and `kv` -> protocol/text (render) or
//! protocol/resp (merge, render) -> output.

mod acceptor;
mod clients;
mod connection;
mod error;
mod input;
mod limits;
mod output;
mod protocol;
mod reactor;
mod router;
mod server;
mod stats;

pub use acceptor::{Listening, listen};
pub use error::Error;
pub use limits::Limits;
