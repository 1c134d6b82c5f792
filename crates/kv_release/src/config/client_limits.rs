//! `[client_limits]`: limits for clients, and how they are served. For releases that take clients.

use super::layers::{
    key::{Key, Section, Table},
    merged::Merged,
};
use serde::Deserialize;

const TABLE: Table = Table::Named("client_limits");

pub(super) const SECTION: &Section =
    &Section {
        table: TABLE,
        help: "Limits for clients, and how they are served. Used by releases that take clients.",
        keys: &[
            Key::integer("max_connections", 1).default("10000").variable("KV_MAX_CONNECTIONS").help(
                "Client connections at once; further ones get an error. Lowered to what open files allow.",
            ),
            Key::integer("max_line_bytes", 64)
                .default("1048576")
                .variable("KV_MAX_LINE_BYTES")
                .help("The longest line of the text protocol, in bytes; a longer one gets an error."),
            Key::boolean("io_uring").default("true").variable("KV_IO_URING").help(
                "Whether io_uring serves clients where the kernel allows it; epoll serves them otherwise.",
            ),
        ],
    };

/// The settings of an application that takes clients.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct ClientSettings {
    /// Client connections at once.
    pub max_connections: usize,
    /// The longest line of the text protocol, in bytes.
    pub max_line_bytes: usize,
    /// Whether io_uring is used where the kernel allows it.
    pub io_uring: bool,
}

pub(super) fn resolve(merged: &mut Merged) -> ClientSettings {
    merged.read(TABLE)
}
