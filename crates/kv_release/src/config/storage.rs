//! `[storage]`: what the buckets of this node may use.

use super::layers::{
    key::{Key, Section, Table},
    merged::Merged,
};
use kv::TransactionLimits;
use serde::Deserialize;

const TABLE: Table = Table::Named("storage");

pub(super) const SECTION: &Section = &Section {
    table: TABLE,
    help: "The memory of this node's buckets, and what one transaction may touch.",
    keys: &[
        Key::string("max_memory")
            .default("0")
            .example("512mb")
            .variable("KV_MAX_MEMORY")
            .live()
            .help("Bytes, or with a unit: 512mb, 4gb; 0 for no limit. Beyond it, writes are refused."),
        Key::integer("max_transaction_entries", 1)
            .default("20000")
            .live()
            .help("Commands, keys and fields of one EXEC. Others wait while it is executed."),
        Key::string("max_transaction_bytes")
            .default("16mb")
            .live()
            .help("Arguments, copies and replies of one EXEC, in bytes or with a unit."),
    ],
};

/// The settings of the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StorageSettings {
    /// Bytes that the buckets of this node may use; `None` for no limit.
    pub(crate) max_memory: Option<usize>,
    /// What one transaction may touch.
    pub(crate) transactions: TransactionLimits,
}

#[derive(Default, Deserialize)]
struct StorageTable {
    max_memory: String,
    max_transaction_entries: usize,
    max_transaction_bytes: String,
}

impl StorageSettings {
    pub(super) fn resolve(merged: &mut Merged) -> StorageSettings {
        let StorageTable { max_memory, max_transaction_entries: entries, max_transaction_bytes: bytes } =
            merged.read(TABLE);
        let bytes = size(merged, ["storage", "max_transaction_bytes"], &bytes).unwrap_or(usize::MAX);
        let transactions = TransactionLimits { entries, bytes };
        StorageSettings { max_memory: size(merged, ["storage", "max_memory"], &max_memory), transactions }
    }
}

/// The bytes that the key at `path` allows; `None` for no limit.
pub(super) fn size(merged: &mut Merged, path: [&str; 2], text: &str) -> Option<usize> {
    let bytes = kv::syntax::byte_size::parse(text);
    if bytes.is_none() {
        let key = path[1];
        merged
            .error(&path, format!("invalid size: {text:?}; write {key} = \"512mb\", or \"0\" for no limit"));
    }
    bytes.filter(|bytes| *bytes > 0)
}
