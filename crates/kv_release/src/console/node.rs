//! The node as its console sees it: what can be asked, and what it can be told.

use kv_cluster::Cluster;
use otp::SupervisorHandle;
use std::{net::SocketAddr, path::PathBuf, sync::OnceLock, time::SystemTime};
use tokio::sync::watch;

/// A running node.
pub(crate) struct Node {
    pub(crate) release: &'static str,
    pub(crate) version: &'static str,
    pub(crate) cluster: Cluster,
    /// Where clients connect, with the real port.
    pub(crate) clients: Option<SocketAddr>,
    /// Where other nodes connect, with the real port.
    pub(crate) link: Option<SocketAddr>,
    pub(crate) file: Option<PathBuf>,
    pub(crate) started: SystemTime,
    /// The tree, once it stands.
    pub(crate) root: OnceLock<SupervisorHandle>,
    pub(crate) orders: watch::Sender<Option<Order>>,
}

/// What the console can tell the node to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Stop,
    Restart,
}

impl Node {
    /// Tells the node to end.
    pub(crate) fn order(&self, order: Order) {
        self.orders.send_replace(Some(order));
    }
}
