//! The routes: which node owns a bucket. `table` answers it for requests.

pub(crate) mod nodes;
pub(crate) mod placement;
mod range;
pub(crate) mod table;
pub(crate) mod whole;

use crate::{
    error::{RouteError, escape_name},
    limits::ROUTES_BYTES,
    node_name::NodeName,
    routing::range::NameRange,
};
use kv_raft::{ReplicaSpan, Span};
use serde::{Deserialize, Serialize};

/// One row as the configuration writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRow {
    /// The range of names, such as `a..m`.
    pub buckets: String,
    /// The names of the nodes that own it.
    pub nodes: Vec<String>,
    /// Whether it is durable on a node with a data directory.
    pub durable: bool,
    /// Whether the leader of several nodes asks the others before it reads.
    pub confirms_reads: bool,
}

/// Disjoint spans of names in the order of the names, each with its nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routes {
    spans: Vec<Route>,
}

/// Whether two nodes have agreed on where the replicas of rows are that have some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// Not yet: what their configurations say is compared.
    NotYet,
    /// They have, or will.
    Same,
    /// Each of them has agreed with others on something else.
    Different,
}

impl Agreement {
    /// Of the nodes of two clusters; 0 for a node that knows of none.
    pub(crate) fn of(one: u64, other: u64) -> Agreement {
        match (one, other) {
            (0, 0) => Agreement::NotYet,
            (0, _) | (_, 0) => Agreement::Same,
            (one, other) if one == other => Agreement::Same,
            _ => Agreement::Different,
        }
    }
}

/// One span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    #[serde(skip)]
    buckets: String,
    range: NameRange,
    /// In the order of their names, so that rows with the same nodes are equal.
    nodes: Box<[NodeName]>,
    #[serde(skip)]
    is_durable: bool,
    #[serde(skip)]
    confirms_reads: bool,
}

impl Route {
    /// The names: the row as configured, or in words if rows before it have taken some of its names.
    pub fn buckets(&self) -> &str {
        &self.buckets
    }

    /// The row that has these names and no others; `None` if none can be written.
    pub fn row_text(&self) -> Option<String> {
        self.range.row_text()
    }

    /// Whether its leader asks the others before it reads, if it has replicas.
    pub fn confirms_reads(&self) -> bool {
        self.confirms_reads
    }

    /// The nodes that own it, in the order of their names: one, or those that have a replica each.
    pub fn nodes(&self) -> &[NodeName] {
        &self.nodes
    }

    /// Whether several nodes have a replica each.
    pub fn is_replicated(&self) -> bool {
        self.nodes.len() > 1
    }

    /// Whether it is durable if its owner has a data directory. One with replicas is.
    pub fn is_durable(&self) -> bool {
        self.is_durable
    }

    /// Whether the node owns it, or has a replica.
    pub fn has(&self, node: &NodeName) -> bool {
        self.nodes.contains(node)
    }

    fn span(&self) -> Span {
        let NameRange { start, end } = &self.range;
        Span { start: start.clone(), end: end.clone(), text: self.buckets.as_str().into() }
    }
}

impl Routes {
    /// Parses the rows of a configuration; `known` lists the nodes that it defines. The first row that
    /// contains a name decides.
    pub fn new(rows: &[RouteRow], known: &[NodeName]) -> Result<Routes, RouteError> {
        let (mut spans, mut earlier) = (Vec::new(), Vec::new());
        for (index, row) in rows.iter().enumerate() {
            let invalid = |(problem, remedy)| RouteError { row: index, problem, remedy };
            let buckets = row.buckets.as_str();
            let range = NameRange::parse(buckets).map_err(|(problem, remedy)| {
                invalid((format!("\"{buckets}\" is not a range of buckets: {problem}"), remedy))
            })?;
            let nodes = nodes_of(row, known).map_err(invalid)?;
            check_overlaps(buckets, &range, &earlier).map_err(invalid)?;
            let left = range.without(spans.iter().map(|span: &Route| &span.range));
            if left.is_empty() {
                let problem =
                    format!("\"{buckets}\" can never match: the rows before it contain all its names");
                return Err(invalid((problem, "remove it, or write it before them".into())));
            }
            for piece in left {
                let buckets = if piece == range { buckets.to_owned() } else { piece.to_string() };
                spans.push(Route {
                    buckets,
                    range: piece,
                    nodes: nodes.clone(),
                    is_durable: row.durable,
                    confirms_reads: row.confirms_reads,
                });
            }
            spans.sort_by(|one, other| one.range.start.cmp(&other.range.start));
            earlier.push((buckets, range));
        }
        check_size(&spans, rows.len())?;
        Ok(Routes { spans })
    }

    /// One span: every bucket belongs to `owner`.
    pub fn all(owner: NodeName) -> Routes {
        let route = Route {
            buckets: "..".into(),
            range: NameRange::all(),
            nodes: [owner].into(),
            is_durable: true,
            confirms_reads: false,
        };
        Routes { spans: vec![route] }
    }

    /// The nodes that own the bucket; see [`Route::nodes`].
    pub fn nodes(&self, bucket: &[u8]) -> Option<&[NodeName]> {
        self.route(bucket).map(Route::nodes)
    }

    fn route(&self, bucket: &[u8]) -> Option<&Route> {
        self.span(bucket).map(|span| &self.spans[span])
    }

    /// The spans in order.
    pub fn spans(&self) -> &[Route] {
        &self.spans
    }

    /// The spans of a node that are durable if it has a data directory, in order.
    pub fn durable_spans(&self, node: &NodeName) -> Vec<Span> {
        self.spans_of(node).filter(|route| route.is_durable).map(Route::span).collect()
    }

    /// The durable ranges of which a node has the only copy, in order.
    pub(crate) fn ranges_alone(&self, node: &NodeName) -> Vec<ReplicaSpan> {
        let its = self.spans_of(node).filter(|route| route.is_durable && !route.is_replicated());
        its.map(Route::span).map(ReplicaSpan::alone).collect()
    }

    /// The spans of a node that are volatile in any case, in order.
    pub(crate) fn volatile_spans(&self, node: &NodeName) -> Vec<Span> {
        self.spans_of(node).filter(|route| !route.is_durable).map(Route::span).collect()
    }

    /// The rows of a node, those included of which it has a replica, in order.
    pub fn spans_of(&self, node: &NodeName) -> impl Iterator<Item = &Route> {
        self.spans.iter().filter(move |route| route.has(node))
    }

    /// Descriptions of the names that no span contains; empty if there are none.
    pub fn uncovered(&self) -> Vec<String> {
        NameRange::all().without(self.ranges()).iter().map(NameRange::to_string).collect()
    }

    /// Whether the spans are in order and disjoint, as they are unless a peer has sent others.
    pub(crate) fn is_ordered(&self) -> bool {
        let is_before = |pair: &[Route]| {
            let (one, other) = (&pair[0].range, &pair[1].range);
            one.end.as_ref().is_some_and(|end| *end <= other.start)
        };
        self.spans.windows(2).all(is_before)
    }

    /// The names on whose nodes the two differ.
    pub(crate) fn differences(&self, other: &Routes, agreement: Agreement) -> Vec<NameRange> {
        let is_same = |name: &[u8]| match (self.route(name), other.route(name), agreement) {
            (Some(one), Some(other), Agreement::Same) if one.is_replicated() => other.is_replicated(),
            (Some(one), Some(other), Agreement::Different) if one.is_replicated() => !other.is_replicated(),
            (one, other, _) => one.map(Route::nodes) == other.map(Route::nodes),
        };
        let ranges = || self.ranges().chain(other.ranges());
        let ends = ranges().filter_map(|range| range.end.as_deref());
        let mut bounds: Vec<&[u8]> =
            ranges().map(|range| &*range.start).chain(ends).chain([&b""[..]]).collect();
        bounds.sort_unstable();
        bounds.dedup();
        let mut differences: Vec<NameRange> = Vec::new();
        for (index, start) in bounds.iter().enumerate() {
            if is_same(start) {
                continue;
            }
            let end = bounds.get(index + 1).map(|end| Box::from(*end));
            match differences.last_mut() {
                Some(last) if last.end.as_deref() == Some(*start) => last.end = end,
                _ => differences.push(NameRange { start: Box::from(*start), end }),
            }
        }
        differences
    }

    #[cfg(test)]
    pub(crate) fn reversed(mut self) -> Routes {
        self.spans.reverse();
        self
    }

    fn ranges(&self) -> impl Iterator<Item = &NameRange> {
        self.spans.iter().map(|span| &span.range)
    }

    /// The index of the span that contains the bucket.
    fn span(&self, bucket: &[u8]) -> Option<usize> {
        let last = self.spans.partition_point(|span| *span.range.start <= *bucket).checked_sub(1)?;
        self.spans[last].range.contains(bucket).then_some(last)
    }
}

/// Checks that the range has names of its own, and contains all or none of the names of each earlier one.
fn check_overlaps(
    buckets: &str,
    range: &NameRange,
    earlier: &[(&str, NameRange)],
) -> Result<(), (String, String)> {
    for (other, earlier) in earlier {
        let Some(name) = range.overlap(earlier) else { continue };
        if earlier.includes(range) {
            let problem =
                format!("\"{buckets}\" can never match: \"{other}\" before it contains all its names");
            return Err((problem, format!("write \"{buckets}\" before \"{other}\", or remove it")));
        }
        if !range.includes(earlier) {
            let name = escape_name(name);
            let problem = format!("\"{buckets}\" overlaps \"{other}\": both contain the name \"{name}\"");
            let remedy =
                format!("let \"{buckets}\" begin after the end of \"{other}\", or end before its start");
            return Err((problem, remedy));
        }
    }
    Ok(())
}

/// Checks that the spans can be sent to a peer.
fn check_size(spans: &[Route], rows: usize) -> Result<(), RouteError> {
    let size = |span: &Route| {
        let end = span.range.end.as_ref().map_or(0, |end| end.len());
        let nodes: usize = span.nodes.iter().map(|node| node.as_str().len() + NODE_OVERHEAD_BYTES).sum();
        span.range.start.len() + end + nodes + SPAN_OVERHEAD_BYTES
    };
    let bytes: usize = spans.iter().map(size).sum();
    if bytes <= ROUTES_BYTES {
        return Ok(());
    }
    let problem = format!("the routes take {bytes} bytes; the limit is {ROUTES_BYTES}");
    Err(RouteError { row: rows - 1, problem, remedy: "write fewer rows, or shorter ends".into() })
}

/// Bytes of an encoded span beside its names: their lengths, and how many nodes there are.
const SPAN_OVERHEAD_BYTES: usize = 16;
/// The same of each node.
const NODE_OVERHEAD_BYTES: usize = 3;

/// The nodes that a row names, in the order of their names, or a problem and what to write instead.
fn nodes_of(row: &RouteRow, known: &[NodeName]) -> Result<Box<[NodeName]>, (String, String)> {
    let names: Vec<_> = known.iter().map(NodeName::as_str).collect();
    let names = names.join(", ");
    let node = |one: &String| {
        let node: NodeName =
            one.parse().map_err(|error| (format!("{error}"), format!("known are: {names}")))?;
        if !known.contains(&node) {
            let problem = format!("node \"{node}\" is not defined");
            return Err((problem, format!("add a [nodes.\"{node}\"] section, or name one of: {names}")));
        }
        Ok(node)
    };
    let mut nodes: Vec<NodeName> = row.nodes.iter().map(node).collect::<Result<_, _>>()?;
    nodes.sort();
    if let Some(twice) = nodes.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err((format!("node \"{}\" is named twice", twice[0]), "name each node once".into()));
    }
    check_replicas(row, &nodes)?;
    match nodes.is_empty() {
        true => Err(("nodes is empty".into(), format!("name the node that owns the range: {names}"))),
        false => Ok(nodes.into()),
    }
}

/// Checks the number of nodes, and that a row with several is durable.
fn check_replicas(row: &RouteRow, nodes: &[NodeName]) -> Result<(), (String, String)> {
    let listed = |count: usize| {
        let names: Vec<_> = nodes.iter().take(count).map(|node| format!("{:?}", node.as_str())).collect();
        format!("nodes = [{}]", names.join(", "))
    };
    match nodes.len() {
        0 | 1 => Ok(()),
        2 => Err((
            "2 nodes are named: a write needs a majority, and of two copies that is both, so the loss of \
             either stops the range"
                .into(),
            format!("name one node, such as {}, or three", listed(1)),
        )),
        4 => Err((
            "4 nodes are named: they survive the loss of one node, as three do".into(),
            format!("name three nodes, such as {}, or five", listed(3)),
        )),
        6.. => Err((
            format!("{} nodes are named: a range has at most five copies", nodes.len()),
            format!("name three nodes, such as {}, or five", listed(3)),
        )),
        _ if !row.durable => Err((
            "durable = false and several nodes: what is copied to several nodes is durable on each".into(),
            format!("remove durable = false, or name one node, such as {}", listed(1)),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
