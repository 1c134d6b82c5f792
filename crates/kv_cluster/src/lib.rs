//! Nodes: who owns a bucket, and how to ask them.
//!
//! Follow a forwarded request through the files in this order: [`Cluster::owner`] -> [`ForwardedBatch`] -> peer -> link ->
//! connection -> outgoing -> wire, and on the owner's side: connection -> service -> answers -> [`LocalNode::execute`].
//! What concerns whole nodes goes from whole or channels through nodes -> peer, and is answered there by question.

mod buckets;
mod cluster;
mod cookie;
mod error;
mod events;
mod forward;
mod limits;
mod link;
mod local;
mod node_name;
mod peer;
mod routing;
mod serve;
#[cfg(test)]
mod tests;

pub use buckets::Buckets;
pub use cluster::{Cluster, Settings};
pub use cookie::Cookie;
pub use error::{Error, NodeNameError, RouteError, escape_name};
pub use events::{NodeEvent, NodeStatus};
pub use forward::{ForwardedBatch, Owner};
pub use local::{Heartbeat, LocalNode, StorageSettings};
pub use node_name::NodeName;
pub use peer::Peer;
pub use routing::{Route, RouteRow, Routes};
