//! `[storage]`: what the buckets of this node may use, and when durable ones are on disk.

use super::layers::{
    key::{Key, Section, Table},
    merged::Merged,
};
use kv::TransactionLimits;
use kv_raft::{Fsync, LOG_CACHE_LEAST, LogOptions};
use serde::Deserialize;
use std::time::Duration;

const TABLE: Table = Table::Named("storage");

pub(super) const SECTION: &Section = &Section {
    table: TABLE,
    help: "The memory of this node's buckets, what one transaction may touch, and when writes are on disk.",
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
        Key::string("fsync").default(ALWAYS).variable("KV_FSYNC").help(
            "always, or interval: a crash of the system, or a loss of power, loses what was not synced yet.",
        ),
        Key::integer("fsync_interval_ms", 1)
            .default("1000")
            .help("Milliseconds between two syncs if fsync is interval."),
        Key::string("log_cache_bytes").default("64mb").variable("KV_LOG_CACHE_BYTES").help(
            "Memory for the newest entries of the logs of all ranges, and their places; at least 1mb for each.",
        ),
    ],
};

/// The settings of the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StorageSettings {
    /// Bytes that the buckets of this node may use; `None` for no limit.
    pub(crate) max_memory: Option<usize>,
    /// What one transaction may touch.
    pub(crate) transactions: TransactionLimits,
    /// How the logs of durable buckets are kept.
    pub(crate) logs: LogOptions,
}

const ALWAYS: &str = "always";
const INTERVAL: &str = "interval";

#[derive(Default, Deserialize)]
struct StorageTable {
    max_memory: String,
    max_transaction_entries: usize,
    max_transaction_bytes: String,
    fsync: String,
    fsync_interval_ms: u64,
    log_cache_bytes: String,
}

impl StorageSettings {
    pub(super) fn resolve(merged: &mut Merged) -> StorageSettings {
        let table: StorageTable = merged.read(TABLE);
        let bytes = &table.max_transaction_bytes;
        let bytes = size(merged, ["storage", "max_transaction_bytes"], bytes).unwrap_or(usize::MAX);
        StorageSettings {
            max_memory: size(merged, ["storage", "max_memory"], &table.max_memory),
            transactions: TransactionLimits { entries: table.max_transaction_entries, bytes },
            logs: LogOptions { fsync: fsync(merged, &table), cache_bytes: log_cache(merged, &table) },
        }
    }

    /// What is risked by these settings, if anything is.
    pub(super) fn warning(&self) -> Option<String> {
        let Fsync::Interval(interval) = self.logs.fsync else { return None };
        Some(format!(
            "fsync is \"interval\": a crash of the system or a loss of power loses what was acknowledged in the \
             last {} ms; write fsync = \"always\" to lose nothing",
            interval.as_millis()
        ))
    }
}

fn fsync(merged: &mut Merged, StorageTable { fsync, fsync_interval_ms, .. }: &StorageTable) -> Fsync {
    match fsync.as_str() {
        ALWAYS => Fsync::Always,
        INTERVAL => Fsync::Interval(Duration::from_millis(*fsync_interval_ms)),
        other => {
            let message = format!("invalid fsync: {other:?}; write \"always\" or \"interval\"");
            merged.error(&["storage", "fsync"], message);
            Fsync::Always
        }
    }
}

fn log_cache(merged: &mut Merged, StorageTable { log_cache_bytes, .. }: &StorageTable) -> usize {
    let bytes = kv::syntax::byte_size::parse(log_cache_bytes).filter(|bytes| *bytes >= LOG_CACHE_LEAST);
    if bytes.is_none() {
        let message = format!(
            "invalid size: {log_cache_bytes:?}; write log_cache_bytes = \"64mb\", and at least \"1mb\" for each \
             range"
        );
        merged.error(&["storage", "log_cache_bytes"], message);
    }
    bytes.unwrap_or(LOG_CACHE_LEAST)
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
