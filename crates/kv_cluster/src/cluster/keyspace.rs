//! What concerns the buckets of all nodes. A node that cannot be asked is an error that names it: who reads must not
//! take a part for the whole.

use crate::{
    cluster::Cluster,
    error::Error,
    link::node_query::{Question, Told},
    node_name::NodeName,
};
use kv::{NamePage, ScanFilter, StoreStats};

impl Cluster {
    /// One page of bucket names, from `cursor` on (0: from the start); the nodes follow each other in the order of their
    /// names, so a cursor is good on all of them. While a node is down its page cannot be had, nor passed over.
    pub async fn scan(&self, cursor: u64, wanted: &ScanFilter<'_>) -> Result<NamePage, Error> {
        let nodes = self.by_name.len() as u64;
        let (node, cursor) = (cursor % nodes, cursor / nodes);
        let question = Question::Names { cursor, wanted: *wanted };
        let NamePage { names, next } = self.ask_node(self.by_name[node as usize], &question).page().await?;
        let next = match next {
            0 if node + 1 == nodes => 0,
            0 => node + 1,
            next => next.saturating_mul(nodes).saturating_add(node),
        };
        Ok(NamePage { names, next })
    }

    /// The name of some bucket; the more buckets a node has, the more likely is one of them.
    pub async fn random_key(&self) -> Result<Option<Box<[u8]>>, Error> {
        let seed = getrandom::u64().unwrap_or_else(|_| kv::time::now_ms());
        let (mut chosen, mut buckets) = (None, 0);
        for asked in self.ask_all(&Question::Random { seed }) {
            let NamePage { names, next: count } = asked.page().await?;
            let Some(name) = names.into_iter().next() else { continue };
            // Each node takes the place of those before it with the share that it has of all buckets so far.
            buckets += count.max(1);
            if seed.rotate_left(u64::BITS / 2) % buckets < count.max(1) {
                chosen = Some(name);
            }
        }
        Ok(chosen)
    }

    /// How many buckets there are.
    pub async fn count(&self) -> Result<u64, Error> {
        let mut count = 0;
        for asked in self.ask_all(&Question::Count) {
            count += asked.numbers(1).await?[0];
        }
        Ok(count)
    }

    /// Ends all buckets of all nodes. When a node is known to be down, none is touched.
    pub async fn flush(&self) -> Result<(), Error> {
        if let Some(down) = self.peers.iter().find_map(|peer| peer.down()) {
            return Err(down);
        }
        let mut outcome = Ok(());
        for asked in self.ask_all(&Question::Flush) {
            outcome = outcome.and(asked.told().await.map(drop));
        }
        outcome
    }

    /// How much each node holds; this one comes first.
    pub async fn stats(&self) -> Vec<(NodeName, Result<StoreStats, Error>)> {
        let mut all = Vec::new();
        for asked in self.ask_all(&Question::Stats) {
            let node = asked.node.clone();
            let figures = match asked.told().await {
                Ok(Told::Stats(figures)) => Ok(figures),
                Ok(_) => Err(Error::OtherAnswer { node: node.shared() }),
                Err(error) => Err(error),
            };
            all.push((node, figures));
        }
        all
    }
}
