//! What all links of this node share.

use crate::{Cookie, NodeName, Routes};
use kv::{Channels, Request, Store};
use std::{sync::Arc, time::Duration};

/// How the death of a silent peer is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// How often each side says that it is alive; not zero.
    pub every: Duration,
    /// So many beats without a byte from the peer, and it counts as dead.
    pub missed: u32,
}

impl Default for Heartbeat {
    /// A silent peer is dead after 3 to 4 s.
    fn default() -> Heartbeat {
        Heartbeat { every: Duration::from_secs(1), missed: 3 }
    }
}

/// This node.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) me: NodeName,
    pub(crate) cookie: Cookie,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) routes: Routes,
    pub(crate) store: Arc<Store>,
    pub(crate) channels: Arc<Channels>,
}

impl Local {
    /// Whether this node owns the bucket.
    pub(crate) fn owns(&self, bucket: &[u8]) -> bool {
        self.routes.owner(bucket) == Some(&self.me)
    }

    /// Whether this node owns all buckets that the request is about.
    pub(crate) fn owns_all(&self, request: &Request<'_>) -> bool {
        self.owns(request.bucket) && (!request.spans_buckets() || request.names().all(|name| self.owns(name)))
    }
}
