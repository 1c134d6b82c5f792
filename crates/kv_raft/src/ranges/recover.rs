//! Gets a range going again that cannot heal itself, while no process uses the data directory: without the
//! majority of its replicas, which is gone for good, or with an empty replica in place of a damaged one.

use super::{
    RANGES_DIRECTORY,
    replicas::{Found, find_range, keep_aside, make_replica},
};
use crate::{
    disk::Disk,
    error::OpenError,
    identity::{
        Ids,
        data_dir::{DataDir, lock_when_free, make_directory},
        failed, read_skipped,
        spans::Spans,
    },
    limits::LOG_CACHE_LEAST,
    log::{
        Fsync, Log, LogSettings,
        encoding::{LogId, Position},
    },
    machine::{InFlight, Machine, Progress},
    replica::{
        files::LOG,
        renew::{begin_log, open_log},
    },
    snapshot::{encode_store, files, taking::Snapshots},
};
use kv::{FreezeBudget, Store};
use std::{
    fs::{self, File},
    io,
    path::{self, Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::sync::oneshot;

/// Where a replica is made until it is whole.
const RECOVER_PART: &str = "recover.part";

/// A replica that can be made the only one of its range. Its data directory is locked as long as it is there.
#[derive(Debug)]
pub struct Recoverable {
    data_dir: PathBuf,
    node: String,
    found: Found,
    log: Log,
    lock: File,
}

impl Recoverable {
    /// Finds the replica of a node, by the span of its range, such as `a..m`, or its directory.
    pub fn find(data_dir: &Path, node: &str, range: &str) -> Result<Recoverable, OpenError> {
        let data_dir = path::absolute(data_dir).map_err(failed(data_dir))?;
        let lock = lock_when_free(&data_dir)?;
        let found = find_range(&data_dir.join(RANGES_DIRECTORY), range)?;
        let (directory, identity) = &found;
        let log = open_log(directory, identity.owner(), LOG_CACHE_LEAST, Fsync::Always)
            .map_err(failed(directory))?;
        Ok(Recoverable { data_dir, node: node.to_owned(), found, log, lock })
    }

    /// The index of the last entry of its log: those after it are lost.
    pub fn last_entry(&self) -> u64 {
        self.log.last().map_or(0, |last| last.index)
    }

    /// The index of the last entry that it knows to have been acknowledged. Those after it may have been, or
    /// not: they count as acknowledged from now on.
    pub fn acknowledged_entry(&self) -> u64 {
        self.log.committed().map_or(0, |committed| committed.index)
    }

    /// Makes a new replica of all that this one has, as the only member of its range, in its place. Returns
    /// where this one is kept. It has an id of its own, so the replicas that are gone cannot take it for one
    /// of theirs if they come back.
    pub fn recover(self, threads: usize) -> Result<PathBuf, OpenError> {
        let Recoverable { data_dir, node, found: (directory, identity), log, lock } = self;
        let part = data_dir.join(RECOVER_PART);
        if fs::exists(&part).map_err(failed(&part))? {
            fs::remove_dir_all(&part).map_err(failed(&part))?;
        }
        make_directory(&part).map_err(failed(&part))?;
        let mut ids = Ids::open(&data_dir, &node)?;
        let id = ids.take(1, identity.range)?.start;
        let node = ids.into_node();
        let disk = Arc::new(Disk::open(&data_dir).map_err(failed(&data_dir))?);
        let data = Arc::new(DataDir::new(&data_dir, lock, node)?);
        let budget = Arc::<FreezeBudget>::default();
        let text = identity.span.text.clone();
        let (owner, disk_of_log) = (identity.owner(), disk.clone());
        let snapshots =
            Snapshots::new(text, data.clone(), directory.clone(), owner, disk_of_log, budget.clone());
        let store = Arc::new(Store::for_range(owner.seed, identity.shards as usize));
        let spans = Arc::new(Spans::new(identity.span.clone(), None));
        let progress = execute_all(&directory, &log, &snapshots, &store, &spans)?;

        let (made, new) = make_replica(&part, &identity.span, threads, id)?;
        let term = log.vote().map_or(0, |vote| vote.term).max(log.last().map_or(0, |last| last.term));
        let index = log.last().map_or(0, |last| last.index) + 1;
        // As if the new one had been elected, and had named itself the only member.
        let last = LogId { term: term + 1, leader: new.replica, index };
        let position =
            Position { last, members_since: last, voters: vec![vec![new.replica]], learners: Vec::new() };
        let header = files::header(&position, new.owner(), progress.stamp_ms.load(Relaxed), &store);
        let mut frozen = store.freeze(&budget).expect("nobody else freezes it");
        let written = files::write(&made, &data, &disk, &position, &header, |encoder| {
            encode_store(&mut frozen, encoder)
        });
        written.map_err(|error| failed(&made)(io::Error::other(error)))?;
        let new_log = made.join(LOG);
        let settings = LogSettings::new(&new_log, new.owner(), LOG_CACHE_LEAST, Fsync::Always);
        begin_log(settings, last).map_err(failed(&new_log))?;
        drop(log);
        let ranges = data_dir.join(RANGES_DIRECTORY);
        let place = ranges.join(new.directory_name());
        fs::rename(&made, &place)
            .and_then(|()| File::open(&ranges)?.sync_all())
            .and_then(|()| fs::remove_dir_all(&part))
            .map_err(failed(&place))?;
        // If it ends here, there are two, and the next start asks which one to keep.
        keep_aside(&data_dir, &directory)
    }
}

/// Executes the whole log of a replica behind its snapshot, whether or not its entries are known to have been
/// acknowledged.
fn execute_all(
    directory: &Path,
    log: &Log,
    snapshots: &Snapshots,
    store: &Arc<Store>,
    spans: &Arc<Spans>,
) -> Result<Arc<Progress>, OpenError> {
    let failed_at = |error: &dyn ToString| failed(directory)(io::Error::other(error.to_string()));
    let progress = Arc::<Progress>::default();
    let snapshot = snapshots.load(store, log.purged()).map_err(|error| failed_at(&error))?;
    if let Some(snapshot) = snapshot {
        progress.begin_at(snapshot.position, snapshot.stamp_ms);
    }
    let (ended, _machine_ended) = oneshot::channel();
    let machine = Machine {
        store: store.clone(),
        progress: progress.clone(),
        in_flight: InFlight::default(),
        spans: spans.clone(),
        skipped: read_skipped(directory)?,
        _ended: ended,
    };
    let first = progress.position().map_or(0, |position| position.last.index + 1);
    let end = log.last().map_or(0, |last| last.index + 1);
    for index in first..end {
        let entry = log.read(index..index + 1).map_err(|error| failed_at(&error))?.pop();
        let missing = || failed_at(&format!("entry {index} is not in the log"));
        let (id, payload) = entry.ok_or_else(missing)?;
        machine.replay(id, payload).map_err(|error| failed_at(&error))?;
        if spans.is_pending() {
            let range = spans.newest().text.to_string();
            let is_acknowledged = log.committed().is_some_and(|committed| committed.index >= index);
            return Err(match is_acknowledged {
                true => OpenError::Splitting { range },
                false => OpenError::SplitMaybe { range, index },
            });
        }
    }
    Ok(progress)
}

/// Moves the replica of a range out of its place, so that the node makes an empty one at its next start,
/// which gets its data from the other nodes. Returns where it is kept.
pub fn set_aside(data_dir: &Path, range: &str) -> Result<PathBuf, OpenError> {
    let data_dir = &path::absolute(data_dir).map_err(failed(data_dir))?;
    let _lock = lock_when_free(data_dir)?;
    let (directory, _) = find_range(&data_dir.join(RANGES_DIRECTORY), range)?;
    keep_aside(data_dir, &directory)
}
