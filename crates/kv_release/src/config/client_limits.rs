//! `[client_limits]`: limits for clients, and how they are served. For releases that take clients.

use super::{
    layers::{
        key::{Key, Section, Table},
        merged::Merged,
    },
    storage::size,
};
use serde::Deserialize;
use std::path::{self, PathBuf};

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
            Key::string("max_memory").default("1gb").variable("KV_MAX_CLIENT_MEMORY").help(
                "What all clients may hold; beyond it, the one that holds most is closed. 0 for no limit.",
            ),
            Key::integer("tcp_keepalive_seconds", 0)
                .default("300")
                .variable("KV_TCP_KEEPALIVE_SECONDS")
                .help("Silence after which the system asks whether a client is still there; 0 for never."),
            Key::boolean("io_uring").default("true").variable("KV_IO_URING").help(
                "Whether io_uring serves clients where the kernel allows it; epoll serves them otherwise.",
            ),
        ],
    };

/// The settings of an application that takes clients.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// The whole path of the configuration file, if there is one.
    pub config_file: Option<PathBuf>,
    /// Client connections at once.
    pub max_connections: usize,
    /// The longest line of the text protocol, in bytes.
    pub max_line_bytes: usize,
    /// Bytes that all client connections together may hold; `None` for no limit.
    pub max_memory: Option<usize>,
    /// Seconds of silence after which TCP probes a client; 0 for never.
    pub tcp_keepalive_seconds: u32,
    /// Whether io_uring is used where the kernel allows it.
    pub io_uring: bool,
}

#[derive(Default, Deserialize)]
struct ClientTable {
    max_connections: usize,
    max_line_bytes: usize,
    max_memory: String,
    tcp_keepalive_seconds: u32,
    io_uring: bool,
}

pub(super) fn resolve(merged: &mut Merged) -> ClientSettings {
    let table: ClientTable = merged.read(TABLE);
    let config_file = merged.file().map(|file| &file.path);
    ClientSettings {
        config_file: config_file.map(|path| path::absolute(path).unwrap_or_else(|_| path.clone())),
        max_connections: table.max_connections,
        max_line_bytes: table.max_line_bytes,
        max_memory: size(merged, ["client_limits", "max_memory"], &table.max_memory),
        tcp_keepalive_seconds: table.tcp_keepalive_seconds,
        io_uring: table.io_uring,
    }
}
