//! `[[routes]]`: which nodes own which buckets.

use super::{
    layers::{
        key::{Key, Section, Table},
        merged::Merged,
    },
    nodes::NodeSettings,
};
use crate::{limits::ROUTE_ERRORS, suggest::nearest};
use kv_cluster::{NodeName, RouteError, RouteRow, Routes};
use serde::{Deserialize, de::IgnoredAny};
use std::collections::{BTreeMap, BTreeSet};

const TABLE: Table = Table::Rows("routes");

pub(super) const SECTION: &Section = &Section {
    table: TABLE,
    help: "Which node owns which buckets: the first row that fits. Buckets that no row fits are refused.",
    keys: &[
        Key::string("buckets").example("..m").help(
            "\"a..m\" includes every name that begins with m. Ends may be longer, ca..cm, or open, ..m, n.. or ..",
        ),
        Key::string_list("nodes").example("foo@127.0.0.1").help(
            "The node that owns these buckets; or three or five, each with a copy, of which a majority must run.",
        ),
        Key::boolean("durable")
            .example("false")
            .help("false: these buckets are volatile, even if their node has a data_dir. Otherwise they are durable."),
        Key::string("reads").example("confirmed").help(
            "confirmed: the leader of several nodes asks a majority before each read. Otherwise, lease.",
        ),
    ],
};

#[derive(Deserialize)]
struct RouteTable {
    #[serde(default)]
    buckets: String,
    #[serde(default)]
    nodes: Vec<String>,
    durable: Option<bool>,
    reads: Option<String>,
}

const LEASE: &str = "lease";
const CONFIRMED: &str = "confirmed";

/// What the rows say.
#[derive(Debug)]
pub(super) struct RouteSettings {
    pub(super) routes: Routes,
    /// How many rows they are; a row with holes is several.
    pub(super) rows: usize,
    /// Whether there are none, and the node joins the cluster of another one, which has them.
    pub(super) joins: bool,
}

/// The routes. A single node without routes owns everything; one of several has those of their cluster.
pub(super) fn resolve(merged: &mut Merged, node: &NodeSettings) -> RouteSettings {
    let rows: Vec<RouteTable> = merged.read(TABLE);
    let (count, own) = (rows.len().max(1), &node.name);
    let nodes: BTreeMap<String, IgnoredAny> = merged.read(Table::Nodes);
    if !rows.is_empty() {
        let nodes: BTreeSet<&str> = nodes.keys().map(String::as_str).chain([own.as_str()]).collect();
        return RouteSettings { routes: resolve_rows(merged, own, &nodes, rows), rows: count, joins: false };
    }
    let joins = nodes.len() > 1;
    if joins && node.data_dir.is_none() {
        let row = format!("[[routes]]\nbuckets = \"..\"\nnodes = [{:?}]", own.as_str());
        merged.error(
            &["routes"],
            format!(
                "there are several nodes and no routes; give {own} a data_dir, so that it joins the cluster of \
                 the others, or write such rows:\n{row}"
            ),
        );
    }
    RouteSettings { routes: Routes::all(own.clone()), rows: count, joins }
}

fn resolve_rows(
    merged: &mut Merged,
    own: &NodeName,
    nodes: &BTreeSet<&str>,
    rows: Vec<RouteTable>,
) -> Routes {
    report_unknown_nodes(merged, &rows, nodes);
    let known: Vec<NodeName> = nodes.iter().filter_map(|name| name.parse().ok()).collect();
    let mut rows: Vec<RouteRow> = rows
        .into_iter()
        .enumerate()
        .map(|(index, RouteTable { buckets, nodes: names, durable, reads })| {
            // An unknown one has been reported.
            let is_known = |name: &str| known.iter().any(|known| known.as_str() == name);
            let names = names.into_iter().map(|name| if is_known(&name) { name } else { own.to_string() });
            RouteRow {
                buckets,
                nodes: names.collect(),
                durable: durable.unwrap_or(true),
                confirms_reads: confirms_reads(merged, index, reads.as_deref()),
            }
        })
        .collect();
    let mut indices: Vec<usize> = (0..rows.len()).collect();
    for _ in 0..ROUTE_ERRORS {
        match Routes::new(&rows, &known) {
            Ok(routes) => return routes,
            Err(error) => {
                let (row, index) = (rows.remove(error.row), indices.remove(error.row));
                report(merged, index, &row, &error);
            }
        }
    }
    Routes::all(own.clone())
}

/// Whether reads of the row of this index are confirmed. If one node alone has it, it has nobody to ask.
fn confirms_reads(merged: &mut Merged, index: usize, reads: Option<&str>) -> bool {
    match reads.unwrap_or(LEASE) {
        LEASE => false,
        CONFIRMED => true,
        other => {
            let message = format!("invalid reads: {other:?}; write \"lease\" or \"confirmed\"");
            merged.error(&["routes", &index.to_string(), "reads"], message);
            false
        }
    }
}

fn report_unknown_nodes(merged: &mut Merged, rows: &[RouteTable], nodes: &BTreeSet<&str>) {
    for (index, row) in rows.iter().enumerate() {
        for unknown in row.nodes.iter().filter(|name| !nodes.contains(name.as_str())) {
            let remedy = match nearest(unknown, nodes.iter().copied()) {
                Some(name) => format!("did you mean {name:?}?"),
                None => format!("add [nodes.{unknown:?}]"),
            };
            let path = ["routes", &index.to_string(), "nodes"];
            merged.error(&path, format!("unknown node {unknown:?}; {remedy}"));
        }
    }
}

fn report(merged: &mut Merged, index: usize, row: &RouteRow, error: &RouteError) {
    let key = if row.nodes.len() == 1 { "buckets" } else { "nodes" };
    merged.error(&["routes", &index.to_string(), key], error.to_string());
}
