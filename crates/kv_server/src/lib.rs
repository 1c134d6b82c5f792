//! Clients: one port for people with telnet and for Redis clients.
//!
//! A request goes through the modules in this order: acceptor -> reactor -> connection -> pipeline -> protocol (text or
//! resp: parse) -> pipeline (router) -> `kv_cluster` and `kv` -> protocol (render) -> reactor.

mod acceptor;
mod clients;
mod connection;
mod context;
mod error;
mod limits;
mod metrics;
mod pipeline;
mod protocol;
mod reactor;

pub use acceptor::{BoundServer, bind};
pub use error::Error;
pub use limits::Limits;
