//! A split: what one range has split off begins as another one, whose replicas are on the same nodes. Each
//! node makes that of its own from what its replica of the range before has executed.

use super::{
    Ranges, Shared,
    replicas::{Found, PART, find_or_make, random},
};
use crate::{
    disk::Disk,
    error::OpenError,
    identity::{
        Identity, Placement, ReplicaSpan, Span,
        data_dir::{DataDir, make_directory},
        failed, read_replica,
        spans::SplitOff,
        write_replica,
    },
    limits::LOG_CACHE_LEAST,
    log::{
        Fsync, LogSettings,
        encoding::{LogId, Position},
    },
    range::Range,
    replica::{files::LOG, renew::begin_log},
    snapshot::files,
};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

impl Ranges {
    /// Opens the replica with which a range begins that this one was to split off; `None` if that is not done
    /// yet. If this replica did not take part, because it got its data from another one, it is empty. Without
    /// a row, the new range is not to be on this node.
    pub(super) fn finish_split(
        &self,
        before: &Arc<Range>,
        row: Option<&ReplicaSpan>,
    ) -> Result<Option<Found>, OpenError> {
        let Some(span) = before.placement().span else { return Ok(None) };
        let end = span.end.as_deref().unwrap_or_default();
        if before.store.split_at().is_none_or(|at| *at > *end) {
            return Ok(None);
        }
        let Some(directory) = self.directory_of(before) else { return Ok(None) };
        let split_off = before.spans.take(end);
        let made = match (row, split_off) {
            (Some(row), Some(split_off)) => self.shared.begin_split_off(&directory, split_off, &row.span),
            _ => Ok(None),
        };
        let made = made.and_then(|made| {
            let identity = read_identity(&directory)?;
            write_replica(&directory, &Identity { span: span.clone(), ..identity })?;
            Ok(made)
        });
        let made = made.inspect_err(|error| before.spans.fail(error.to_string()))?;
        before.spans.shrink(span);
        before.set_placement(Placement { span: None, ..before.placement() });
        match (row, made) {
            (Some(row), None) => {
                let (ranges, threads) = (self.shared.directory(), self.shared.settings.threads);
                find_or_make(&ranges, row, threads).map(Some)
            }
            (_, made) => Ok(made),
        }
    }

    fn directory_of(&self, range: &Arc<Range>) -> Option<PathBuf> {
        let open = self.open.read();
        open.iter().find(|open| Arc::ptr_eq(&open.range, range)).map(|open| open.directory.clone())
    }
}

impl Shared {
    fn begin_split_off(
        &self,
        before: &Path,
        split_off: SplitOff,
        span: &Span,
    ) -> Result<Option<Found>, OpenError> {
        make_split_off(
            &self.directory(),
            &read_identity(before)?,
            split_off,
            span,
            &self.data_dir,
            &self.disk,
        )
    }
}

/// The identity of a replica that has one.
fn read_identity(directory: &Path) -> Result<Identity, OpenError> {
    let missing = || failed(directory)(io::ErrorKind::NotFound.into());
    read_replica(directory)?.ok_or_else(missing)
}

/// Makes the replica of what another one has split off, with the snapshot and the log that it begins with;
/// `None` if that one has no successor, since it came later. All of them begin as if one had led them, and
/// had written one entry: that which comes from the leader of the range before.
pub(super) fn make_split_off(
    ranges: &Path,
    before: &Identity,
    split_off: SplitOff,
    span: &Span,
    data_dir: &DataDir,
    disk: &Disk,
) -> Result<Option<Found>, OpenError> {
    let SplitOff { range, replicas, leader, stamp_ms, last_version, mut frozen, .. } = split_off;
    let successor = |of: u64| replicas.iter().find(|(from, _)| *from == of).map(|(_, to)| *to);
    let (Some(replica), Some(leader)) = (successor(before.replica), successor(leader)) else {
        return Ok(None);
    };
    let identity =
        Identity { range, replica, seed: random(ranges)?, shards: before.shards, span: span.clone() };
    let path = ranges.join(identity.directory_name());
    if fs::exists(&path).map_err(failed(&path))? {
        // A process has ended just after it had made it.
        return read_identity(&path).map(|identity| Some((path, identity)));
    }
    let part = path.with_extension(PART);
    if fs::exists(&part).map_err(failed(&part))? {
        fs::remove_dir_all(&part).map_err(failed(&part))?;
    }
    make_directory(&part).map_err(failed(&part))?;
    let last = LogId { term: 1, leader, index: 1 };
    let mut voters: Vec<_> = replicas.iter().map(|(_, to)| *to).collect();
    voters.sort_unstable();
    let position = Position { last, members_since: last, voters: vec![voters], learners: Vec::new() };
    let header = files::header_of_new(&position, identity.owner(), stamp_ms, last_version);
    files::write(&part, data_dir, disk, &position, &header, &mut frozen)
        .map_err(|error| failed(&part)(io::Error::other(error)))?;
    let log = part.join(LOG);
    let settings = LogSettings::new(&log, identity.owner(), LOG_CACHE_LEAST, Fsync::Always);
    begin_log(settings, last).map_err(failed(&log))?;
    write_replica(&part, &identity)?;
    fs::rename(&part, &path).and_then(|()| File::open(ranges)?.sync_all()).map_err(failed(&path))?;
    tracing::info!(range = &*span.text, directory = %path.display(), "a range was split off");
    Ok(Some((path, identity)))
}
