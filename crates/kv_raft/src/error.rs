//! Why a range refuses requests, and why the ranges of a node cannot be opened.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What can be done when data of the range in this directory are damaged, as an error ends.
pub(crate) fn ways_out(directory: &Path) -> String {
    let data_dir = directory.ancestors().nth(2).unwrap_or(directory);
    format!(
        "with the node stopped, move {} elsewhere, to start empty and `restore` a backup, or {} elsewhere, to \
         start without these buckets",
        data_dir.display(),
        directory.display()
    )
}

/// Why something failed that is tried again and again, so that each reason is logged once.
#[derive(Debug, Default)]
pub(crate) struct LastReason(Option<String>);

impl LastReason {
    /// Notes why it failed this time, if it did. Returns whether that is another reason than the last time.
    pub(crate) fn replace(&mut self, reason: Option<String>) -> bool {
        let is_new = reason.is_some() && self.0 != reason;
        self.0 = reason;
        is_new
    }
}

/// What is in the place of a file is neither one nor a directory. What to do is the same as with a directory.
#[derive(Debug, thiserror::Error)]
#[error("{0} is in its place")]
pub(crate) struct NotAFile(pub(crate) &'static str);

impl From<NotAFile> for io::Error {
    fn from(error: NotAFile) -> io::Error {
        io::Error::new(io::ErrorKind::IsADirectory, error)
    }
}

/// Whether an error says neither which file it is about nor what to do.
pub(crate) fn is_bare(error: &io::Error) -> bool {
    error.raw_os_error().is_some() || error.get_ref().is_some_and(|inner| inner.is::<NotAFile>())
}

/// An error at a file of the range in this directory, with the file and what to do, unless it has both
/// already.
pub(crate) fn unusable(directory: &Path, path: &Path, error: io::Error) -> io::Error {
    if !is_bare(&error) {
        return error;
    }
    let kind = error.kind();
    io::Error::new(kind, format!("{}: {error}{}", path.display(), remedy(kind, directory)))
}

/// A write or a sync of a log has failed: where, and what to do. The store has all that was acknowledged, so
/// the log stays where it is.
pub(crate) fn log_failed(log: &Path, error: &io::Error) -> io::Error {
    let kind = error.kind();
    io::Error::new(kind, format!("{}: {error}{}", log.display(), advice(kind)))
}

/// What can be done when a file of the range in this directory cannot be used, as an error ends.
pub(crate) fn remedy(kind: io::ErrorKind, directory: &Path) -> String {
    let ways_out = ways_out(directory);
    match kind {
        io::ErrorKind::IsADirectory => {
            format!("; move it elsewhere and put the file back that was there, or {ways_out}")
        }
        io::ErrorKind::NotADirectory => {
            format!("; move it elsewhere and put the directory back that was there, or {ways_out}")
        }
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded => advice(kind).to_owned(),
        _ => format!("; {ways_out}"),
    }
}

/// What is said of a panic at the files of the range in this directory. The panic is in the log.
pub(crate) fn panicked(directory: &Path) -> String {
    format!(
        "{}: its files cannot be used: a thread panicked at them, and the log says where",
        directory.display()
    )
}

/// What can be done about an error of the system.
fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "; is data_dir the right directory?"
        }
        io::ErrorKind::PermissionDenied => "; the user that runs this must be allowed to read and write it",
        io::ErrorKind::ReadOnlyFilesystem => "; the data directory must be on a disk that can be written to",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space",
        io::ErrorKind::IsADirectory => "; move it elsewhere: only a file may have that name",
        io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => "",
        _ => "; check what is there, and the disk",
    }
}

/// Why a range has not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// It loads what is on disk. Nothing was done.
    #[error("range {range} is loading: {percent} %")]
    Loading {
        /// The span of the range.
        range: Arc<str>,
        /// How much of its log is loaded.
        percent: u8,
    },
    /// Too much waits for the disk. Nothing was done.
    #[error("range {range} is behind: {limit} bytes of requests wait for the disk; retry")]
    Behind {
        /// The span of the range.
        range: Arc<str>,
        /// The limit on what waits.
        limit: usize,
    },
    /// The requests are too large to be written at once. Nothing was done.
    #[error("too large for range {range}: at most {limit} bytes at once")]
    TooLarge {
        /// The span of the range.
        range: Arc<str>,
        /// The limit on one transaction or request.
        limit: usize,
    },
    /// The disk takes nothing. Nothing was done; reads go on, and so do writes when it takes something again.
    #[error("range {range} cannot write: {reason}; nothing was done")]
    CannotWrite {
        /// The span of the range.
        range: Arc<str>,
        /// Why.
        reason: Arc<str>,
    },
    /// Another node leads. Nothing was done.
    #[error("range {range} is led by {leader}")]
    NotLeader {
        /// The span of the range.
        range: Arc<str>,
        /// The node.
        leader: Arc<str>,
    },
    /// No node leads, or a majority does not answer it. Nothing was done.
    #[error("range {range} has no leader (needs {needs} of {nodes})")]
    NoLeader {
        /// The span of the range.
        range: Arc<str>,
        /// How many nodes are a majority.
        needs: usize,
        /// All of them.
        nodes: Arc<str>,
    },
    /// It was split, and the bucket is in another range now. Nothing was done.
    #[error("the range was split, and the bucket is in another one now; retry")]
    SplitOff,
    /// It cannot go on. Nothing was done.
    #[error("range {range} has stopped: {reason}")]
    Stopped {
        /// The span of the range.
        range: Arc<str>,
        /// Why, and what to do.
        reason: Arc<str>,
    },
    /// The log failed, or the range was loaded again, while the request was in flight.
    #[error("outcome unknown: range {range} failed before the reply; the request may have been applied")]
    Unknown {
        /// The span of the range.
        range: Arc<str>,
    },
}

/// Why the ranges of a node cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the data directory.
    #[error(
        "{} is in use by another process{}; stop that one, or choose another data_dir",
        .directory.display(),
        .pid.map_or(String::new(), |pid| format!(" (pid {pid})"))
    )]
    Locked {
        /// The data directory.
        directory: PathBuf,
        /// The process, if it has said so.
        pid: Option<u32>,
    },
    /// The file system of the directory is not there any more.
    #[error("{} is not on the file system that it was on: mount that again", .directory.display())]
    OtherDisk {
        /// The data directory.
        directory: PathBuf,
    },
    /// The directory lies in that of other ranges.
    #[error("{} is inside of the data directory {}: choose another data_dir", .directory.display(), .outer.display())]
    Nested {
        /// The directory that was to become a data directory.
        directory: PathBuf,
        /// The one that it is in.
        outer: PathBuf,
    },
    /// The data belong to another node.
    #[error(
        "{} holds the data of {owner}, and this is {node}; start it as {owner}, or choose another data_dir \
         (to give data another node, back them up there and restore them here)",
        .directory.display()
    )]
    OtherNode {
        /// The data directory.
        directory: PathBuf,
        /// The node that wrote the data.
        owner: String,
        /// This node.
        node: String,
    },
    /// A row covers other names than its data.
    #[error(
        "{} holds the data of {found}, and the route says {configured}; write the route as it was, or export \
         the data with that route, start with an empty data_dir, and import them",
        .directory.display()
    )]
    OtherSpan {
        /// The range's directory.
        directory: PathBuf,
        /// The span of the data.
        found: String,
        /// The span of the route.
        configured: String,
    },
    /// A row is volatile, and there are data of it.
    #[error(
        "{} holds the data of {found}, and the route {configured} has durable = false; remove that, or export the \
         data without it, start with an empty data_dir, and import them",
        .directory.display()
    )]
    Volatile {
        /// The range's directory.
        directory: PathBuf,
        /// The span of the data.
        found: String,
        /// The span of the route.
        configured: String,
    },
    /// A restore into the directory has not ended.
    #[error(
        "{} is left of a restore that did not end; restore again, or remove it to start without its buckets",
        .part.display()
    )]
    HalfRestored {
        /// What it has written.
        part: PathBuf,
    },
    /// A restore needs a directory without ranges.
    #[error(
        "{} has ranges already, and a backup is restored into an empty data_dir: move that one elsewhere, or \
         start the node, empty it (FLUSHALL), and restore into it while it runs",
        .directory.display()
    )]
    NotEmpty {
        /// The data directory.
        directory: PathBuf,
    },
    /// The data directory has no such range.
    #[error("{} has no range \"{range}\"; it has {found}", .directory.display())]
    NoRange {
        /// The data directory.
        directory: PathBuf,
        /// The range that was asked for.
        range: String,
        /// Those that there are.
        found: String,
    },
    /// It is not known which directory has the data of a range.
    #[error("{problem}")]
    Unclear {
        /// Which ones may, and what to do.
        problem: String,
    },
    /// The log of a range has no such entry with requests.
    #[error("the log of range {range} has no requests in entry {index}; it has entries {first} to {last}")]
    NoEntry {
        /// The span of the range.
        range: String,
        /// The index that was asked for.
        index: u64,
        /// The first entry in the log.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// What a range has split off has no files yet.
    #[error(
        "range {range} was split just before it ended: start the node once, until it has logged \"a range was \
         split off\", stop it, and recover both ranges"
    )]
    Splitting {
        /// The span of the range.
        range: String,
    },
    /// The last entries, which may not have been acknowledged, split the range.
    #[error(
        "entry {index} of range {range} splits it, and may not have been acknowledged: leave it out with \
         `range skip {range} {index}`, and recover the range again"
    )]
    SplitMaybe {
        /// The span of the range.
        range: String,
        /// The entry.
        index: u64,
    },
    /// The entry is left out already.
    #[error("entry {index} of range {range} is left out already: start the node")]
    SkippedAlready {
        /// The span of the range.
        range: String,
        /// The entry.
        index: u64,
    },
    /// There are more durable ranges than a node may have.
    #[error("{found} durable ranges; a node may have {limit}: join rows of [[routes]]")]
    TooMany {
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A file of another version of this program.
    #[error(
        "{} has version {found}, and this release knows version {known}: use a release that knows version {found}",
        .path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u8,
        /// Ours.
        known: u8,
    },
    /// A file is not what it should be.
    #[error("{} {problem}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A file or a directory cannot be read or written.
    #[error("{}: {error}{}", .path.display(), if is_bare(.error) { advice(.error.kind()) } else { "" })]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_new_once_until_another_one_or_a_success() {
        let mut last = LastReason::default();
        let mut replace = |reason: Option<&str>| last.replace(reason.map(str::to_owned));
        let news =
            [Some("full"), Some("full"), Some("gone"), None, Some("gone"), Some("gone")].map(&mut replace);
        assert_eq!(news, [true, false, true, false, true, false]);
    }
}
