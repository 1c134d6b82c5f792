//! Everything that a node has seen of itself and of the others, and how that becomes what the page shows.

use super::{
    happenings::{Happening, Happenings, Kind},
    samples::{Row, SERIES, Sampler, Samples, of_node},
    state::{Parts, Starts},
    views::{self, RangeView},
};
use kv::time::now_ms;
use kv_cluster::{Cluster, NodeEvent, NodeName};
use kv_metrics::Family;
use otp::Tree;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, time::Duration};

/// Ups and downs of a link that are kept.
const LINK_CHANGES: usize = 60;
/// Happenings that the page gets.
const SHOWN_EVENTS: usize = 200;

/// The release of a node.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// Its name.
    pub release: &'static str,
    /// Its version.
    pub version: &'static str,
}

/// Everything that was seen so far.
#[derive(Default)]
pub(super) struct Seen {
    sampler: Sampler,
    /// By node.
    pub(super) samples: BTreeMap<String, Samples>,
    happenings: Happenings,
    /// The happenings of the other nodes.
    reported: BTreeMap<String, Vec<Happening>>,
    /// The newest tree of this node, and of those that do not observe themselves.
    trees: BTreeMap<String, Tree>,
    starts: Starts,
    /// When the links went up and down, in milliseconds since 1970.
    links: BTreeMap<String, Vec<(u64, bool)>>,
    /// How long the other nodes took to answer, in seconds.
    round_trips: BTreeMap<String, f64>,
    leaders: BTreeMap<String, String>,
    pub(super) parts: Parts,
}

/// What a node shows of itself to another.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) tree: Option<Tree>,
    /// `None` if it has none yet.
    ranges: Option<Value>,
    happenings: Vec<Happening>,
    series: Vec<String>,
    samples: Vec<Row>,
}

/// What was learned of another node.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) node: String,
    pub(super) round_trip: Duration,
    pub(super) report: Report,
}

impl Report {
    /// Of a node that does not observe itself: all that is known is its tree.
    pub(super) fn of_tree(tree: Tree) -> Report {
        Report { tree: Some(tree), ..Report::default() }
    }

    fn is_observed(&self) -> bool {
        !self.series.is_empty()
    }
}

impl Seen {
    /// Notes how a link was found first.
    pub(super) fn find_link(&mut self, now_ms: u64, node: &NodeName, up: bool) {
        self.links.entry(node.to_string()).or_insert_with(|| vec![(now_ms, up)]);
    }

    /// Notes that a link has gone up, or down for a reason.
    pub(super) fn note_link(&mut self, now_ms: u64, event: NodeEvent) {
        let (node, up, kind, text) = match event {
            NodeEvent::Up(node) => {
                let text = format!("{node} is up");
                (node, true, Kind::NodeUp, text)
            }
            NodeEvent::Down { node, reason } => {
                let text = format!("{node} is down: {reason}");
                (node, false, Kind::NodeDown, text)
            }
        };
        self.happenings.add(now_ms, kind, None, text);
        let changes = self.links.entry(node.to_string()).or_default();
        if changes.last().is_none_or(|(_, was_up)| *was_up != up) {
            changes.push((now_ms, up));
        }
        let surplus = changes.len().saturating_sub(LINK_CHANGES);
        changes.drain(..surplus);
    }

    /// What this node shows of itself to others.
    pub(super) fn report(&self, own: &str, since: u64) -> Report {
        let samples = self.samples.get(own).map(|samples| samples.since(since).cloned().collect());
        // It may have seen those of nodes without a page, too; others see these themselves.
        let is_own =
            |one: &&Happening| one.path.as_deref().is_some_and(|path| path.split('/').next() == Some(own));
        let crashes = self.happenings.all().iter().filter(is_own);
        Report {
            tree: self.trees.get(own).cloned(),
            ranges: self.parts.get(&format!("ranges/{own}")).cloned(),
            happenings: crashes.cloned().collect(),
            series: SERIES.map(str::to_owned).into(),
            samples: samples.unwrap_or_default(),
        }
    }

    /// Keeps the samples of this node and of those that have reported, and returns those that are new.
    pub(super) fn take_samples(
        &mut self,
        own: &str,
        families: &[Family],
        answers: &[Answer],
    ) -> BTreeMap<String, Vec<Row>> {
        let last_time = self.samples.get(own).map_or(0, Samples::last_time);
        let mut new_rows = BTreeMap::new();
        let mut keep = |node: &str, rows: Vec<Row>| {
            let samples = self.samples.entry(node.to_owned()).or_default();
            let before = samples.last_time();
            new_rows.insert(node.to_owned(), rows.iter().filter(|row| row.0 > before).cloned().collect());
            rows.into_iter().for_each(|row| samples.push(row));
        };
        let now = now_ms() as f64 / 1e3;
        if now as u64 > last_time {
            keep(own, vec![self.sampler.sample(now, families)]);
        }
        for Answer { node, report, .. } in answers {
            // Another version may have other series.
            let places = SERIES.map(|name| report.series.iter().position(|theirs| theirs == name));
            let row = |(at, values): &Row| {
                let value = |place: Option<usize>| place.and_then(|place| *values.get(place)?);
                (*at, places.map(value).into())
            };
            keep(node, report.samples.iter().map(row).collect());
        }
        new_rows
    }

    /// Takes on what was seen, and returns the parts that have changed.
    pub(super) fn update(
        &mut self,
        cluster: &Cluster,
        about: About,
        tree: Option<Tree>,
        families: &[Family],
        answers: Vec<Answer>,
    ) -> Map<String, Value> {
        let now_ms = now_ms();
        let own = cluster.node_name().as_str();
        let mut parts = Parts::default();
        let others: Vec<_> = cluster.nodes().into_iter().map(|node| node.name.to_string()).collect();
        // What a node has shown last stays while it is down, until it is none of the cluster.
        for name in others.iter().flat_map(|node| [format!("tree/{node}"), format!("ranges/{node}")]) {
            if let Some(part) = self.parts.get(&name) {
                parts.set(name, part.clone());
            }
        }
        self.samples.retain(|node, _| node == own || others.contains(node));
        if let Some(tree) = tree {
            parts.set(format!("tree/{own}"), self.starts.tree(now_ms, &tree));
            self.compare_tree(now_ms, own, tree);
        }
        let ranges = views::ranges(cluster.local(), own);
        self.note_leaders(now_ms, &ranges);
        parts.set(format!("ranges/{own}"), json!(ranges));
        for Answer { node, round_trip, report } in answers {
            self.round_trips.insert(node.clone(), round_trip.as_secs_f64());
            let is_observed = report.is_observed();
            if let Some(tree) = report.tree {
                parts.set(format!("tree/{node}"), self.starts.tree(now_ms, &tree));
                if !is_observed {
                    self.compare_tree(now_ms, &node, tree);
                }
            }
            if let Some(ranges) = report.ranges {
                parts.set(format!("ranges/{node}"), ranges);
            }
            self.reported.insert(node, report.happenings);
        }
        parts.set("me", json!({ "node": own, "release": about.release, "version": about.version }));
        parts.set("nodes", self.nodes(cluster, families));
        parts.set("routes", views::routes(cluster));
        parts.set("plans", views::plans(cluster));
        let differences = cluster.differences();
        if !differences.is_empty() {
            parts.set("differences", json!(differences.join("; ")));
        }
        parts.set("events", self.events(own));
        self.parts.replace(parts)
    }

    /// Notes what has crashed since the last look at a tree.
    fn compare_tree(&mut self, now_ms: u64, node: &str, tree: Tree) {
        if let Some(before) = self.trees.get(node) {
            self.happenings.compare(now_ms, before, &tree);
        }
        self.trees.insert(node.to_owned(), tree);
    }

    /// Notes which ranges another node leads than before.
    fn note_leaders(&mut self, now_ms: u64, ranges: &[RangeView]) {
        for RangeView { range, leader, .. } in ranges {
            let Some(leader) = leader else { continue };
            let before = self.leaders.insert(range.clone(), leader.clone());
            if before.is_some_and(|before| before != *leader) {
                self.happenings.add(now_ms, Kind::Leader, None, format!("{range} is led by {leader}"));
            }
        }
    }

    /// The nodes, this one first, with their links.
    fn nodes(&self, cluster: &Cluster, families: &[Family]) -> Value {
        let me = json!({
            "node": cluster.node_name().as_str(),
            "up": true,
            "me": true,
            "address": cluster.link_address(),
            "reason": cluster.is_removed().then_some("it was removed from the cluster"),
        });
        let others = cluster.nodes().into_iter().map(|node| {
            let name = node.name.as_str();
            let history = self.links.get(name).map(Vec::as_slice).unwrap_or_default();
            let changed = history.last().map(|(at, _)| *at);
            // A node that was found down has not been seen.
            let was_up = history.iter().any(|(_, up)| *up);
            json!({
                "node": name,
                "up": node.up,
                "me": false,
                "address": node.address,
                "reason": node.reason.as_deref(),
                "routes_differ": node.disputed_names,
                "since_ms": changed,
                "seen_ms": changed.filter(|_| !node.up && was_up),
                "history": history,
                "in_flight": of_node(families, "kv_link_calls_in_flight", name),
                "round_trip": self.round_trips.get(name).filter(|_| node.up),
            })
        });
        [me].into_iter().chain(others).collect()
    }

    /// What has happened on this node, and what has crashed on the others, in order.
    fn events(&self, own: &str) -> Value {
        let of_node = |node: &str, one: &Happening| {
            let mut event = json!(one);
            event["id"] = json!(format!("{node}-{}", one.id));
            event["node"] = json!(node);
            (one.at, event)
        };
        let mut events: Vec<_> = self.happenings.all().iter().map(|one| of_node(own, one)).collect();
        for (node, happenings) in &self.reported {
            events.extend(happenings.iter().map(|one| of_node(node, one)));
        }
        events.sort_by_key(|(at, _)| *at);
        let surplus = events.len().saturating_sub(SHOWN_EVENTS);
        events.into_iter().skip(surplus).map(|(_, event)| event).collect()
    }
}
