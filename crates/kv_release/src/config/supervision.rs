//! `[supervision]`: how many restarts a supervisor allows before it gives up.

use super::layers::{
    key::{Key, Section, Table},
    merged::Merged,
};
use otp::Intensity;
use serde::Deserialize;
use std::time::Duration;

const TABLE: Table = Table::Named("supervision");

pub(super) const SECTION: &Section = &Section {
    table: TABLE,
    help: "A supervisor gives up, and the node ends, after more than max_restarts within within_seconds.",
    keys: &[
        Key::integer("max_restarts", 0)
            .default("3")
            .variable("KV_MAX_RESTARTS")
            .help("Restarts that a supervisor allows within the period."),
        Key::integer("within_seconds", 1)
            .default("5")
            .variable("KV_WITHIN_SECONDS")
            .help("The period in which restarts are counted."),
    ],
};

#[derive(Default, Deserialize)]
struct SupervisionTable {
    max_restarts: u32,
    within_seconds: u64,
}

pub(super) fn resolve(merged: &mut Merged) -> Intensity {
    let table: SupervisionTable = merged.read(TABLE);
    Intensity { max_restarts: table.max_restarts, within: Duration::from_secs(table.within_seconds) }
}
