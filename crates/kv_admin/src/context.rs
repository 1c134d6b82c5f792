//! What the handlers of requests share.

use crate::{hosts::Hosts, observer::Observer};
use kv_cluster::Cluster;
use kv_metrics::MetricsRegistry;
use otp::Stop;
use std::sync::Arc;

/// The node that is shown. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) cluster: Cluster,
    pub(crate) registry: MetricsRegistry,
    /// Cancelled when the node begins to drain.
    pub(crate) draining: Stop,
    pub(crate) observer: Observer,
    /// The hosts that a request may name.
    pub(crate) hosts: Arc<Hosts>,
}
