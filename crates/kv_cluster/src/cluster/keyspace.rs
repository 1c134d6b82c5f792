//! The buckets of all nodes: pages of names, a random one, counts, stats, FLUSHALL. They are in parts: what a
//! node owns alone, and each row with replicas, for which its leader replies. If a part cannot be queried, an
//! error says so, and is not taken for an empty one.

use crate::{
    cluster::{Cluster, fan_out::PendingReply},
    error::Error,
    limits::{EMPTY_PAGES, ROWS},
    link::node_query::{NodeQuery, RandomName},
    node_name::NodeName,
    replicas::Search,
};
use kv::{DATABASES, Database, NamePage, ScanFilter, StoreStats, syntax::glob};

/// A part of all buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// What the peer of this index owns alone, or this node if it is `None`.
    Node(Option<usize>),
    /// The row of this index among those with replicas.
    Replicas(usize),
}

impl Cluster {
    /// One page of bucket names, from `cursor` on (0: from the start). Parts are scanned in an order that is
    /// the same on all nodes, so a cursor is valid on each of them. A page that the names of a part do not
    /// fill goes on with the next one. An error says which node or range could not be queried.
    pub async fn scan(&self, cursor: u64, filter: &ScanFilter<'_>) -> Result<NamePage, Error> {
        let (stride, mut parts) = (self.part_stride(), self.parts());
        let (mut part, mut cursor) = (cursor % stride, cursor / stride);
        let (mut names, mut empty_pages) = (Vec::new(), 0);
        loop {
            let rest = ScanFilter { count: filter.count.saturating_sub(names.len()), ..*filter };
            // The cursor may be one that a client has made up.
            let Some(scanned) = parts.get(part as usize) else { return Ok(NamePage { names, next: 0 }) };
            let page = match self.scan_part(*scanned, cursor, rest).await {
                Ok(page) => page,
                Err(error) if names.is_empty() => return Err(error),
                // The next page begins with this part, and is the error.
                Err(_) => return Ok(NamePage { names, next: part }),
            };
            names.extend(page.names);
            cursor = page.next;
            if cursor == 0 {
                part += 1;
                if part == parts.len() as u64 {
                    self.learn_splits().await;
                    parts = self.parts();
                }
                if part == parts.len() as u64 {
                    return Ok(NamePage { names, next: 0 });
                }
            }
            empty_pages += usize::from(names.is_empty());
            let goes_on = if names.is_empty() { empty_pages < EMPTY_PAGES } else { cursor == 0 };
            if !goes_on || names.len() >= filter.count {
                return Ok(NamePage { names, next: cursor.saturating_mul(stride).saturating_add(part) });
            }
        }
    }

    async fn scan_part(&self, part: Part, cursor: u64, filter: ScanFilter<'_>) -> Result<NamePage, Error> {
        let query = |range| NodeQuery::Scan { range, cursor, filter };
        match part {
            Part::Node(node) => self.query_node(node, &query(None)).page().await,
            Part::Replicas(row) => self.query_row(row, query).await?.page().await,
        }
    }

    async fn query_row<'q>(
        &'q self,
        row: usize,
        query: impl FnOnce(Option<&'q [u8]>) -> NodeQuery<'q>,
    ) -> Result<PendingReply, Error> {
        let replicas = &self.replicas[row];
        self.query_leader(replicas, &query(Some(replicas.first_name()))).await
    }

    /// All parts: what nodes own alone, and rows with replicas. They have the same order on all nodes, and
    /// new ones come last.
    fn parts(&self) -> Vec<Part> {
        let nodes = self.owners_alone.iter().copied().map(Part::Node);
        let table = self.local.replicated.table.borrow();
        let row = |name: &[u8]| self.replicas.iter().position(|replicas| replicas.first_name() == name);
        let rows = table.rows.iter().filter(|placed| !placed.is_meta());
        let rows = rows.filter_map(|placed| row(placed.first_name())).map(Part::Replicas);
        let parts: Vec<_> = nodes.chain(rows).collect();
        // Without any route all is empty.
        if parts.is_empty() { vec![Part::Node(None)] } else { parts }
    }

    /// A row that was split a moment ago has replied for its first part alone: learns whether there are
    /// others now. If that cannot be learned, those that are known hold.
    async fn learn_splits(&self) {
        if self.parts().iter().any(|part| matches!(part, Part::Replicas(_))) {
            drop(self.learn_placements().await);
        }
    }

    /// How many parts a cursor distinguishes: as many as there may be, for it is valid when rows are split.
    fn part_stride(&self) -> u64 {
        match &self.meta {
            Some(_) => (self.owners_alone.len() + ROWS) as u64,
            None => self.parts().len() as u64,
        }
    }

    /// The parts in the order in which this node lists them: its own first.
    fn listed_parts(&self) -> Vec<Part> {
        let mut parts = self.parts();
        parts.sort_by_key(|part| *part != Part::Node(None));
        parts
    }

    /// Queries all parts, and reads their replies. What nodes own alone is queried on all at once.
    async fn query_parts<'q, T, F: Future<Output = T>>(
        &'q self,
        query: impl Fn(Option<&'q [u8]>) -> NodeQuery<'q>,
        read: impl Fn(Result<PendingReply, Error>) -> F,
    ) -> Vec<T> {
        loop {
            let parts = self.listed_parts();
            let mut pending = Vec::new();
            for part in &parts {
                pending.push(match part {
                    Part::Node(node) => Ok(self.query_node(*node, &query(None))),
                    Part::Replicas(row) => self.query_row(*row, &query).await,
                });
            }
            let mut replies = Vec::new();
            for reply in pending {
                replies.push(read(reply).await);
            }
            self.learn_splits().await;
            if self.parts().len() == parts.len() {
                return replies;
            }
        }
    }

    /// Lists the bucket names of database 0 of all nodes.
    pub fn buckets(&self) -> BucketPages {
        self.buckets_from(b"", 0)
    }

    /// Lists the bucket names of all nodes that begin with `prefix`, from a [`BucketPages::position`] on.
    pub fn buckets_from(&self, prefix: &[u8], position: u64) -> BucketPages {
        let parts = self.part_stride();
        let listed_parts = (position % parts) as usize;
        let pattern = (!prefix.is_empty()).then(|| glob::with_prefix(prefix));
        BucketPages {
            cluster: self.clone(),
            pattern,
            page_size: ScanFilter::default().count,
            listed_parts,
            cursor: position / parts,
        }
    }

    /// The name of a random bucket of a database. Parts are weighted by their number of buckets.
    pub async fn random_name(&self, database: Database) -> Result<Option<Box<[u8]>>, Error> {
        let seed = getrandom::u64().unwrap_or_else(|_| kv::time::now_ms());
        let (mut chosen, mut total) = (None, 0);
        let query = |range| NodeQuery::RandomName { range, database, seed };
        for reply in self.query_parts(query, |reply| async { reply?.random_name().await }).await {
            let RandomName { name: Some(name), bucket_count } = reply? else { continue };
            // The name of a part replaces the chosen one with a probability: its share of all buckets so far.
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
        let query = |range| NodeQuery::BucketCounts { range };
        for counts in self.query_parts(query, |reply| async { reply?.counts(DATABASES).await }).await {
            totals.iter_mut().zip(counts?).for_each(|(total, count)| *total += count);
        }
        Ok(totals)
    }

    /// Ends all buckets of a database, or of all of them, on all nodes. If a node is known to be down that
    /// owns some alone, or a row has no leader, none is touched.
    pub async fn flush(&self, database: Option<Database>) -> Result<(), Error> {
        self.learn_splits().await;
        let peers = self.owners_alone.iter().copied().flatten();
        if let Some(down) = peers.filter_map(|peer| self.peers[peer].down_error()).next() {
            return Err(down);
        }
        for replicas in self.replicas.iter() {
            Search::default().find(replicas).await?;
        }
        let query = |range| NodeQuery::Flush { range, database };
        if let [Part::Node(None)] = self.parts()[..] {
            return self.query_local(&query(None)).done().await;
        }
        let (mut flushed, mut failed) = (Vec::new(), Vec::new());
        let mut note = |what: String, result: Result<(), Error>| match result {
            Ok(()) => flushed.push(what),
            Err(error) => failed.push(error),
        };
        let nodes = self.listed_parts().into_iter().filter_map(|part| match part {
            Part::Node(node) => Some(self.query_node(node, &query(None))),
            Part::Replicas(_) => None,
        });
        for reply in nodes.collect::<Vec<_>>() {
            let node = reply.node.to_string();
            note(node, reply.done().await);
        }
        for (row, replicas) in self.replicas.iter().enumerate() {
            let result = self.query_row(row, query).await.map(drop);
            note(replicas.text().to_owned(), result);
        }
        match (&failed[..], &flushed[..]) {
            ([], _) => Ok(()),
            ([error], []) => Err(error.clone()),
            _ => {
                let failed: Vec<_> = failed.iter().map(Error::to_string).collect();
                Err(Error::PartlyFlushed { failed: failed.join("; "), flushed: flushed.join(", ") })
            }
        }
    }

    /// The size of each part, with the node that replied; that of this node comes first.
    pub async fn stats(&self) -> Vec<(NodeName, Result<StoreStats, Error>)> {
        let stats = |reply: Result<PendingReply, Error>| async {
            match reply {
                Ok(reply) => (reply.node.clone(), reply.stats().await),
                Err(error) => (self.node_name().clone(), Err(error)),
            }
        };
        self.query_parts(|range| NodeQuery::Stats { range }, stats).await
    }
}

/// The bucket names of database 0 of all nodes, page by page: first those that this node owns alone.
#[derive(Debug)]
pub struct BucketPages {
    cluster: Cluster,
    pattern: Option<Vec<u8>>,
    /// Names that are looked at for a page.
    page_size: usize,
    /// The number of parts whose names have all been listed.
    listed_parts: usize,
    cursor: u64,
}

impl BucketPages {
    /// Pages for each of which this number of names is looked at.
    #[must_use]
    pub fn with_page_size(self, page_size: usize) -> BucketPages {
        BucketPages { page_size, ..self }
    }

    /// The next page of names, in no particular order; `None` after the last. An error names a node or range
    /// that could not be queried; the listing continues with the next one.
    pub async fn next(&mut self) -> Option<Result<Vec<Box<[u8]>>, Error>> {
        let part = *self.cluster.listed_parts().get(self.listed_parts)?;
        let pattern = self.pattern.as_deref();
        let filter = ScanFilter { pattern, count: self.page_size, ..ScanFilter::default() };
        let page = self.cluster.scan_part(part, self.cursor, filter).await;
        self.cursor = page.as_ref().map_or(0, |page| page.next);
        if self.cursor == 0 {
            self.listed_parts += 1;
            if self.listed_parts == self.cluster.parts().len() {
                self.cluster.learn_splits().await;
            }
        }
        Some(page.map(|page| page.names))
    }

    /// Where the next page begins; `None` after the last.
    pub fn position(&self) -> Option<u64> {
        let (stride, listed_parts) = (self.cluster.part_stride(), self.listed_parts as u64);
        let is_over = self.listed_parts >= self.cluster.parts().len();
        (!is_over).then(|| self.cursor.saturating_mul(stride).saturating_add(listed_parts))
    }
}
