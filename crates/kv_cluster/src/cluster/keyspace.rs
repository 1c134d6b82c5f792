//! The buckets of all nodes: pages of names, a random one, counts, stats, FLUSHALL. If a node cannot be
//! queried, an error names it, so that a part is not taken for the whole.

use crate::{
    cluster::Cluster,
    error::Error,
    limits::EMPTY_PAGES,
    link::node_query::{NodeQuery, RandomName},
    node_name::NodeName,
};
use kv::{DATABASES, Database, NamePage, ScanFilter, StoreStats, syntax::glob};

impl Cluster {
    /// One page of bucket names, from `cursor` on (0: from the start). Nodes are scanned in the order of
    /// their names, so a cursor is valid on each of them. A page that the names of a node do not fill goes on
    /// with the next node. An error names the node that could not be queried.
    pub async fn scan(&self, cursor: u64, filter: &ScanFilter<'_>) -> Result<NamePage, Error> {
        let nodes = self.scan_order.len() as u64;
        let (mut node, mut cursor) = (cursor % nodes, cursor / nodes);
        let (mut names, mut empty_pages) = (Vec::new(), 0);
        loop {
            let rest = ScanFilter { count: filter.count.saturating_sub(names.len()), ..*filter };
            let query = NodeQuery::Scan { cursor, filter: rest };
            let page = match self.query_node(self.scan_order[node as usize], &query).page().await {
                Ok(page) => page,
                Err(error) if names.is_empty() => return Err(error),
                // The next page begins with this node, and is the error.
                Err(_) => return Ok(NamePage { names, next: node }),
            };
            names.extend(page.names);
            cursor = page.next;
            if cursor == 0 {
                node += 1;
                if node == nodes {
                    return Ok(NamePage { names, next: 0 });
                }
            }
            empty_pages += usize::from(names.is_empty());
            let goes_on = if names.is_empty() { empty_pages < EMPTY_PAGES } else { cursor == 0 };
            if !goes_on || names.len() >= filter.count {
                return Ok(NamePage { names, next: cursor.saturating_mul(nodes).saturating_add(node) });
            }
        }
    }

    /// Lists the bucket names of database 0 of all nodes.
    pub fn buckets(&self) -> BucketPages {
        self.buckets_from(b"", 0)
    }

    /// Lists the bucket names of all nodes that begin with `prefix`, from a [`BucketPages::position`] on.
    pub fn buckets_from(&self, prefix: &[u8], position: u64) -> BucketPages {
        let nodes = self.scan_order.len() as u64;
        let listed_nodes = (position % nodes) as usize;
        let pattern = (!prefix.is_empty()).then(|| glob::with_prefix(prefix));
        BucketPages { cluster: self.clone(), pattern, listed_nodes, cursor: position / nodes }
    }

    /// The name of a random bucket of a database. Nodes are weighted by their number of buckets.
    pub async fn random_name(&self, database: Database) -> Result<Option<Box<[u8]>>, Error> {
        let seed = getrandom::u64().unwrap_or_else(|_| kv::time::now_ms());
        let (mut chosen, mut total) = (None, 0);
        for reply in self.query_all(&NodeQuery::RandomName { database, seed }) {
            let RandomName { name: Some(name), bucket_count } = reply.random_name().await? else { continue };
            // A node's name replaces the chosen one with a probability: its share of all buckets so far.
            let weight = bucket_count.max(1);
            total += weight;
            if seed.rotate_left(u64::BITS / 2) % total < weight {
                chosen = Some(name);
            }
        }
        Ok(chosen)
    }

    /// The number of buckets of each database.
    pub async fn bucket_counts(&self) -> Result<[u64; DATABASES], Error> {
        let mut totals = [0; DATABASES];
        for reply in self.query_all(&NodeQuery::BucketCounts) {
            let counts = reply.counts(DATABASES).await?;
            totals.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
        }
        Ok(totals)
    }

    /// Ends all buckets of a database, or of all of them, on all nodes.
    /// If a node is known to be down, none is touched.
    pub async fn flush(&self, database: Option<Database>) -> Result<(), Error> {
        if let Some(down) = self.peers.iter().find_map(|peer| peer.down_error()) {
            return Err(down);
        }
        if self.peers.is_empty() {
            return self.query_local(&NodeQuery::Flush { database }).done().await;
        }
        let (mut flushed, mut failed) = (Vec::new(), Vec::new());
        for reply in self.query_all(&NodeQuery::Flush { database }) {
            let node = reply.node.to_string();
            match reply.done().await {
                Ok(()) => flushed.push(node),
                Err(error) => failed.push(error.to_string()),
            }
        }
        match failed.is_empty() {
            true => Ok(()),
            false => Err(Error::PartlyFlushed { failed: failed.join("; "), flushed: flushed.join(", ") }),
        }
    }

    /// The size of what each node holds; this node comes first.
    pub async fn stats(&self) -> Vec<(NodeName, Result<StoreStats, Error>)> {
        let mut stats = Vec::new();
        for reply in self.query_all(&NodeQuery::Stats) {
            stats.push((reply.node.clone(), reply.stats().await));
        }
        stats
    }
}

/// The bucket names of database 0 of all nodes, page by page: first those of this node, then those of each
/// peer.
#[derive(Debug)]
pub struct BucketPages {
    cluster: Cluster,
    pattern: Option<Vec<u8>>,
    /// The number of nodes whose names have all been listed; this node is the first.
    listed_nodes: usize,
    cursor: u64,
}

impl BucketPages {
    /// The next page of names, in no particular order; `None` after the last. An error names a node that
    /// could not be queried; the listing continues with the next one.
    pub async fn next(&mut self) -> Option<Result<Vec<Box<[u8]>>, Error>> {
        let peer = self.listed_nodes.checked_sub(1);
        if peer.is_some_and(|peer| peer >= self.cluster.peers.len()) {
            return None;
        }
        let filter = ScanFilter { pattern: self.pattern.as_deref(), ..ScanFilter::default() };
        let query = NodeQuery::Scan { cursor: self.cursor, filter };
        let page = self.cluster.query_node(peer, &query).page().await;
        self.cursor = page.as_ref().map_or(0, |page| page.next);
        if self.cursor == 0 {
            self.listed_nodes += 1;
        }
        Some(page.map(|page| page.names))
    }

    /// Where the next page begins; `None` after the last.
    pub fn position(&self) -> Option<u64> {
        let nodes = self.cluster.scan_order.len() as u64;
        let listed_nodes = self.listed_nodes as u64;
        (listed_nodes < nodes).then(|| self.cursor.saturating_mul(nodes).saturating_add(listed_nodes))
    }
}
