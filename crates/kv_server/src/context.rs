//! What all client connections of this node share.

use crate::{
    clients::Clients,
    limits::{Limits, SAMPLE_PAUSE},
    memory::ClientMemory,
    metrics::{Metrics, rates::Totals},
};
use kv_cluster::Cluster;
use otp::Stop;
use std::{
    convert::Infallible,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// The cluster, the limits and the statistics, for every connection.
#[derive(Debug)]
pub(crate) struct ServerContext {
    pub(crate) cluster: Cluster,
    pub(crate) limits: Limits,
    pub(crate) address: SocketAddr,
    /// The configuration file of the node, if there is one.
    pub(crate) config_file: Option<PathBuf>,
    /// Cancelled when a client stops the node.
    pub(crate) stop_node: Stop,
    pub(crate) started: Instant,
    /// The same in milliseconds since 1970.
    pub(crate) started_ms: u64,
    /// 40 random hexadecimal digits, as Redis has them.
    pub(crate) run_id: String,
    pub(crate) clients: Clients,
    pub(crate) memory: Arc<ClientMemory>,
    pub(crate) metrics: Metrics,
    /// Bytes of one argument; CONFIG SET can change it.
    pub(crate) bulk_bytes: AtomicUsize,
    /// Seconds without input after which a client is disconnected, 0 for never; CONFIG SET can change it.
    pub(crate) idle_seconds: AtomicU64,
    /// Seconds of silence after which TCP probes a new client, 0 for never; CONFIG SET can change it.
    pub(crate) keepalive_seconds: AtomicU32,
}

impl ServerContext {
    /// The context of a server without clients.
    pub(crate) fn new(
        cluster: Cluster,
        limits: Limits,
        address: SocketAddr,
        metrics: Metrics,
    ) -> ServerContext {
        ServerContext {
            cluster,
            address,
            config_file: None,
            stop_node: Stop::new(),
            started: Instant::now(),
            started_ms: kv::time::now_ms(),
            run_id: (0..5).map(|_| format!("{:08x}", getrandom::u32().unwrap_or_default())).collect(),
            clients: Clients::default(),
            memory: Arc::new(ClientMemory::new(limits.client_memory)),
            metrics,
            bulk_bytes: AtomicUsize::new(limits.redis.bulk_bytes),
            idle_seconds: AtomicU64::new(limits.redis.idle.map_or(0, |idle| idle.as_secs())),
            keepalive_seconds: limits.tcp_keepalive_seconds.into(),
            limits,
        }
    }

    /// What has been counted so far.
    pub(crate) fn totals(&self) -> Totals {
        let traffic = self.clients.traffic();
        Totals { commands: self.metrics.total_calls(), received: traffic.received, sent: traffic.sent }
    }

    /// Samples the totals until it is stopped.
    pub(crate) async fn sample(self: Arc<Self>, stop: Stop) -> Result<(), Infallible> {
        loop {
            self.metrics.rates.add(Instant::now(), self.totals());
            self.metrics.rates.note_used(self.cluster.local().used_bytes());
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(SAMPLE_PAUSE) => {}
            }
        }
    }

    /// How long a client may send nothing before it is disconnected.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        match self.idle_seconds.load(Relaxed) {
            0 => None,
            seconds => Some(Duration::from_secs(seconds)),
        }
    }
}
