//! Fills an empty data directory with the records of a backup, while no node uses it. All of it is written
//! beside its place and takes that when it is on disk, so a node never starts with a part.

use super::{
    PART, RANGES_DIRECTORY, check_place,
    replicas::{check_count, make_replica},
};
use crate::{
    error::OpenError,
    identity::{
        Identity, Ids, Owner, Span,
        data_dir::{lock_when_free, make_directory},
        failed,
    },
    limits::{LOG_CACHE_LEAST, SNAPSHOT_BLOCK_BYTES},
    log::{
        Fsync, LogSettings,
        encoding::{LogId, Position},
    },
    replica::{files::LOG, renew::begin_log},
    snapshot::{SnapshotEncoder, SnapshotHeader, SnapshotKind, files},
};
use kv::Record;
use std::{
    fs::{self, File},
    io::Write,
    mem,
    path::{self, Path, PathBuf},
};

/// A data directory that is being filled. What is written is removed again unless it is finished.
#[derive(Debug)]
pub struct Restore {
    directory: PathBuf,
    part: PathBuf,
    ranges: Vec<RangeFile>,
    /// The range of the last bucket.
    open: Option<usize>,
    _lock: File,
}

/// The first snapshot of a range.
#[derive(Debug)]
struct RangeFile {
    span: Span,
    owner: Owner,
    directory: PathBuf,
    path: PathBuf,
    file: File,
    last: LogId,
    encoder: SnapshotEncoder,
}

impl Restore {
    /// Begins to fill a directory with ranges of these spans, as of `stamp_ms` (milliseconds since 1970). It
    /// must not have ranges.
    pub fn begin(
        data_dir: &Path,
        node: &str,
        spans: &[Span],
        threads: usize,
        stamp_ms: u64,
    ) -> Result<Restore, OpenError> {
        check_count(spans.len())?;
        let data_dir = &path::absolute(data_dir).map_err(failed(data_dir))?;
        check_place(data_dir)?;
        make_directory(data_dir).map_err(failed(data_dir))?;
        let lock = lock_when_free(data_dir)?;
        let (directory, part) = (data_dir.join(RANGES_DIRECTORY), data_dir.join(PART));
        let is_used = fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_some());
        if is_used {
            return Err(OpenError::NotEmpty { directory: data_dir.into() });
        }
        let ids = Ids::open(data_dir, node)?.take(spans.len(), 0)?;
        if fs::exists(&part).map_err(failed(&part))? {
            fs::remove_dir_all(&part).map_err(failed(&part))?;
        }
        fs::create_dir(&part).map_err(failed(&part))?;
        let mut restore = Restore { directory, part, ranges: Vec::new(), open: None, _lock: lock };
        let mut made = Vec::new();
        for (id, span) in ids.zip(spans) {
            made.push(make_replica(&restore.part, span, threads, id)?);
        }
        for (directory, identity) in made {
            restore.ranges.push(RangeFile::begin(directory, identity, stamp_ms)?);
        }
        Ok(restore)
    }

    /// Adds the next record; `false` if its name is in no range.
    pub fn add(&mut self, record: Record<'_>) -> Result<bool, OpenError> {
        if let Some(full) = record.full() {
            self.open = self.ranges.iter().position(|range| range.span.contains(full.name));
        }
        let Some(index) = self.open else { return Ok(false) };
        let range = &mut self.ranges[index];
        range.encoder.add(record);
        if range.encoder.waiting_bytes() >= SNAPSHOT_BLOCK_BYTES {
            range.file.write_all(&range.encoder.take_blocks()).map_err(failed(&range.path))?;
        }
        Ok(true)
    }

    /// Puts all of it into its place, on disk.
    pub fn finish(mut self) -> Result<(), OpenError> {
        for range in mem::take(&mut self.ranges) {
            range.finish()?;
        }
        let sync = |directory: &Path| File::open(directory)?.sync_all();
        let data_dir = self.part.parent().unwrap_or(&self.part);
        sync(&self.part)
            .and_then(|()| fs::rename(&self.part, &self.directory))
            .and_then(|()| sync(data_dir))
            .map_err(failed(&self.directory))
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        // It is not there if it has been finished.
        let _ = fs::remove_dir_all(&self.part);
    }
}

impl RangeFile {
    fn begin(directory: PathBuf, identity: Identity, stamp_ms: u64) -> Result<Self, OpenError> {
        let (owner, Identity { replica, span, .. }) = (identity.owner(), identity);
        // As if the replica had led its range, and written one entry.
        let last = LogId { term: 1, leader: replica, index: 1 };
        let position =
            Position { last, members_since: last, voters: vec![vec![replica]], learners: Vec::new() };
        let header = SnapshotHeader {
            kind: SnapshotKind::Range,
            stamp_ms,
            description: files::description(&position, owner),
        };
        let path = files::path(&directory, last.index);
        let file = File::create_new(&path).map_err(failed(&path))?;
        Ok(RangeFile { span, owner, directory, path, file, last, encoder: SnapshotEncoder::new(&header) })
    }

    fn finish(mut self) -> Result<(), OpenError> {
        let log = self.directory.join(LOG);
        self.file
            .write_all(&self.encoder.finish())
            .and_then(|()| self.file.sync_all())
            .map_err(failed(&self.path))?;
        let settings = LogSettings::new(&log, self.owner, LOG_CACHE_LEAST, Fsync::Always);
        begin_log(settings, self.last).map_err(failed(&log))?;
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(failed(&self.directory))
    }
}

#[cfg(test)]
mod tests;
