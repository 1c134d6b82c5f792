//! All buckets at one moment as bytes: the snapshot of a range, and a backup. docs/disk-format.md describes
//! each byte.
//!
//! Records follow each other in blocks with checksums, whose bounds mean nothing to them: a large value takes
//! up several. So neither writer nor reader holds more than a block and a record.

pub(crate) mod files;
mod read;
pub(crate) mod receive;
mod record;
mod state;
pub(crate) mod taking;
mod write;

pub use read::{SnapshotError, SnapshotReader};
pub use taking::SnapshotStatus;
pub use write::{SnapshotEncoder, encode_store};

use crate::identity;
use kv::Record;

/// The first bytes of all files of this program.
pub const MAGIC: &[u8; 4] = identity::MAGIC;

/// The version that this program writes, and the only one that it reads.
const VERSION: u8 = 1;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotKind {
    /// The buckets of a node, for people to keep.
    Backup,
    /// The state of a range, from which its log goes on.
    Range,
}

/// What is said of a snapshot before its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// What it is.
    pub kind: SnapshotKind,
    /// The moment that it is of, in milliseconds since 1970.
    pub stamp_ms: u64,
    /// What else its kind needs. A backup has the name of its node.
    pub description: Vec<u8>,
}

/// How much a snapshot holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Maps.
    pub maps: u64,
    /// Entries of all maps.
    pub entries: u64,
    /// Strings.
    pub strings: u64,
}

impl RecordCounts {
    fn count(&mut self, record: &Record<'_>) {
        match record {
            Record::Map { .. } => self.maps += 1,
            Record::Entry { .. } => self.entries += 1,
            Record::Str { .. } => self.strings += 1,
        }
    }
}

impl SnapshotKind {
    fn code(self) -> u8 {
        match self {
            SnapshotKind::Backup => 1,
            SnapshotKind::Range => 2,
        }
    }

    fn from_code(code: u8) -> Option<SnapshotKind> {
        [SnapshotKind::Backup, SnapshotKind::Range].into_iter().find(|kind| kind.code() == code)
    }
}

#[cfg(test)]
mod tests;
