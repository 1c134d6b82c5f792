//! The files of a replica, and what others do to them while it runs. What is written to a file that was
//! removed is gone when the process ends, so a log is written again from memory then.

use crate::{
    error::{OpenError, ways_out},
    identity::{
        Identity, REPLICA_FILE,
        data_dir::{DataDir, make_directory, warn_of_others},
        failed, read_replica, read_synced, write_replica, write_synced,
    },
    limits::{LOG_CHECK_PAUSE, SYNCED_NOTE_PAUSE},
    log::{Log, encoding::LogId},
    range::Range,
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};
use tokio::{task::spawn_blocking, time::interval};

/// The directory of a log.
pub(crate) const LOG: &str = "log";

/// Where a replica has its files, and whose they are.
#[derive(Debug, Clone)]
pub(crate) struct ReplicaFiles {
    pub(crate) identity: Identity,
    pub(crate) data_dir: Arc<DataDir>,
    pub(crate) directory: PathBuf,
}

impl ReplicaFiles {
    /// Makes again what others have removed: the directory, and the file that says which replica it has.
    /// Fails if the data directory is not that of this process any more.
    pub(super) fn keep(&self) -> Result<(), OpenError> {
        let ReplicaFiles { identity, data_dir, directory } = self;
        data_dir.check()?;
        if !read_replica(directory).is_ok_and(|found| found.as_ref() == Some(identity)) {
            make_directory(directory).map_err(failed(directory))?;
            write_replica(directory, identity)?;
            warn_of_others(&directory.join(REPLICA_FILE));
        }
        Ok(())
    }

    /// Fails if the log ends before an entry that was on disk.
    pub(super) fn check_end(&self, last: Option<LogId>) -> Result<(), String> {
        let synced = read_synced(&self.directory).unwrap_or_else(|error| {
            tracing::warn!(%error, "it is not known how far a log was on disk");
            0
        });
        let last = last.map_or(0, |last| last.index);
        if last >= synced {
            return Ok(());
        }
        Err(format!(
            "{}: the log ends at entry {last}, and entry {synced} was on disk, says `synced` beside it: its newest \
             file is missing or was cut; put it back, or {}",
            self.directory.join(LOG).display(),
            ways_out(&self.directory)
        ))
    }

    /// Notes that the log is on disk up to this entry. The directory must be that of this process.
    pub(super) fn note_synced(&self, index: u64) {
        if let Err(error) = write_synced(&self.directory, index) {
            tracing::warn!(%error, "it cannot be noted how far a log is on disk");
        }
    }

    /// Has a log that an early version made say whose it is. Such a version must not open it then.
    pub(super) fn name_log(&self, log: &mut Log) -> Result<(), String> {
        if log.has_owner() {
            return Ok(());
        }
        write_replica(&self.directory, &self.identity).map_err(|error| error.to_string())?;
        log.save_owner(self.identity.owner()).map_err(|error| error.to_string())
    }
}

/// When it was noted last how far a log is on disk, and in which of its files that was.
struct SyncedNote {
    file: Option<PathBuf>,
    /// Whether the file had begun just then: what filled the one before it may not have been on disk.
    has_begun: bool,
    noted: Instant,
}

impl SyncedNote {
    /// Notes it when a file has begun, once more after that, and when a minute has passed.
    fn update(&mut self, newest: Option<&PathBuf>, files: &ReplicaFiles, synced: u64) {
        let has_begun = self.file.as_ref() != newest;
        if has_begun || self.has_begun || self.noted.elapsed() >= SYNCED_NOTE_PAUSE {
            *self = SyncedNote { file: newest.cloned(), has_begun, noted: Instant::now() };
            files.note_synced(synced);
        }
    }
}

/// Looks at the files of a range from time to time. Returns why the log is not on disk any more, when it is
/// not.
pub(super) async fn watch_files(files: &ReplicaFiles, range: &Range, log: &Arc<Mutex<Log>>) -> String {
    let (mut log_files, mut ticks) = (LogFiles::default(), interval(LOG_CHECK_PAUSE));
    let mut note = SyncedNote { file: log.lock().files().pop(), has_begun: false, noted: Instant::now() };
    loop {
        ticks.tick().await;
        // It is locked as long as a large group is copied.
        let Some(paths) = log.try_lock().map(|log| log.files()) else { continue };
        let (snapshot, files) = (range.snapshots.file(), files.clone());
        let (synced, used) = (range.synced(), log.clone());
        let look = move || {
            // The range does not end, and its log is not opened again, as long as this runs.
            let _used = used;
            let newest = paths.last().cloned();
            let lost = log_files.look(paths);
            let kept = if lost.is_none() { files.keep() } else { Ok(()) };
            if lost.is_none() && kept.is_ok() {
                note.update(newest.as_ref(), &files, synced);
            }
            let is_gone =
                |(path, bytes): &(PathBuf, u64)| !fs::metadata(path).is_ok_and(|found| found.len() == *bytes);
            (log_files, note, lost, kept, snapshot.filter(is_gone))
        };
        let (lost, kept, lost_snapshot);
        (log_files, note, lost, kept, lost_snapshot) = match spawn_blocking(look).await {
            Ok(looked) => looked,
            Err(panic) => return panic.to_string(),
        };
        // The log may have removed it itself meanwhile.
        let has = |path: &PathBuf| log.try_lock().is_some_and(|log| log.files().contains(path));
        if let Some(path) = lost.filter(has) {
            return removed(&path);
        }
        if let Err(error) = kept {
            tracing::error!(range = &*range.span().text, %error, "a file cannot be made again");
        }
        // As the next one is written, this one is removed.
        if lost_snapshot.is_some() && range.snapshots.file() == lost_snapshot && range.may_begin_snapshot() {
            lost_snapshot.iter().for_each(|(path, _)| warn_of_others(path));
            drop(range.snapshots.take());
        }
    }
}

fn removed(path: &Path) -> String {
    format!("{} was removed, replaced or cut by others: leave the data directory to the node", path.display())
}

/// The files of a log as they were when they were looked at last.
#[derive(Debug, Default)]
struct LogFiles(BTreeMap<PathBuf, LogFile>);

/// A file that the log has open: no other one has its number.
#[derive(Debug, Clone, Copy)]
struct LogFile {
    device: u64,
    number: u64,
    bytes: u64,
}

impl LogFiles {
    /// Looks at the files that the log has. Returns one that others have removed, replaced or cut.
    fn look(&mut self, paths: Vec<PathBuf>) -> Option<PathBuf> {
        let mut seen = BTreeMap::new();
        for path in paths {
            let before = self.0.get(&path);
            match LogFile::find(&path).filter(|found| before.is_none_or(|before| found.goes_on_from(before)))
            {
                Some(found) => drop(seen.insert(path, found)),
                None => return Some(path),
            }
        }
        self.0 = seen;
        None
    }
}

impl LogFile {
    fn find(path: &Path) -> Option<LogFile> {
        let found = fs::metadata(path).ok()?;
        Some(LogFile { device: found.dev(), number: found.ino(), bytes: found.len() })
    }

    fn goes_on_from(&self, before: &LogFile) -> bool {
        (self.device, self.number) == (before.device, before.number) && self.bytes >= before.bytes
    }
}
