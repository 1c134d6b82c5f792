//! The server for clients: one port for people with telnet and for Redis clients.
//!
//! A request passes the modules in this order:
//!
//! 1. `acceptor` accepts the connection and hands its socket to a reactor.
//! 2. `reactor` receives the bytes, by io_uring or epoll, and polls the connection.
//! 3. `connection` copies them into its input, and chooses the protocol by the first byte.
//! 4. `pipeline` runs the batch: `protocol::text` or `protocol::resp` parses the requests, the router
//!    executes them here or on the nodes that own their buckets (`kv_cluster`), and the protocol renders the
//!    replies into the output.
//! 5. `reactor` sends the output.
//!
//! `context` is what connections share, such as `clients` (the list of them), `memory` (what they hold) and
//! `metrics`; `limits` holds the limits.

mod acceptor;
mod clients;
mod connection;
mod context;
mod error;
mod limits;
mod memory;
mod metrics;
mod numbers;
mod pipeline;
mod protocol;
mod reactor;

pub use acceptor::{BoundServer, bind};
pub use error::Error;
pub use limits::{Limits, RedisLimits};
