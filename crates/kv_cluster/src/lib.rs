//! Nodes: which node owns a bucket, and how a request reaches it.
//!
//! A forwarded request goes through cluster -> forward -> peer -> link, and on its owner through peer
//! (link_task) -> serve -> [`LocalNode`], the one door to a node's data. Queries to whole nodes
//! take the same path, from cluster (fan_out) to serve (node_queries).

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
mod replicas;
mod routing;
mod serve;
#[cfg(test)]
mod tests;

pub use cluster::{BucketPages, Cluster, Owner, Refusal, Settings, ask_to_join, differences};
pub use cookie::Cookie;
pub use error::{
    Error, NodeNameError, Outcome, RESTARTING, RangeFailure, RangeFailureKind, RouteError, describe_failure,
    escape_name,
};
pub use events::{NodeEvent, NodeStatus};
pub use forward::{ForwardedBatch, Target};
pub use kv_raft::{Fsync, Range, RangeState, RangeStatus, wakes};
pub use local::{LinkSettings, LocalNode, Scope, StoreSettings, membership::Membership};
pub use node_name::NodeName;
pub use peer::Peer;
pub use replicas::Replicas;
pub use routing::{
    Route, RouteRow, Routes,
    nodes::{ClusterNode, is_address},
    placement::PlacedRow,
};
