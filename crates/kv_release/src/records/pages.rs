//! What an export and a backup are to those who send them and receive them: bytes, page by page.

use kv_cluster::Cluster;
use serde::{Deserialize, Serialize};

/// An export or a backup of this node.
pub(crate) trait Pages: Send + 'static {
    /// How many buckets the node has, about, for the progress.
    fn total(&self) -> u64;

    /// The next bytes, about a page of them, or fewer if many buckets have gone meanwhile; `None` after the
    /// last ones. An error says why it cannot go on.
    fn next_page(&mut self) -> Result<Option<Vec<u8>>, String>;

    /// What it has so far.
    fn counts(&self) -> ExportCounts;

    /// Whose buckets it has, when all pages are read. This frees what was kept for it.
    fn into_scope(self) -> Result<ExportScope, String>;
}

/// What an export or a backup has written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExportCounts {
    pub(crate) buckets: u64,
    pub(crate) entries: u64,
    pub(crate) strings: u64,
}

/// Whose buckets an export or a backup has.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExportScope {
    pub(crate) node: String,
    /// The other nodes, whose buckets it does not have.
    pub(crate) others: Vec<String>,
    /// The ranges of the node that have stopped, and why: it does not have their buckets.
    #[serde(default)]
    pub(crate) stopped: Vec<String>,
}

impl ExportScope {
    /// All buckets of this node.
    pub(super) fn new(cluster: &Cluster) -> ExportScope {
        let others = cluster.nodes().iter().map(|node| node.name.to_string()).collect();
        ExportScope { node: cluster.node_name().to_string(), others, stopped: Vec::new() }
    }
}
