//! The node as its console sees it: what can be queried; `stop` and `restart` go to the task that runs it.

use kv_cluster::Cluster;
use kv_metrics::MetricsRegistry;
use otp::Stop;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::SystemTime};
use tokio::sync::watch;

/// A running node.
pub(crate) struct Node {
    pub(crate) release: &'static str,
    pub(crate) version: &'static str,
    pub(crate) cluster: Cluster,
    /// The address for clients, with the real port.
    pub(crate) clients: Option<SocketAddr>,
    /// The address for other nodes, with the real port.
    pub(crate) link: Option<SocketAddr>,
    /// The address for HTTP, with the real port, or why there is none.
    pub(crate) admin: Result<SocketAddr, String>,
    pub(crate) file: Option<PathBuf>,
    /// What the configuration says of all nodes.
    pub(crate) tables: BTreeMap<String, ConfiguredNode>,
    /// Cancelled when a client stops the node.
    pub(crate) stop: Stop,
    /// Cancelled when the node begins to drain.
    pub(crate) draining: Stop,
    /// All numbers of the node.
    pub(crate) registry: MetricsRegistry,
    pub(crate) started: SystemTime,
    pub(crate) commands: watch::Sender<Option<ControlCommand>>,
}

/// What the configuration says of a node.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfiguredNode {
    pub(crate) clients: Option<String>,
    pub(crate) link: Option<String>,
    pub(crate) admin: Option<String>,
    pub(crate) data_dir: Option<PathBuf>,
}

/// A command to the node as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ControlCommand {
    Stop,
    Restart,
}

impl Node {
    /// Sends the command to the task that runs the node.
    pub(crate) fn send(&self, command: ControlCommand) {
        self.commands.send_replace(Some(command));
    }
}
