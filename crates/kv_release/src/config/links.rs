//! `[links]`: how soon a silent peer counts as dead, and a call as lost.

use super::layers::{
    key::{Key, Section, Table},
    merged::Merged,
};
use kv_cluster::LinkSettings;
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
        Key::integer("call_timeout_ms", 1).default("30000").variable("KV_CALL_TIMEOUT_MS").help(
            "How long a request to a peer may wait for its reply. A large value must cross in this time.",
        ),
    ],
};

#[derive(Default, Deserialize)]
struct LinksTable {
    heartbeat_ms: u64,
    missed_heartbeats: u32,
    call_timeout_ms: u64,
}

pub(super) fn resolve(merged: &mut Merged) -> LinkSettings {
    let table: LinksTable = merged.read(TABLE);
    LinkSettings {
        heartbeat: Duration::from_millis(table.heartbeat_ms),
        missed_heartbeats: table.missed_heartbeats,
        call_timeout: Duration::from_millis(table.call_timeout_ms),
    }
}
