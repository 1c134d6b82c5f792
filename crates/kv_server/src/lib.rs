//! Clients: one port that a person can talk to.
//!
//! Follow a request through the files in this order: acceptor -> connection -> input -> protocol/text (session, lines,
//! parse) -> router -> `kv_cluster` and `kv` -> protocol/text (render) -> output.

mod acceptor;
mod connection;
mod error;
mod input;
mod limits;
mod output;
mod protocol;
mod router;

pub use acceptor::{Listening, listen};
pub use error::Error;
pub use limits::Limits;
