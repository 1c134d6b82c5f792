//! Clients: one port for people with telnet and for Redis clients.
//!
//! A request goes through the modules in this order: acceptor -> reactor -> connection -> input -> protocol (text or resp)
//! -> router -> `kv_cluster` and `kv` -> protocol -> output -> reactor.

mod acceptor;
mod clients;
mod connection;
mod context;
mod error;
mod input;
mod limits;
mod metrics;
mod output;
mod protocol;
mod reactor;
mod router;

pub use acceptor::{BoundServer, bind};
pub use error::Error;
pub use limits::Limits;
