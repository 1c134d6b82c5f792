//! The table in which requests look up the owner of a bucket: the one place that looks at a bucket's name.
//!
//! While the routes of a linked peer differ from those of this node, neither node serves the names
//! concerned. A lookup pays for that only while there is such a difference.

use crate::{
    error::Error,
    limits::DIFFERENCES_SHOWN,
    node_name::NodeName,
    routing::{
        Agreement, Route, Routes,
        placement::{PlacedRow, PlacementTable},
        range::NameRange,
    },
};
use std::sync::{
    PoisonError, RwLock,
    atomic::{AtomicU8, Ordering::Relaxed},
};

/// Where the requests to a bucket go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    /// To the volatile buckets of this node.
    Local,
    /// To the durable range of this index, in the order of the names of those of which this node has the only
    /// copy.
    Range(usize),
    /// To the leader of the row of this index among those with several nodes.
    Replicated(usize),
    /// To the peer of this index.
    Peer(usize),
    /// Nowhere: no route covers the bucket.
    Nowhere,
    /// Nowhere: this node and the peer of this index disagree on the owner.
    Disputed(usize),
}

/// The routes of this node, and how those of its peers differ.
#[derive(Debug)]
pub(crate) struct RoutingTable {
    routes: Routes,
    /// The nodes that were known when it was made; some may have been added since.
    peers: Box<[NodeName]>,
    /// The spans that have one owner.
    alone: Box<[Span]>,
    /// All spans in the order of their names. The newest come last: others may still look at those before.
    spans: boxcar::Vec<Box<[Span]>>,
    /// How a name is looked up.
    lookup: AtomicU8,
    disputes: RwLock<Vec<Dispute>>,
}

/// Names, and where the requests to them go.
type Span = (NameRange, Destination);

/// Every bucket is a volatile one of this node.
const ALL_LOCAL: u8 = 0;
/// Every bucket is in the only span.
const ONE_SPAN: u8 = 1;
/// The span of the name decides.
const BY_SPAN: u8 = 2;
/// The span of the name decides, unless the name is disputed.
const WITH_DISPUTES: u8 = 3;

/// The names on whose owner this node and a linked peer disagree.
#[derive(Debug)]
struct Dispute {
    peer: usize,
    ranges: Vec<NameRange>,
}

impl RoutingTable {
    /// The table of the node `local`; the indices of `peers` are those of the cluster.
    pub(crate) fn new(
        routes: Routes,
        local: &NodeName,
        peers: impl IntoIterator<Item = NodeName>,
        has_ranges: bool,
        placements: &PlacementTable,
    ) -> Result<RoutingTable, Error> {
        let peers: Box<[NodeName]> = peers.into_iter().collect();
        let peer_of = |node: &NodeName| {
            let known = || peers.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
            let peer = peers.iter().position(|peer| peer == node);
            peer.ok_or_else(|| Error::UnknownNode { node: node.shared(), known: known() })
        };
        let mut ranges = 0..;
        let destination = |span: &Route| {
            let destination = match span.has(local) {
                true if has_ranges && span.is_durable() => {
                    Destination::Range(ranges.next().expect("there is no last one"))
                }
                true => Destination::Local,
                false => Destination::Peer(peer_of(&span.nodes()[0])?),
            };
            Ok((span.range.clone(), destination))
        };
        let alone = routes.spans().iter().filter(|span| !span.is_replicated()).map(destination);
        let alone = alone.collect::<Result<_, Error>>()?;
        let (lookup, disputes, spans) = Default::default();
        let table = RoutingTable { routes, peers, alone, spans, lookup, disputes };
        table.set_rows(placements.rows.iter().filter(|row| !row.is_meta()));
        Ok(table)
    }

    /// The routes of this node.
    pub(crate) fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The rows with replicas have these names from now on, in their order. Only one task says so.
    pub(crate) fn set_rows<'r>(&self, rows: impl IntoIterator<Item = &'r PlacedRow>) {
        let rows = rows.into_iter().enumerate();
        let rows = rows.map(|(index, row)| (row.range.clone(), Destination::Replicated(index)));
        let mut spans: Vec<_> = self.alone.iter().cloned().chain(rows).collect();
        spans.sort_by(|(one, _), (other, _)| one.start.cmp(&other.start));
        self.spans.push(spans.into());
        self.change_disputes(|_| {});
    }

    fn spans(&self) -> &[Span] {
        &self.spans[self.spans.count() - 1]
    }

    /// The nodes that own something alone, in the order of their names: peers by their index, and this one.
    pub(crate) fn owners_alone(&self, local: &NodeName) -> Vec<Option<usize>> {
        let name_of = |node: &Option<usize>| node.map_or(local, |peer| &self.peers[peer]);
        let owns_alone =
            |node: &Option<usize>| self.routes.spans_of(name_of(node)).any(|route| !route.is_replicated());
        let mut nodes: Vec<_> = (0..self.peers.len()).map(Some).chain([None]).filter(owns_alone).collect();
        nodes.sort_by(|one, other| name_of(one).cmp(name_of(other)));
        nodes
    }

    /// Whether every bucket is a volatile one of this node.
    #[inline]
    pub(crate) fn is_all_local(&self) -> bool {
        self.lookup.load(Relaxed) == ALL_LOCAL
    }

    /// Where the requests to the bucket of this name go.
    #[inline]
    pub(crate) fn look_up(&self, name: &[u8]) -> Destination {
        if self.is_all_local() { Destination::Local } else { self.look_up_span(name) }
    }

    fn look_up_span(&self, name: &[u8]) -> Destination {
        match self.lookup.load(Relaxed) {
            ONE_SPAN => return self.spans()[0].1,
            WITH_DISPUTES => {
                let disputes = self.disputes.read().unwrap_or_else(PoisonError::into_inner);
                let contains = |dispute: &&Dispute| dispute.ranges.iter().any(|range| range.contains(name));
                if let Some(dispute) = disputes.iter().find(contains) {
                    return Destination::Disputed(dispute.peer);
                }
            }
            _ => {}
        }
        self.configured(name)
    }

    /// Where the requests to the bucket go by the routes of this node, whatever its peers say.
    pub(crate) fn configured(&self, name: &[u8]) -> Destination {
        let spans = self.spans();
        let last = spans.partition_point(|(range, _)| *range.start <= *name).checked_sub(1);
        let span = last.map(|last| &spans[last]).filter(|(range, _)| range.contains(name));
        span.map_or(Destination::Nowhere, |(_, destination)| *destination)
    }

    fn lookup_without_disputes(&self) -> u8 {
        let is_local = |(_, destination): &Span| *destination == Destination::Local;
        match self.spans() {
            _ if !self.routes.uncovered().is_empty() => BY_SPAN,
            spans if spans.iter().all(is_local) => ALL_LOCAL,
            [_] => ONE_SPAN,
            _ => BY_SPAN,
        }
    }

    /// Refuses the names on whose owner the routes of the linked peer of this index differ, until the guard
    /// is dropped. `None` if there are none. See [`Routes::differences`].
    pub(crate) fn dispute(
        &self,
        peer: usize,
        routes: &Routes,
        agreement: Agreement,
    ) -> Option<DisputeGuard<'_>> {
        let ranges = self.routes.differences(routes, agreement);
        if ranges.is_empty() {
            return None;
        }
        self.change_disputes(|disputes| disputes.push(Dispute { peer, ranges }));
        Some(DisputeGuard { table: self, peer })
    }

    /// A description of the names that this node and the peer dispute.
    pub(crate) fn disputed_names(&self, peer: usize) -> Option<String> {
        let disputes = self.disputes.read().unwrap_or_else(PoisonError::into_inner);
        let dispute = disputes.iter().find(|dispute| dispute.peer == peer)?;
        let shown: Vec<_> = dispute.ranges.iter().take(DIFFERENCES_SHOWN).map(NameRange::to_string).collect();
        let more = match dispute.ranges.len() - shown.len() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        Some(format!("{}{more}", shown.join(", ")))
    }

    fn change_disputes(&self, change: impl FnOnce(&mut Vec<Dispute>)) {
        let mut disputes = self.disputes.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut disputes);
        let lookup = if disputes.is_empty() { self.lookup_without_disputes() } else { WITH_DISPUTES };
        self.lookup.swap(lookup, Relaxed);
    }
}

/// Names of a linked peer are refused until it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct DisputeGuard<'a> {
    table: &'a RoutingTable,
    peer: usize,
}

impl Drop for DisputeGuard<'_> {
    fn drop(&mut self) {
        self.table.change_disputes(|disputes| disputes.retain(|dispute| dispute.peer != self.peer));
    }
}
