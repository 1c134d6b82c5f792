//! A split: what one range has split off begins as another one, whose replicas are on the same nodes. Each
//! node makes that of its own from what its replica of the range before has executed.

use super::{
    Ranges, Shared,
    replicas::{Begun, PART, find_or_make, random},
};
use crate::{
    error::OpenError,
    identity::{
        Identity, Placement, ReplicaSpan, Span, data_dir::make_directory, failed, read_replica,
        spans::SplitOff, write_replica,
    },
    limits::LOG_CACHE_LEAST,
    log::{
        Fsync, LogSettings,
        encoding::{LogId, Position},
    },
    range::Range,
    replica::{files::LOG, renew::begin_log},
    snapshot::{SnapshotEncoder, encode_and_visit, files},
};
use kv::{Loader, Record, StateRecord};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

impl Ranges {
    /// Opens the replica of the range that begins with a name, which this one was to split off; `None` if
    /// that is not done yet. If this replica did not take part, because it got its data from another one, it
    /// is empty. Without a row, the new range is not to be on this node. One at a time.
    pub(super) fn finish_split(
        &self,
        before: &Arc<Range>,
        at: &[u8],
        row: Option<&ReplicaSpan>,
    ) -> Result<Option<Begun>, OpenError> {
        let Some(directory) = self.directory_of(before) else { return Ok(None) };
        let split_at = before.store.split_at().filter(|split_at| **split_at <= *at);
        let (split_off, end) = match (before.spans.take(at), split_at) {
            (Some(split_off), _) => (Some(split_off), at.into()),
            (None, Some(split_at)) if !before.spans.is_pending() => (None, split_at),
            (None, _) => return Ok(None),
        };
        let made = match (row, split_off) {
            (Some(row), Some(split_off)) => self.shared.begin_split_off(&directory, split_off, &row.span),
            _ => Ok(None),
        };
        let span = before.placement().span.filter(|span| span.end.as_deref() == Some(&*end));
        let span = span.unwrap_or_else(|| before.span().until(&end));
        let made = made.inspect_err(|error| before.spans.fail(error.to_string()))?;
        // Whoever keeps the file keeps that of these names from now on.
        before.spans.shrink(span.clone());
        let written = read_identity(&directory)
            .and_then(|identity| write_replica(&directory, &Identity { span, ..identity }));
        written.inspect_err(|error| before.spans.fail(error.to_string()))?;
        let placement = before.placement();
        let left = placement.span.clone().filter(|left| left != before.span());
        before.set_placement(Placement { span: left, ..placement });
        match (row, made) {
            (Some(row), None) => {
                let (ranges, threads) = (self.shared.directory(), self.shared.settings.threads);
                find_or_make(&ranges, row, threads).map(|found| Some(Begun { found, store: None }))
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
    /// Makes the replica of what another one has split off, with the snapshot and the log that it begins
    /// with; `None` if that one has no successor, since it came later. All of them begin as if one had led
    /// them, and had written one entry: that which comes from the leader of the range before.
    fn begin_split_off(
        &self,
        before: &Path,
        split_off: SplitOff,
        span: &Span,
    ) -> Result<Option<Begun>, OpenError> {
        let SplitOff { range, replicas, leader, stamp_ms, last_version, mut frozen, .. } = split_off;
        let (ranges, before) = (&self.directory(), read_identity(before)?);
        let successor = |of: u64| replicas.iter().find(|(from, _)| *from == of).map(|(_, to)| *to);
        let (Some(replica), Some(leader)) = (successor(before.replica), successor(leader)) else {
            return Ok(None);
        };
        let identity =
            Identity { range, replica, seed: random(ranges)?, shards: before.shards, span: span.clone() };
        let path = ranges.join(identity.directory_name());
        if fs::exists(&path).map_err(failed(&path))? {
            // A process has ended just after it had made it.
            let identity = read_identity(&path)?;
            return Ok(Some(Begun { found: (path, identity), store: None }));
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
        let last_version = StateRecord::LastVersion(last_version);
        let header = files::header_of_new(&position, identity.owner(), stamp_ms, &last_version);
        // It is loaded while it is written, since clients wait for it.
        let store = self.store(&identity);
        let (mut loader, mut refused) = (Loader::new(&store, stamp_ms), None);
        let mut load = |record: Record<'_>| refused = loader.load(record).err().or(refused.take());
        let encode = |encoder: &mut SnapshotEncoder| encode_and_visit(&mut frozen, encoder, &mut load);
        let written = files::write(&part, &self.data_dir, &self.disk, &position, &header, encode);
        written.map_err(|error| failed(&part)(io::Error::other(error)))?;
        loader.finish();
        let loaded = refused.map_or(Ok(()), Err).and_then(|()| store.load_state(last_version));
        loaded.map_err(|error| failed(&part)(io::Error::other(error)))?;
        let log = part.join(LOG);
        let settings = LogSettings::new(&log, identity.owner(), LOG_CACHE_LEAST, Fsync::Always);
        begin_log(settings, last).map_err(failed(&log))?;
        write_replica(&part, &identity)?;
        fs::rename(&part, &path).and_then(|()| File::open(ranges)?.sync_all()).map_err(failed(&path))?;
        tracing::info!(range = &*span.text, directory = %path.display(), "a range was split off");
        Ok(Some(Begun { found: (path, identity), store: Some(store) }))
    }
}

/// The identity of a replica that has one.
fn read_identity(directory: &Path) -> Result<Identity, OpenError> {
    let missing = || failed(directory)(io::ErrorKind::NotFound.into());
    read_replica(directory)?.ok_or_else(missing)
}
