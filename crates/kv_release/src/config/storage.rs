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
        let StorageTable { max_memory, max_transaction_entries: entries, max_transaction_bytes } =
            merged.read(TABLE);
        let max_memory = parse_size(merged, "max_memory", &max_memory, "\"512mb\", or \"0\" for no limit");
        let bytes = parse_size(merged, "max_transaction_bytes", &max_transaction_bytes, "\"16mb\"");
        let transactions = TransactionLimits { entries, bytes: bytes.unwrap_or_default() };
        StorageSettings { max_memory: max_memory.filter(|bytes| *bytes > 0), transactions }
    }
}

/// A size in bytes; if it is invalid, an error says what to write.
fn parse_size(merged: &mut Merged, key: &str, text: &str, example: &str) -> Option<usize> {
    let bytes = kv::syntax::byte_size::parse(text);
    if bytes.is_none() {
        merged.error(&["storage", key], format!("invalid size: {text:?}; write {key} = {example}"));
    }
    bytes
}
