//! Whether this node serves what clients may ask it for.

use crate::{
    cluster::Cluster,
    limits::READY_WAIT,
    replicas::{Replicas, Server, THIS_NODE_IS_REMOVED},
};
use kv_raft::{Range, RangeError};
use tokio::time::timeout;

impl Cluster {
    /// Why this node does not serve all names; empty if it does. What another node owns alone does not count:
    /// that one is down, and not this one.
    pub async fn unready_reasons(&self) -> Vec<String> {
        if self.is_removed() {
            return vec![THIS_NODE_IS_REMOVED.to_owned()];
        }
        let alone = self.local.ranges().into_iter().filter(|range| !range.is_replicated());
        let mut reasons: Vec<_> =
            alone.filter_map(|range| range.may_read().err()).map(|error| error.to_string()).collect();
        for replicas in self.all_replicas() {
            reasons.extend(unready_reason(replicas).await);
        }
        reasons
    }
}

/// Why nobody serves a row with replicas, as far as this node knows.
async fn unready_reason(replicas: &Replicas) -> Option<String> {
    if let Some(error) = replicas.here().and_then(loading_error) {
        return Some(error.to_string());
    }
    match replicas.server() {
        Some(Server::Here(range)) => match timeout(READY_WAIT, range.confirm()).await {
            Ok(confirmed) => confirmed.err().map(|error| error.to_string()),
            Err(_) => Some(replicas.no_leader().to_string()),
        },
        Some(Server::Peer(peer)) => peer.down_error().map(|error| error.to_string()),
        None => Some(replicas.no_leader().to_string()),
    }
}

/// Why a replica cannot serve even if it leads.
fn loading_error(range: &Range) -> Option<RangeError> {
    let error = range.may_read().err();
    error.filter(|error| matches!(error, RangeError::Loading { .. } | RangeError::Stopped { .. }))
}
