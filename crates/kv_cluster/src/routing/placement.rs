//! Where the replicas of each row are. The meta group, a range without buckets, keeps this table, and all
//! nodes follow it: what the configuration says of a row's nodes is only what the table begins with.
//!
//! A change names the nodes that a row is to have. Those that it had before leave when the replicas of the
//! new ones have all data and are the only members; until then requests may be served by any of both.
//!
//! A row may be split in two, whose replicas begin on the same nodes. Rows are never joined, so each keeps
//! its first name, by which nodes distinguish them, and its place in the table.

use crate::{
    error::escape_name,
    limits::ROWS,
    node_name::NodeName,
    routing::{Route, Routes, range::NameRange},
};
use kv_raft::{Placement, ReplicaSpan, Span};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// The rows whose replicas the meta group places, and those of the group itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlacementTable {
    /// Which cluster has agreed on it: a number at random; 0 while only the configuration is known.
    pub(crate) cluster: u64,
    /// How often it has been changed; 0 while only the configuration is known.
    pub(crate) epoch: u64,
    /// The first one is the meta group.
    pub(crate) rows: Vec<PlacedRow>,
}

/// The nodes of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedRow {
    buckets: Box<str>,
    pub(super) range: NameRange,
    /// The nodes that are to have replicas, in the order of their names.
    pub nodes: Box<[NodeName]>,
    /// The nodes whose replicas go when those of the others have the data.
    pub leaving: Box<[NodeName]>,
    /// Whether the replicas are still on their way, or the row is being split.
    pub is_moving: bool,
    /// Whether only the configuration has it, so that it may have no members yet.
    #[serde(skip)]
    pub(crate) is_new: bool,
}

/// A change of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TableChange {
    /// The row is to have its replicas on these nodes.
    Place { buckets: Box<str>, nodes: Vec<NodeName> },
    /// The replicas of the row are where they are to be, and nowhere else.
    Settle { row: PlacedRow },
    /// The row is to end before a name, with which another row begins.
    Split {
        buckets: Box<str>,
        #[serde(with = "serde_bytes")]
        at: Box<[u8]>,
    },
}

impl fmt::Display for TableChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TableChange::Place { buckets, nodes } => write!(f, "replicas of {buckets} on {}", names(nodes)),
            TableChange::Settle { row } => write!(f, "{} is on {}", row.buckets, row.node_names()),
            TableChange::Split { buckets, at } => write!(f, "{buckets} is split at \"{}\"", escape_name(at)),
        }
    }
}

/// The names of nodes, for people.
fn names(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

/// The name of the row of the meta group.
pub(crate) const META: &str = "meta";
/// The most nodes that the configuration gives the meta group.
const META_NODES: usize = 3;

impl PlacedRow {
    fn of(route: &Route) -> PlacedRow {
        let (buckets, nodes) = (route.buckets.as_str().into(), route.nodes.clone());
        PlacedRow {
            buckets,
            range: route.range.clone(),
            nodes,
            leaving: Box::default(),
            is_moving: false,
            is_new: true,
        }
    }

    /// The names, as the configuration writes them.
    pub fn buckets(&self) -> &str {
        &self.buckets
    }

    /// The row of a configuration that has these names and no others; `None` if none can be written.
    pub fn row_text(&self) -> Option<String> {
        self.range.row_text()
    }

    /// Whether it is the row of the meta group.
    pub fn is_meta(&self) -> bool {
        !self.span().has_names()
    }

    /// The first of its names.
    pub(crate) fn first_name(&self) -> &[u8] {
        &self.range.start
    }

    /// Whether both begin with the same name: one may not yet be split.
    pub(crate) fn is_like(&self, other: &PlacedRow) -> bool {
        self.first_name() == other.first_name() && self.is_meta() == other.is_meta()
    }

    /// Whether it has this name.
    pub(crate) fn has_name(&self, name: &[u8]) -> bool {
        self.range.contains(name)
    }

    /// The names of its nodes.
    pub(crate) fn node_names(&self) -> String {
        names(&self.nodes)
    }

    /// The nodes that have replicas, or will.
    pub(crate) fn all_nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.nodes.iter().chain(&self.leaving)
    }

    /// Whether the node has a replica, or will.
    pub(crate) fn has(&self, node: &NodeName) -> bool {
        self.all_nodes().any(|other| other == node)
    }

    pub(crate) fn span(&self) -> Span {
        let NameRange { start, end } = &self.range;
        Span { start: start.clone(), end: end.clone(), text: self.buckets.clone() }
    }

    pub(crate) fn placement(&self) -> Placement {
        let shared = |nodes: &[NodeName]| nodes.iter().map(NodeName::shared).collect::<Arc<[_]>>();
        Placement { nodes: shared(&self.nodes), leaving: shared(&self.leaving), span: None }
    }

    /// The replica of a node that has these routes.
    pub(crate) fn replica(&self, routes: &Routes) -> ReplicaSpan {
        let placement = Some(self.placement());
        let route = routes.spans.iter().find(|route| route.range.includes(&self.range));
        let confirms_reads = route.is_some_and(|route| route.confirms_reads);
        ReplicaSpan { span: self.span(), placement, may_be_new: self.is_new, confirms_reads }
    }

    /// Gives it other nodes.
    fn place(&mut self, mut nodes: Vec<NodeName>) -> Result<(), String> {
        nodes.sort();
        let buckets = &self.buckets;
        if let Some(twice) = nodes.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("node {} is named twice: name each node once", twice[0]));
        }
        match nodes.len() {
            1 | 3 | 5 => {}
            count => {
                return Err(format!(
                    "{count} nodes are named: a row has its replicas on one node, on three or on five, such as \
                     `replicas {buckets} {}`",
                    ["foo@a", "bar@b", "baz@c"].join(" ")
                ));
            }
        }
        let leaving = self.all_nodes().filter(|node| !nodes.contains(node)).cloned().collect();
        let nodes = nodes.into();
        self.is_moving |= nodes != self.nodes;
        (self.nodes, self.leaving) = (nodes, leaving);
        Ok(())
    }

    /// Ends it before a name. Returns the row that begins with that.
    fn split(&mut self, at: &[u8]) -> Result<PlacedRow, String> {
        let (buckets, name) = (&self.buckets, escape_name(at));
        if self.is_meta() {
            return Err("meta has no buckets, and is not split".into());
        }
        if self.is_moving {
            return Err(format!("{buckets} is being moved or split: try again when `plans` is empty"));
        }
        if !self.range.contains(at) || *at == *self.range.start {
            return Err(format!(
                "{buckets} cannot be split at \"{name}\": name the first bucket of the second part, which {buckets} \
                 has, and does not begin with"
            ));
        }
        let (low, high) = self.range.split(at);
        let texts = [&low, &high].map(NameRange::row_text);
        let [Some(low_text), Some(high_text)] = texts else {
            return Err(format!(
                "{buckets} cannot be split at \"{name}\": no row of [[routes]] could be written for its parts; \
                 choose a name of letters and digits"
            ));
        };
        self.is_moving = true;
        let high = PlacedRow { buckets: high_text.into(), range: high, ..self.clone() };
        (self.buckets, self.range) = (low_text.into(), low);
        Ok(high)
    }
}

impl PlacementTable {
    /// The table with which the nodes of a configuration begin; `None` if none of its rows has several nodes.
    pub(crate) fn of(routes: &Routes) -> Option<PlacementTable> {
        let rows: Vec<_> =
            routes.spans().iter().filter(|route| route.is_replicated()).map(PlacedRow::of).collect();
        let mut nodes: Vec<_> = rows.iter().flat_map(|row| row.nodes.iter().cloned()).collect();
        nodes.sort();
        nodes.dedup();
        nodes.truncate(META_NODES);
        let meta = PlacedRow {
            buckets: META.into(),
            range: NameRange { start: Box::default(), end: Some(Box::default()) },
            nodes: nodes.into(),
            leaving: Box::default(),
            is_moving: false,
            is_new: true,
        };
        (!rows.is_empty()).then(|| PlacementTable {
            cluster: 0,
            epoch: 0,
            rows: [meta].into_iter().chain(rows).collect(),
        })
    }

    /// The rows in the order of their names, the meta group first.
    pub(crate) fn sorted(&self) -> Vec<PlacedRow> {
        let mut rows = self.rows.clone();
        rows.sort_by(|one, other| {
            (!one.is_meta(), &one.range.start).cmp(&(!other.is_meta(), &other.range.start))
        });
        rows
    }

    /// The row that begins with the same name.
    pub(crate) fn row_like(&self, row: &PlacedRow) -> Option<&PlacedRow> {
        self.rows.iter().find(|other| other.is_like(row))
    }

    /// The rows of this route, which may have been split.
    pub(crate) fn rows_of(&self, route: &Route) -> impl Iterator<Item = &PlacedRow> {
        self.rows.iter().filter(|row| !row.is_meta() && route.range.includes(&row.range))
    }

    /// A row that is no part of those of a configuration.
    pub(crate) fn unknown_to(&self, configured: &PlacementTable) -> Option<&PlacedRow> {
        let is_part = |row: &PlacedRow, whole: &PlacedRow| {
            row.is_meta() == whole.is_meta() && whole.range.includes(&row.range)
        };
        self.rows.iter().rev().find(|row| !configured.rows.iter().any(|whole| is_part(row, whole)))
    }

    /// Its rows with whose first names none of another one begins.
    pub(crate) fn missing_in(&self, other: &PlacementTable) -> Vec<PlacedRow> {
        self.rows.iter().filter(|row| other.row_like(row).is_none()).cloned().collect()
    }

    /// Makes a change, or says why it cannot be made.
    pub(crate) fn change(&mut self, change: &TableChange) -> Result<(), String> {
        match change {
            TableChange::Place { buckets, nodes } => {
                let index = self.index_of(buckets).ok_or_else(|| self.unknown_row(buckets))?;
                self.check_next(index)?;
                self.rows[index].place(nodes.clone())
            }
            TableChange::Settle { row } => {
                if let Some(settled) = self.rows.iter_mut().find(|other| *other == row) {
                    (settled.leaving, settled.is_moving) = (Box::default(), false);
                }
                Ok(())
            }
            TableChange::Split { buckets, at } => {
                let index = self.index_of(buckets).ok_or_else(|| self.unknown_row(buckets))?;
                // The meta group is not one of them.
                if self.rows.len() > ROWS {
                    return Err(format!(
                        "there are {ROWS} rows with replicas, and a cluster may have no more"
                    ));
                }
                self.check_next(index)?;
                let part = self.rows[index].split(at)?;
                self.rows.push(part);
                Ok(())
            }
        }
    }

    /// Fails if the row that begins where this one ends is not settled: it may have been split off, and some
    /// of its replicas are yet to be made of those of this one.
    fn check_next(&self, index: usize) -> Result<(), String> {
        let row = &self.rows[index];
        let is_next =
            |next: &&PlacedRow| !next.is_meta() && Some(&next.range.start) == row.range.end.as_ref();
        match self.rows.iter().filter(|_| !row.is_meta()).find(is_next).filter(|next| next.is_moving) {
            None => Ok(()),
            Some(next) => Err(format!(
                "{}, behind {}, is being moved or split: try again when `plans` does not show it",
                next.buckets, row.buckets
            )),
        }
    }

    /// The row of these names, as the configuration writes them.
    pub(crate) fn find(&self, buckets: &str) -> Result<&PlacedRow, String> {
        let index = self.index_of(buckets).ok_or_else(|| self.unknown_row(buckets))?;
        Ok(&self.rows[index])
    }

    fn index_of(&self, buckets: &str) -> Option<usize> {
        let is_meta = buckets.eq_ignore_ascii_case(META);
        let range = NameRange::parse(buckets).ok();
        self.rows.iter().position(|row| match row.is_meta() {
            true => is_meta,
            false => *row.buckets == *buckets || range.as_ref() == Some(&row.range),
        })
    }

    fn unknown_row(&self, buckets: &str) -> String {
        let rows = self.sorted();
        let rows: Vec<_> = rows.iter().map(|row| &*row.buckets).collect();
        format!("no row with replicas is {buckets:?}: there are {}", rows.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::RouteRow;

    fn node(name: &str) -> NodeName {
        format!("{name}@127.0.0.1").parse().expect("a name")
    }

    fn nodes(names: &[&str]) -> Vec<NodeName> {
        names.iter().map(|name| node(name)).collect()
    }

    fn table() -> PlacementTable {
        let row = |buckets: &str, nodes: &[&str]| RouteRow {
            buckets: buckets.into(),
            nodes: nodes.iter().map(|name| node(name).to_string()).collect(),
            durable: true,
            confirms_reads: false,
        };
        let rows = [row("..f", &["a"]), row("..m", &["a", "b", "c"]), row("..", &["d", "e", "f"])];
        let routes = Routes::new(&rows, &nodes(&["a", "b", "c", "d", "e", "f"])).expect("valid");
        PlacementTable::of(&routes).expect("rows with replicas")
    }

    fn changed(table: &PlacementTable, change: &TableChange) -> Result<PlacementTable, String> {
        let mut next = table.clone();
        next.change(change)?;
        Ok(next)
    }

    fn place(table: &PlacementTable, buckets: &str, names: &[&str]) -> Result<PlacementTable, String> {
        changed(table, &TableChange::Place { buckets: buckets.into(), nodes: nodes(names) })
    }

    #[test]
    fn it_begins_with_the_rows_of_several_nodes_and_three_nodes_keep_it() {
        let table = table();
        let rows: Vec<_> = table.rows.iter().map(|row| (row.buckets(), row.nodes.len())).collect();
        assert_eq!(rows.len(), 3, "{rows:?}");
        assert_eq!((rows[0], table.rows[0].is_meta()), (("meta", 3), true));
        assert_eq!(*table.rows[0].nodes, nodes(&["a", "b", "c"])[..]);
        assert!(!table.rows[0].span().contains(b"") && !table.rows[0].span().contains(b"meta"));
        let alone = [RouteRow {
            buckets: "..".into(),
            nodes: vec![node("a").to_string()],
            durable: true,
            confirms_reads: false,
        }];
        assert_eq!(PlacementTable::of(&Routes::new(&alone, &nodes(&["a"])).expect("valid")), None);
    }

    #[test]
    fn nodes_that_a_row_had_leave_it_when_the_others_have_settled() {
        let table = table();
        let buckets = table.rows[2].buckets().to_owned();
        let moved = place(&table, &buckets, &["d", "a", "b"]).expect("placed");
        let row = moved.find(&buckets).expect("there").clone();
        assert_eq!((&*row.nodes, &*row.leaving), (&nodes(&["a", "b", "d"])[..], &nodes(&["e", "f"])[..]));
        // One who thinks of another change settles nothing.
        let back = place(&moved, &buckets, &["d", "e", "f"]).expect("placed");
        assert_eq!(*back.rows[2].leaving, nodes(&["a", "b"])[..]);
        let settle = TableChange::Settle { row };
        assert_eq!(changed(&back, &settle).as_ref(), Ok(&back));
        assert!(changed(&moved, &settle).expect("settled").rows[2].leaving.is_empty());
        assert!(moved.rows[2].is_moving && !changed(&moved, &settle).expect("settled").rows[2].is_moving);
    }

    #[test]
    fn a_row_is_split_and_neither_part_is_split_or_moved_before_both_are_there() {
        let table = table();
        let buckets = table.rows[2].buckets().to_owned();
        let split = |table: &PlacementTable, buckets: &str, at: &str| {
            let at = at.as_bytes().into();
            changed(table, &TableChange::Split { buckets: buckets.into(), at })
        };
        let parts = split(&table, &buckets, "t").expect("split");
        let names: Vec<_> = parts.rows.iter().map(|row| (row.buckets(), row.is_moving)).collect();
        assert_eq!(names[2..], [("n..s", true), ("t..", true)]);
        assert_eq!(parts.rows[2].nodes, parts.rows[3].nodes);
        let settled = |table: &PlacementTable, index: usize| {
            changed(table, &TableChange::Settle { row: table.rows[index].clone() }).expect("settled")
        };
        let low = settled(&parts, 2);
        let refused = "t.., behind n..s, is being moved or split: try again when `plans` does not show it";
        assert_eq!(place(&low, "n..s", &["a", "b", "c"]), Err(refused.into()));
        assert_eq!(split(&low, "n..s", "p"), Err(refused.into()));
        assert!(place(&low, "t..", &["a", "b", "c"]).is_ok());
        let both = settled(&low, 3);
        assert!(place(&both, "n..s", &["a", "b", "c"]).is_ok() && split(&both, "n..s", "p").is_ok());
    }

    #[test]
    fn what_cannot_be_placed_is_refused_with_what_to_write() {
        let table = table();
        for (buckets, names, problem) in [
            ("..z", &["a", "b", "c"][..], "no row with replicas is \"..z\": there are meta, "),
            (
                "meta",
                &["a", "b"],
                "2 nodes are named: a row has its replicas on one node, on three or on five",
            ),
            ("meta", &[], "0 nodes are named"),
            ("META", &["a", "b", "a"], "node a@127.0.0.1 is named twice"),
        ] {
            let refused = place(&table, buckets, names).expect_err("refused");
            assert!(refused.starts_with(problem), "{refused}");
        }
        assert_eq!(place(&table, "meta", &["c", "b", "a"]), Ok(table));
    }
}
