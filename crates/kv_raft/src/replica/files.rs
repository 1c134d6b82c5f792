//! The files of a replica, and what others do to them while it runs. What is written to a file that was
//! removed is gone when the process ends, so a log is written again from memory then.

use crate::{
    error::{LastReason, OpenError, panicked},
    identity::{
        Identity, Owner, REPLICA_FILE,
        data_dir::{DataDir, make_directory, warn_of_others},
        failed, read_replica,
        spans::Spans,
        write_replica, write_synced,
    },
    limits::{LOG_CHECK_PAUSE, LOG_LOOK_PAUSE, LOG_LOOKS, SYNCED_NOTE_PAUSE},
    log::{Log, LogFile, LogFiles},
    range::Range,
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    ops::RangeInclusive,
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
    identity: Identity,
    spans: Arc<Spans>,
    pub(crate) data_dir: Arc<DataDir>,
    pub(crate) directory: PathBuf,
}

impl ReplicaFiles {
    /// The files of a replica in this directory. Its names become fewer when it is split.
    pub(crate) fn new(
        identity: Identity,
        spans: Arc<Spans>,
        data_dir: Arc<DataDir>,
        directory: PathBuf,
    ) -> ReplicaFiles {
        ReplicaFiles { identity, spans, data_dir, directory }
    }

    /// Whose they are.
    pub(crate) fn owner(&self) -> Owner {
        self.identity.owner()
    }

    /// What they say of the replica.
    fn identity(&self) -> Identity {
        Identity { span: self.spans.newest().clone(), ..self.identity.clone() }
    }

    /// Makes again what others have removed: the directory, and the file that says which replica it has.
    /// Fails if the data directory is not that of this process any more.
    pub(super) fn keep(&self) -> Result<(), OpenError> {
        let (identity, directory) = (self.identity(), &self.directory);
        self.data_dir.keep()?;
        if !read_replica(directory).is_ok_and(|found| found.as_ref() == Some(&identity)) {
            make_directory(directory).map_err(failed(directory))?;
            write_replica(directory, &identity)?;
            warn_of_others(&directory.join(REPLICA_FILE));
        }
        Ok(())
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
        write_replica(&self.directory, &self.identity()).map_err(|error| error.to_string())?;
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
        let (snapshot, directory, files) = (range.snapshots.file(), &files.directory, files.clone());
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
            Err(_) => return panicked(directory),
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
            let look = Look::at(log)?;
            if let Some(changed) = self.compare(&look) {
                return Some(changed);
            }
            let (newest, found) = look.newest()?;
            self.newest = Some(newest.path.clone());
            if newest.written == found.len() {
                return None;
            }
            was_idle &= look.is_idle();
            thread::sleep(LOG_LOOK_PAUSE);
        }
        self.newest.clone().filter(|_| was_idle)
    }

    /// Notes the files, unless one is not that which was seen before, or has not the bytes that it should:
    /// then it returns that one.
    fn compare(&mut self, look: &Look) -> Option<PathBuf> {
        let mut numbers = BTreeMap::new();
        for (path, bytes, found) in look.kept() {
            let whole = found.filter(|found| bytes.contains(&found.len()));
            let seen = self.numbers.get(path);
            match whole.map(|found| (found.dev(), found.ino())) {
                Some(number) if seen.is_none_or(|seen| *seen == number) => {
                    numbers.insert(path.to_owned(), number);
                }
                _ => return Some(path.to_owned()),
            }
        }
        self.numbers = numbers;
        None
    }
}

/// A look at the files of a log: what was found, and what the log says of them before and after that.
struct Look {
    before: LogFiles,
    /// Of each of those before.
    found: Vec<Option<Metadata>>,
    after: LogFiles,
}

impl Look {
    /// `None` if the log is locked, as it is while a large group is copied.
    fn at(log: &Mutex<Log>) -> Option<Look> {
        let before = log.try_lock().map(|log| log.files())?;
        let found = before.files.iter().map(|file| fs::metadata(&file.path).ok()).collect();
        let after = log.try_lock().map(|log| log.files())?;
        Some(Look { before, found, after })
    }

    /// The files, but for those that the log has removed or begun meanwhile: how many bytes each may have,
    /// and what was found.
    fn kept(&self) -> impl Iterator<Item = (&Path, RangeInclusive<u64>, Option<&Metadata>)> {
        self.after.files.iter().filter_map(|after| {
            let index = self.before.files.iter().position(|before| before.path == after.path)?;
            let bytes = self.before.files[index].written..=after.size;
            Some((&*after.path, bytes, self.found[index].as_ref()))
        })
    }

    /// The newest file, if it was found.
    fn newest(&self) -> Option<(&LogFile, &Metadata)> {
        self.before.files.last().zip(self.found.last()?.as_ref())
    }

    /// Whether nothing was on its way to the newest file.
    fn is_idle(&self) -> bool {
        let written = |files: &LogFiles| files.files.last().map(|newest| newest.written);
        self.before.is_idle && self.after.is_idle && written(&self.before) == written(&self.after)
    }
}
