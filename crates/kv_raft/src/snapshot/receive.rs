//! The snapshot of another replica, as it arrives in parts.

use crate::{
    disk::{Disk, NoSpace},
    log::encoding::LogId,
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// The file that it is, until it is loaded, and the one that it is written to. What is whole may be needed to
/// begin again, so that the next one does not take its place before it is whole.
const INCOMING: &str = "incoming";
const PART: &str = "incoming.part";

/// Which snapshot arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SnapshotId {
    /// The replica that it is of.
    pub(crate) replica: u64,
    /// Its last entry.
    pub(crate) last: LogId,
    /// Its bytes.
    pub(crate) bytes: u64,
}

/// A snapshot that arrives.
#[derive(Debug)]
pub(crate) struct IncomingSnapshot {
    id: SnapshotId,
    file: File,
    received: u64,
}

/// What there is of it.
pub(crate) enum Received {
    /// The bytes before this one.
    Next(u64),
    /// All, in this file.
    Whole(PathBuf),
}

/// Why it cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReceived {
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Takes the next part of a snapshot. Another one takes the place of that which was arriving.
pub(crate) fn receive(
    directory: &Path,
    disk: &Disk,
    incoming: &mut Option<IncomingSnapshot>,
    id: SnapshotId,
    offset: u64,
    part: &[u8],
) -> Result<Received, NotReceived> {
    let part_path = directory.join(PART);
    let arriving = match incoming.take() {
        Some(arriving) if arriving.id == id => incoming.insert(arriving),
        _ => {
            disk.check_snapshot_room(id.bytes, 0)?;
            incoming.insert(IncomingSnapshot { id, file: File::create(&part_path)?, received: 0 })
        }
    };
    let is_next = offset == arriving.received && part.len() as u64 <= id.bytes - offset;
    if !is_next || (part.is_empty() && offset < id.bytes) {
        return Ok(Received::Next(arriving.received));
    }
    arriving.file.write_all_at(part, offset)?;
    arriving.received += part.len() as u64;
    if !part.is_empty() {
        return Ok(Received::Next(arriving.received));
    }
    arriving.file.sync_all()?;
    let path = path(directory);
    fs::rename(part_path, &path)?;
    File::open(directory)?.sync_all()?;
    Ok(Received::Whole(path))
}

/// Where it is.
pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join(INCOMING)
}

/// Removes one that was loaded, and what is left of one that did not arrive.
pub(crate) fn remove(directory: &Path) {
    for name in [INCOMING, PART] {
        // What cannot be removed is written again.
        drop(fs::remove_file(directory.join(name)));
    }
}
