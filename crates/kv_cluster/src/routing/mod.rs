//! The routing table: which node owns a bucket.

mod range;

use crate::{
    error::{RouteError, escape_name},
    node_name::NodeName,
    routing::range::Range,
};
use serde::Deserialize;

/// One row as the configuration writes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteRow {
    /// The range of names, such as `a..m`.
    pub buckets: String,
    /// The names of the nodes that own it.
    pub nodes: Vec<String>,
}

/// The rows in order; no two contain the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    rows: Vec<Route>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    buckets: String,
    range: Range,
    owner: NodeName,
}

impl Route {
    /// The range of names as configured.
    pub fn buckets(&self) -> &str {
        &self.buckets
    }

    /// The node that owns it.
    pub fn owner(&self) -> &NodeName {
        &self.owner
    }
}

impl Routes {
    /// Parses the rows of a configuration; `known` lists the nodes that it defines.
    pub fn new(rows: &[RouteRow], known: &[NodeName]) -> Result<Routes, RouteError> {
        let mut routes: Vec<Route> = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            let invalid = |problem: String, remedy: String| RouteError { row: index, problem, remedy };
            let buckets = row.buckets.clone();
            let range = Range::parse(&buckets).map_err(|(problem, remedy)| {
                invalid(format!("\"{buckets}\" is not a range of buckets: {problem}"), remedy)
            })?;
            let owner = owner(&row.nodes, known).map_err(|(problem, remedy)| invalid(problem, remedy))?;
            for earlier in &routes {
                let Some(name) = range.overlap(&earlier.range) else { continue };
                let (name, other) = (escape_name(name), &earlier.buckets);
                let problem = format!("\"{buckets}\" overlaps \"{other}\": both contain the name \"{name}\"");
                let remedy =
                    format!("let \"{buckets}\" begin after the end of \"{other}\", or end before its start");
                return Err(invalid(problem, remedy));
            }
            routes.push(Route { buckets, range, owner });
        }
        Ok(Routes { rows: routes })
    }

    /// One row: every bucket belongs to `owner`.
    pub fn all(owner: NodeName) -> Routes {
        let range = Range::all();
        Routes { rows: vec![Route { buckets: "..".into(), range, owner }] }
    }

    /// The node that owns the bucket.
    pub fn owner(&self, bucket: &[u8]) -> Option<&NodeName> {
        self.row(bucket).map(|row| &self.rows[row].owner)
    }

    /// The rows in order.
    pub fn rows(&self) -> &[Route] {
        &self.rows
    }

    /// Descriptions of the names that no row contains; empty if there are none.
    pub fn uncovered(&self) -> Vec<String> {
        Range::uncovered(self.rows.iter().map(|row| &row.range)).iter().map(Range::to_string).collect()
    }

    /// The index of the first row that contains the bucket.
    pub(crate) fn row(&self, bucket: &[u8]) -> Option<usize> {
        self.rows.iter().position(|row| row.range.contains(bucket))
    }
}

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
