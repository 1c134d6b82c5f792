//! The messages on the control socket; each is one line of JSON. Lines of an export or an import, and
//! bytes of a backup, follow the message that announces them.

use crate::records::{
    import::ImportCounts,
    pages::{ExportCounts, ExportScope},
};
use serde::{Deserialize, Serialize};

/// What a verb asks of the node.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Request {
    /// One expression to evaluate.
    Evaluate {
        expression: String,
        /// Whether the result is wanted as JSON instead of text.
        json: bool,
    },
    /// The buckets of the node.
    Export { export: ExportRequest },
    /// One page of an import.
    Import { import: ImportPage },
    /// All buckets of the node as they are at one moment.
    Backup { backup: BackupRequest },
}

/// What a backup is to have: everything.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BackupRequest {}

/// What an export is to have.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ExportRequest {
    /// Only the buckets of this name.
    pub(super) name: Option<Vec<u8>>,
}

/// A page of an import.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct ImportPage {
    /// Whether names that exist are replaced; as on the first page.
    pub(super) replace: bool,
    /// Whether the node must not have buckets; as on the first page.
    #[serde(default)]
    pub(super) into_empty: bool,
    /// Whether it is the last page.
    pub(super) last: bool,
    /// Bytes of whole lines that follow.
    pub(super) bytes: u64,
}

/// The node's reply.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// The result of an expression.
    Result(serde_json::Value),
    Error(String),
    /// One page of an export or a backup.
    Page(PageHead),
    /// An export or a backup is complete.
    Exported(ExportScope),
    /// A page has been imported.
    Imported(ImportCounts),
}

/// A page of an export, or of a backup.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct PageHead {
    /// Bytes that follow: whole lines of an export, any part of a backup.
    pub(super) bytes: u64,
    /// What has been exported up to its end.
    pub(crate) counts: ExportCounts,
    /// How many buckets the node had at the start.
    pub(crate) total: u64,
}
