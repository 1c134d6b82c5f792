//! What all connections of this face share.

use crate::{clients::Clients, limits::Limits, stats::Stats};
use kv_cluster::Cluster;
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// The face of a node that clients see.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) cluster: Cluster,
    pub(crate) limits: Limits,
    pub(crate) address: SocketAddr,
    pub(crate) started: Instant,
    pub(crate) clients: Clients,
    pub(crate) stats: Stats,
    /// What CONFIG SET may change: bytes of one argument.
    pub(crate) bulk_bytes: AtomicUsize,
    /// What CONFIG SET may change: seconds that a client may be silent; 0: for ever.
    pub(crate) idle_seconds: AtomicU64,
}

impl Server {
    /// A face that nobody has come to.
    pub(crate) fn new(cluster: Cluster, limits: Limits, address: SocketAddr, stats: Stats) -> Server {
        Server {
            cluster,
            address,
            started: Instant::now(),
            clients: Clients::default(),
            stats,
            bulk_bytes: AtomicUsize::new(limits.bulk_bytes),
            idle_seconds: AtomicU64::new(limits.idle.map_or(0, |idle| idle.as_secs())),
            limits,
        }
    }

    /// How long a client may be silent.
    pub(crate) fn idle(&self) -> Option<Duration> {
        match self.idle_seconds.load(Relaxed) {
            0 => None,
            seconds => Some(Duration::from_secs(seconds)),
        }
    }
}
