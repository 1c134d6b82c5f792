//! The files of a replica, and what others do to them while it runs. What is written to a file that was
//! removed is gone when the process ends, so a log is written again from memory then.

use crate::{
    error::{LastReason, OpenError, ways_out},
    identity::{
        Identity, REPLICA_FILE,
        data_dir::{DataDir, make_directory, warn_of_others},
        failed, read_replica, read_synced, write_replica, write_synced,
    },
    limits::{LOG_CHECK_PAUSE, LOG_LOOK_PAUSE, LOG_LOOKS, SYNCED_NOTE_PAUSE},
    log::{Log, encoding::LogId},
    range::Range,
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
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
        data_dir.keep()?;
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
    let newest = log.lock().files().files.pop().map(|file| file.path);
    let mut note = SyncedNote { file: newest.clone(), has_begun: false, noted: Instant::now() };
    let mut watch = LogWatch { newest, ..LogWatch::default() };
    let mut last = LastReason::default();
    let mut ticks = interval(LOG_CHECK_PAUSE);
    loop {
        ticks.tick().await;
        let (snapshot, files) = (range.snapshots.file(), files.clone());
        // The range does not end, and its log is not opened again, as long as this runs.
        let (synced, log) = (range.synced(), log.clone());
        let look = move || {
            let lost = watch.look(&log);
            let kept = if lost.is_none() { files.keep() } else { Ok(()) };
            if lost.is_none() && kept.is_ok() {
                note.update(watch.newest.as_ref(), &files, synced);
            }
            let is_gone =
                |(path, bytes): &(PathBuf, u64)| !fs::metadata(path).is_ok_and(|found| found.len() == *bytes);
            (watch, note, lost, kept, snapshot.filter(is_gone))
        };
        let (lost, kept, lost_snapshot);
        (watch, note, lost, kept, lost_snapshot) = match spawn_blocking(look).await {
            Ok(looked) => looked,
            Err(panic) => return panic.to_string(),
        };
        if let Some(path) = lost {
            return removed(&path);
        }
        let reason = kept.err().map(|error| error.to_string());
        if last.replace(reason.clone()) {
            tracing::error!(range = &*range.span().text, reason, "a file cannot be made again");
        }
        // As the next one is written, this one is removed.
        if lost_snapshot.is_some() && range.snapshots.file() == lost_snapshot && range.may_begin_snapshot() {
            lost_snapshot.iter().for_each(|(path, _)| warn_of_others(path));
            drop(range.snapshots.take());
        }
    }
}

fn removed(path: &Path) -> String {
    format!(
        "{} was removed, replaced, cut or written to by others: leave the data directory to the node",
        path.display()
    )
}

/// The files of a log that were seen.
#[derive(Debug, Default)]
struct LogWatch {
    /// Their devices and numbers: no other file has them as long as the log has its own open.
    numbers: BTreeMap<PathBuf, (u64, u64)>,
    newest: Option<PathBuf>,
}

impl LogWatch {
    /// Looks at the files of a log. Returns one that others have removed, replaced, cut or written to. What
    /// is on its way to the newest one may or may not be in it: then it looks again.
    fn look(&mut self, log: &Mutex<Log>) -> Option<PathBuf> {
        let mut was_idle = true;
        for _ in 0..LOG_LOOKS {
            // It is locked as long as a large group is copied.
            let before = log.try_lock().map(|log| log.files())?;
            let found: Vec<_> = before.files.iter().map(|file| fs::metadata(&file.path).ok()).collect();
            let after = log.try_lock().map(|log| log.files())?;
            // Those that the log has removed itself meanwhile are not among these.
            let mut numbers = BTreeMap::new();
            for file in &after.files {
                let seen = before.files.iter().zip(&found).find(|(before, _)| before.path == file.path);
                let Some((before, found)) = seen else { continue };
                let number = found.as_ref().map(|found| (found.dev(), found.ino()));
                let is_same =
                    number.is_some() && self.numbers.get(&file.path).is_none_or(|seen| number == Some(*seen));
                let is_whole = |found: &Metadata| (before.written..=file.size).contains(&found.len());
                match number.filter(|_| is_same && found.as_ref().is_some_and(is_whole)) {
                    Some(number) => drop(numbers.insert(file.path.clone(), number)),
                    None => return Some(file.path.clone()),
                }
            }
            self.numbers = numbers;
            let (newest, found) = before.files.last().zip(found.last()?.as_ref())?;
            self.newest = Some(newest.path.clone());
            if newest.written == found.len() {
                return None;
            }
            let is_same = after.files.last().is_some_and(|file| file.written == newest.written);
            was_idle &= before.is_idle && after.is_idle && is_same;
            thread::sleep(LOG_LOOK_PAUSE);
        }
        self.newest.clone().filter(|_| was_idle)
    }
}
