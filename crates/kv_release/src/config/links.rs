//! `[links]`: how soon a silent peer counts as dead.

use super::layers::{
    key::{Key, Section, Table},
    merged::Merged,
};
use kv_cluster::Heartbeat;
use serde::Deserialize;
use std::time::Duration;

const TABLE: Table = Table::Named("links");

pub(super) const SECTION: &Section = &Section {
    table: TABLE,
    help: "The links between nodes.",
    keys: &[
        Key::integer("heartbeat_ms", 1)
            .default("1000")
            .variable("KV_HEARTBEAT_MS")
            .help("The interval between heartbeats, in milliseconds."),
        Key::integer("missed_heartbeats", 1)
            .default("3")
            .variable("KV_MISSED_HEARTBEATS")
            .help("Heartbeats that a peer may miss before it counts as dead."),
    ],
};

#[derive(Default, Deserialize)]
struct LinksTable {
    heartbeat_ms: u64,
    missed_heartbeats: u32,
}

pub(super) fn resolve(merged: &mut Merged) -> Heartbeat {
    let table: LinksTable = merged.read(TABLE);
    Heartbeat { every: Duration::from_millis(table.heartbeat_ms), missed: table.missed_heartbeats }
}
