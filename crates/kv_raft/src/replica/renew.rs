//! Writes a log again that has failed. What is on disk after a failed write or sync is not known, whatever
//! can be read of it, so nothing is read: the store has all that was acknowledged. It becomes a snapshot, and
//! an empty log, made in a directory of its own, goes on behind it.

use super::files::{LOG, ReplicaFiles};
use crate::{
    error::{LastReason, panicked, unusable, ways_out},
    identity::{Owner, failed, read_synced},
    limits::{LOG_CACHE_LEAST, RENEW_PAUSE, RENEW_PAUSE_LIMIT},
    log::{
        Fsync, Log, LogSettings,
        encoding::{Done, LogId, Vote},
    },
    range::Range,
    snapshot::files,
};
use std::{
    fs::{self, File},
    io,
    path::Path,
    sync::mpsc::channel,
};
use tokio::time::sleep;

/// The directories of a log that takes the place of another one, of a part of it, and of one that has failed.
const NEXT: &str = "log.next";
const PART: &str = "log.part";
const FAILED: &str = "log.failed";

/// Tries until the disk takes a snapshot and a new log in the range's directory. Fails if it does not before
/// the range is closed.
pub(super) async fn renew_log(kept: &ReplicaFiles, range: &Range, cache_bytes: usize) -> Result<(), String> {
    let (mut pause, mut last) = (RENEW_PAUSE, LastReason::default());
    loop {
        let is_closed = range.proposals.is_closed();
        let Err(reason) = try_to_renew_log(kept, range, cache_bytes).await else { return Ok(()) };
        if is_closed {
            return Err(reason);
        }
        if last.replace(Some(reason.clone())) {
            let span = &*range.span().text;
            tracing::error!(range = span, reason, "the log cannot be written again; trying again");
        }
        range.fail_log(&reason);
        sleep(pause).await;
        pause = (pause * 2).min(RENEW_PAUSE_LIMIT);
    }
}

/// The next log is there before its snapshot, from which moment on it is the log of the range, whatever the
/// one that has failed still holds after a loss of power.
async fn try_to_renew_log(kept: &ReplicaFiles, range: &Range, cache_bytes: usize) -> Result<(), String> {
    let directory = &*kept.directory;
    let Some(position) = range.progress.position() else { return Err("it has no entry".into()) };
    let (last, fsync, kept) = (position.last, range.fsync, kept.clone());
    let begin = move |directory: &Path| {
        // Others may have removed all of it.
        kept.keep().map_err(io::Error::other)?;
        begin_next(directory, kept.owner(), cache_bytes, fsync, last)
    };
    run_blocking(directory, begin).await?;
    let newest = || range.snapshots.status().newest.map(|newest| newest.position);
    let is_there = || newest().as_ref() == Some(&position) && files::path(directory, last.index).exists();
    if !is_there() {
        // A backup that is being taken can wait, and writes cannot.
        range.store.end_freeze();
        if let Some(taking) = range.snapshots.begin(&range.store, &range.progress) {
            taking.finish().await;
        }
    }
    if !is_there() {
        let failure = range.snapshots.status().failure;
        return Err(failure.as_deref().unwrap_or("no snapshot was written").to_owned());
    }
    run_blocking(directory, replace_log).await
}

async fn run_blocking(
    directory: &Path,
    run: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
) -> Result<(), String> {
    let path = directory.to_owned();
    let result = tokio::task::spawn_blocking(move || run(&path)).await.map_err(|_| panicked(directory))?;
    result.map_err(|error| match error.raw_os_error() {
        Some(_) => failed(directory)(error).to_string(),
        None => error.to_string(),
    })
}

/// Makes an empty log behind an entry, which takes the place of the log when there is a snapshot of it. What
/// is left of a log that failed before is removed: its space may be all that is missing.
fn begin_next(
    directory: &Path,
    owner: Owner,
    cache_bytes: usize,
    fsync: Fsync,
    last: LogId,
) -> io::Result<()> {
    finish(directory, owner)?;
    remove(&directory.join(FAILED))?;
    let part = directory.join(PART);
    begin_log(LogSettings::new(&part, owner, cache_bytes, fsync), last)?;
    fs::rename(&part, directory.join(NEXT))?;
    File::open(directory)?.sync_all()
}

/// Puts the next log into the place of the one that has failed, which is kept until another one fails.
fn replace_log(directory: &Path) -> io::Result<()> {
    let [log, next, failed] = [LOG, NEXT, FAILED].map(|name| directory.join(name));
    if fs::exists(&log)? {
        remove(&failed)?;
        fs::rename(&log, &failed)?;
    }
    fs::rename(&next, &log)?;
    File::open(directory)?.sync_all()
}

/// Opens the log of a range: there must be one.
pub(crate) fn open_log(directory: &Path, owner: Owner, cache_bytes: usize, fsync: Fsync) -> io::Result<Log> {
    finish(directory, owner).map_err(|error| unusable(directory, directory, error))?;
    let log = directory.join(LOG);
    if !fs::exists(&log).map_err(|error| unusable(directory, &log, error))? {
        let reason = format!("{} is missing; {}", log.display(), ways_out(directory));
        return Err(io::Error::new(io::ErrorKind::NotFound, reason));
    }
    let synced = read_synced(directory).unwrap_or_else(|error| {
        tracing::warn!(%error, "it is not known how far a log was on disk");
        0
    });
    Log::open(LogSettings::new(&log, owner, cache_bytes, fsync), synced)
}

/// Makes an empty log behind an entry that is on disk elsewhere.
pub(crate) fn begin_log(settings: LogSettings<'_>, last: LogId) -> io::Result<()> {
    let mut begun = Log::create(settings)?;
    let (sender, receiver) = channel();
    let done = Done(Box::new(move |result| drop(sender.send(result))));
    // The only voter has voted for itself.
    let vote = Vote { term: last.term, replica: last.leader, is_committed: true };
    begun.begin_behind(last, vote, done)?;
    receiver.recv().unwrap_or_else(|_| Err(io::Error::other("the new log has failed")))
}

/// Ends what a process, or an attempt, has left that ended while it renewed the log: the next log takes its
/// place if its snapshot is there.
fn finish(directory: &Path, owner: Owner) -> io::Result<()> {
    let [log, next, part] = [LOG, NEXT, PART].map(|name| directory.join(name));
    remove(&part)?;
    if !fs::exists(&next)? {
        return Ok(());
    }
    let is_next = !fs::exists(&log)? || {
        let begun = Log::open(LogSettings::new(&next, owner, LOG_CACHE_LEAST, Fsync::Always), 0)?;
        let last = begun.purged().map_or(0, |last| last.index);
        fs::exists(files::path(directory, last))?
    };
    if is_next { replace_log(directory) } else { remove(&next) }
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = fs::symlink_metadata(path).and_then(|found| match found.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    });
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const OWNER: Owner = Owner { range: 1, replica: 1, seed: 1 };
    const LAST: LogId = LogId { term: 1, leader: 1, index: 7 };

    /// The last entry that the log in this directory begins behind; `None` if there is no log.
    fn purged(directory: &Path) -> Option<LogId> {
        let log = directory.join(LOG);
        fs::exists(&log).expect("a directory").then(|| {
            Log::open(LogSettings::new(&log, OWNER, 1 << 20, Fsync::Always), 0)
                .expect("a log")
                .purged()
                .expect("an entry")
        })
    }

    /// Whenever the process ends, the log is the one before, or the next one if its snapshot is there.
    #[test]
    fn the_next_log_takes_its_place_when_its_snapshot_is_there_and_a_part_never() {
        let directory = TempDir::new().expect("a directory");
        let directory = directory.path();
        let begin = |index| {
            begin_next(directory, OWNER, 1 << 20, Fsync::Always, LogId { index, ..LAST }).expect("begun");
        };
        let half = || {
            fs::create_dir(directory.join(PART)).expect("made");
            let file = directory.join(PART).join("r-00_000_000_000_000_000_000.wal");
            fs::write(file, [0; 3]).expect("written");
        };
        let finished = || {
            half();
            finish(directory, OWNER).expect("finished");
            assert!(!directory.join(PART).exists() && !directory.join(NEXT).exists());
            purged(directory)
        };
        begin(7);
        assert_eq!(finished(), Some(LAST), "there is no other");
        begin(9);
        assert_eq!(finished(), Some(LAST), "there is no snapshot");
        begin(9);
        fs::write(files::path(directory, 9), b"KVDB").expect("written");
        assert_eq!(finished(), Some(LogId { index: 9, ..LAST }));
        assert!(directory.join(FAILED).exists());
        // The one that has failed is aside, and the next one is not in its place.
        begin(11);
        assert!(!directory.join(FAILED).exists(), "it would take space");
        fs::rename(directory.join(LOG), directory.join(FAILED)).expect("renamed");
        assert_eq!(finished(), Some(LogId { index: 11, ..LAST }));
        fs::remove_dir_all(directory.join(LOG)).expect("removed");
        assert_eq!(finished(), None);
    }
}
