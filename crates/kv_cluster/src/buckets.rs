//! The names of the buckets of all nodes, page by page.

use crate::{cluster::Cluster, error::Error, link::node_query::Question};
use kv::ScanFilter;

/// A listing under way: first this node's buckets, then those of each peer.
#[derive(Debug)]
pub struct Buckets {
    cluster: Cluster,
    /// How many nodes have been listed to their end; the first is this one.
    listed: usize,
    cursor: u64,
}

impl Cluster {
    /// Lists the names of the buckets of all nodes.
    pub fn buckets(&self) -> Buckets {
        Buckets { cluster: self.clone(), listed: 0, cursor: 0 }
    }
}

impl Buckets {
    /// The next page of names, in no particular order; `None` after the last. An error names a node that could not be
    /// asked, and the listing goes on with the one after it.
    pub async fn next(&mut self) -> Option<Result<Vec<Box<[u8]>>, Error>> {
        let peer = self.listed.checked_sub(1);
        if peer.is_some_and(|peer| peer >= self.cluster.peers.len()) {
            return None;
        }
        let question = Question::Names { cursor: self.cursor, wanted: ScanFilter::default() };
        let page = self.cluster.ask_node(peer, &question).page().await;
        self.cursor = page.as_ref().map_or(0, |page| page.next);
        if self.cursor == 0 {
            self.listed += 1;
        }
        Some(page.map(|page| page.names))
    }
}
