//! What a range does, and what it shows of that.

use crate::{
    consensus::transport::ReplicaStatus,
    log::{Fsync, LogStats},
    snapshot::taking::SnapshotStatus,
};
use std::{sync::Arc, time::Duration};

/// What a range does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeState {
    /// It executes what is on disk.
    Loading,
    /// It serves requests.
    Ready,
    /// Another node serves them, if there is one that a majority follows.
    Following {
        /// The node.
        leader: Option<Arc<str>>,
    },
    /// It cannot go on, for this reason.
    Stopped(Arc<str>),
}

/// Which other node is to lead a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum HandOver {
    /// None: this one goes on.
    #[default]
    No,
    /// Any one.
    ToAny,
    /// This one.
    To(Arc<str>),
}

impl HandOver {
    /// Whether this node may lead instead.
    pub(crate) fn accepts(&self, node: &str) -> bool {
        match self {
            HandOver::No => false,
            HandOver::ToAny => true,
            HandOver::To(wanted) => **wanted == *node,
        }
    }
}

/// When a range was loaded, and what it had then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadStatus {
    /// When it began to load, in milliseconds since 1970.
    pub began_ms: u64,
    /// How long that took; `None` as long as it loads.
    pub took: Option<Duration>,
    /// The buckets that it had when it was loaded.
    pub buckets: u64,
    /// Bytes of what is loaded: the snapshot, and the log behind it.
    pub bytes: u64,
}

/// What a range is and does, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeStatus {
    /// The names, as errors call them.
    pub span: Arc<str>,
    /// What it does.
    pub state: RangeState,
    /// How much of its snapshot and its log is loaded, in percent.
    pub loaded: u8,
    /// The term in which its leader was elected, as far as this node knows.
    pub term: u64,
    /// The replicas on other nodes, if there are any.
    pub replicas: Vec<ReplicaStatus>,
    /// The index of the last entry that was executed.
    pub applied: u64,
    /// The entries that were executed since the newest snapshot.
    pub entries: u64,
    /// Why it refuses writes for now although it serves reads, if it does.
    pub cannot_write: Option<Arc<str>>,
    /// When it was loaded.
    pub loading: LoadStatus,
    /// When its log is synced.
    pub fsync: Fsync,
    /// How large its log is, and how fast the disk.
    pub log: LogStats,
    /// When its log was synced last, in milliseconds since 1970, to the second; `None` before the first time.
    pub synced_ms: Option<u64>,
    /// The entries that were executed and are not known to be synced.
    pub unsynced: u64,
    /// Its snapshots.
    pub snapshot: SnapshotStatus,
}
