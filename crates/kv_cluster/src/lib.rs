//! Nodes: who owns a bucket, and how to ask them.
//!
//! Follow a forwarded request through the files in this order: [`Cluster::owner`] -> [`ForwardedBatch`] -> peer -> link ->
//! connection -> outgoing -> wire, and on the owner's side: connection -> service -> answers -> [`LocalNode::execute`].
//! What concerns whole nodes goes from whole or channels through nodes -> peer, and is answered there by question.

mod answers;
mod assembly;
mod backoff;
mod buckets;
mod calls;
mod channels;
mod cluster;
mod connection;
mod cookie;
mod dialer;
mod error;
mod events;
mod forward;
mod frame;
mod handshake;
mod limits;
mod link;
mod listener;
mod local;
mod node_name;
mod nodes;
mod outgoing;
mod peer;
mod question;
mod range;
mod replies;
mod routes;
mod service;
mod subscriptions;
#[cfg(test)]
mod tests;
mod transaction;
mod whole;
mod wire;

pub use buckets::Buckets;
pub use cluster::{Cluster, Settings};
pub use cookie::Cookie;
pub use error::{Error, NodeNameError, RouteError, escape_name};
pub use events::{NodeEvent, NodeStatus};
pub use forward::{ForwardedBatch, Owner};
pub use local::{Heartbeat, LocalNode, StorageSettings};
pub use node_name::NodeName;
pub use peer::Peer;
pub use routes::{Route, RouteRow, Routes};
