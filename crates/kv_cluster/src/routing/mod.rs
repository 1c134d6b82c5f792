//! The routes: which node owns a bucket. `table` answers it for requests.

mod range;
pub(crate) mod table;

use crate::{
    error::{RouteError, escape_name},
    limits::ROUTES_BYTES,
    node_name::NodeName,
    routing::range::NameRange,
};
use kv_raft::Span;
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
}

/// Disjoint spans of names in the order of the names, each with its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routes {
    spans: Vec<Route>,
}

/// One span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    #[serde(skip)]
    buckets: String,
    range: NameRange,
    owner: NodeName,
    #[serde(skip)]
    is_durable: bool,
}

impl Route {
    /// The names: the row as configured, or in words if rows before it have taken some of its names.
    pub fn buckets(&self) -> &str {
        &self.buckets
    }

    /// The node that owns it.
    pub fn owner(&self) -> &NodeName {
        &self.owner
    }

    /// Whether it is durable if its owner has a data directory.
    pub fn is_durable(&self) -> bool {
        self.is_durable
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
            let owner = owner(&row.nodes, known).map_err(invalid)?;
            check_overlaps(buckets, &range, &earlier).map_err(invalid)?;
            let left = range.without(spans.iter().map(|span: &Route| &span.range));
            if left.is_empty() {
                let problem =
                    format!("\"{buckets}\" can never match: the rows before it contain all its names");
                return Err(invalid((problem, "remove it, or write it before them".into())));
            }
            for piece in left {
                let buckets = if piece == range { buckets.to_owned() } else { piece.to_string() };
                spans.push(Route { buckets, range: piece, owner: owner.clone(), is_durable: row.durable });
            }
            spans.sort_by(|one, other| one.range.start.cmp(&other.range.start));
            earlier.push((buckets, range));
        }
        check_size(&spans, rows.len())?;
        Ok(Routes { spans })
    }

    /// One span: every bucket belongs to `owner`.
    pub fn all(owner: NodeName) -> Routes {
        let route = Route { buckets: "..".into(), range: NameRange::all(), owner, is_durable: true };
        Routes { spans: vec![route] }
    }

    /// The node that owns the bucket.
    pub fn owner(&self, bucket: &[u8]) -> Option<&NodeName> {
        self.span(bucket).map(|span| &self.spans[span].owner)
    }

    /// The spans in order.
    pub fn spans(&self) -> &[Route] {
        &self.spans
    }

    /// The spans of a node that are durable if it has a data directory, in order.
    pub fn durable_spans(&self, node: &NodeName) -> Vec<Span> {
        self.spans_of(node).filter(|route| route.is_durable).map(Route::span).collect()
    }

    /// The spans of a node that are volatile in any case, in order.
    pub(crate) fn volatile_spans(&self, node: &NodeName) -> Vec<Span> {
        self.spans_of(node).filter(|route| !route.is_durable).map(Route::span).collect()
    }

    fn spans_of(&self, node: &NodeName) -> impl Iterator<Item = &Route> {
        self.spans.iter().filter(move |route| route.owner == *node)
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

    /// The names on whose owner the two differ.
    pub(crate) fn differences(&self, other: &Routes) -> Vec<NameRange> {
        let ranges = || self.ranges().chain(other.ranges());
        let ends = ranges().filter_map(|range| range.end.as_deref());
        let mut bounds: Vec<&[u8]> =
            ranges().map(|range| &*range.start).chain(ends).chain([&b""[..]]).collect();
        bounds.sort_unstable();
        bounds.dedup();
        let mut differences: Vec<NameRange> = Vec::new();
        for (index, start) in bounds.iter().enumerate() {
            if self.owner(start) == other.owner(start) {
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
        span.range.start.len() + end + span.owner.as_str().len() + SPAN_OVERHEAD_BYTES
    };
    let bytes: usize = spans.iter().map(size).sum();
    if bytes <= ROUTES_BYTES {
        return Ok(());
    }
    let problem = format!("the routes take {bytes} bytes; the limit is {ROUTES_BYTES}");
    Err(RouteError { row: rows - 1, problem, remedy: "write fewer rows, or shorter ends".into() })
}

/// Bytes of an encoded span beside its names: the lengths of three.
const SPAN_OVERHEAD_BYTES: usize = 16;

/// The one node that a row names, or a problem and what to write instead.
fn owner(nodes: &[String], known: &[NodeName]) -> Result<NodeName, (String, String)> {
    let names: Vec<_> = known.iter().map(NodeName::as_str).collect();
    let names = names.join(", ");
    let one = match nodes {
        [one] => one,
        [] => return Err(("nodes is empty".into(), format!("name the node that owns the range: {names}"))),
        many => {
            let problem =
                format!("{} nodes are named, and replicated ranges are not available yet", many.len());
            return Err((problem, format!("name one node, such as nodes = [\"{}\"]", many[0])));
        }
    };
    let node: NodeName = one.parse().map_err(|error| (format!("{error}"), format!("known are: {names}")))?;
    if !known.contains(&node) {
        let problem = format!("node \"{node}\" is not defined");
        return Err((problem, format!("add a [nodes.\"{node}\"] section, or name one of: {names}")));
    }
    Ok(node)
}

#[cfg(test)]
mod tests;
