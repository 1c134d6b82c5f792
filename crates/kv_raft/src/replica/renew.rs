//! Writes a log again that has failed. What is on disk after a failed write or sync is not known, whatever
//! can be read of it, so nothing is read: the store has all that was acknowledged. It becomes a snapshot, and
//! an empty log in a directory of its own goes on behind it.

use crate::{
    limits::{RENEW_PAUSE, RENEW_PAUSE_LIMIT},
    log::{
        Fsync, Log, LogSettings,
        encoding::{Done, LogId, Vote},
    },
    range::Range,
};
use std::{
    fs::{self, File},
    io,
    path::Path,
    sync::mpsc::channel,
};
use tokio::time::sleep;

/// The directories of a log, of one that takes its place when it is whole and before, and of one that has
/// failed.
pub(crate) const LOG: &str = "log";
const NEXT: &str = "log.next";
const PART: &str = "log.part";
const FAILED: &str = "log.failed";

/// Tries until the disk takes a snapshot and a new log in the range's directory. Returns `false` if the range
/// is closed before.
pub(super) async fn renew_log(range: &Range, directory: &Path, cache_bytes: usize) -> bool {
    let mut pause = RENEW_PAUSE;
    loop {
        match try_to_renew_log(range, directory, cache_bytes).await {
            Ok(()) => return true,
            Err(reason) => {
                let span = &*range.span().text;
                tracing::error!(span, reason, "the log cannot be written again; trying again");
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(RENEW_PAUSE_LIMIT);
        if range.proposals.is_closed() {
            return false;
        }
    }
}

async fn try_to_renew_log(range: &Range, directory: &Path, cache_bytes: usize) -> Result<(), String> {
    let (snapshots, position) = (&range.snapshots, range.progress.position());
    // A backup that is being taken can wait, and writes cannot.
    range.store.end_freeze();
    let Some((taking, position)) = snapshots.begin(&range.store, &range.progress).zip(position) else {
        return Err("it has no entry".into());
    };
    let newest = taking.finish().await.map(|newest| newest.position);
    if newest.as_ref() != Some(&position) {
        let failure = snapshots.status().failure;
        return Err(failure.as_deref().unwrap_or("no snapshot was written").to_owned());
    }
    let (directory, fsync) = (directory.to_owned(), range.fsync);
    let begin = move || replace_log(&directory, cache_bytes, fsync, position.last);
    match tokio::task::spawn_blocking(begin).await {
        Ok(begun) => begun.map_err(|error| error.to_string()),
        Err(panic) => Err(panic.to_string()),
    }
}

/// Makes an empty log behind an entry, and puts it into the place of the log that has failed, which is kept
/// until another one fails.
fn replace_log(directory: &Path, cache_bytes: usize, fsync: Fsync, last: LogId) -> io::Result<()> {
    finish(directory)?;
    let [log, next, part, failed] = [LOG, NEXT, PART, FAILED].map(|name| directory.join(name));
    begin_log(&part, cache_bytes, fsync, last)?;
    fs::rename(&part, &next)?;
    remove(&failed)?;
    rename_if_there(&log, &failed)?;
    fs::rename(&next, &log)?;
    File::open(directory)?.sync_all()
}

/// Opens the log of a range: there must be one.
pub(crate) fn open_log(directory: &Path, cache_bytes: usize, fsync: Fsync) -> io::Result<Log> {
    finish(directory)?;
    let log = directory.join(LOG);
    if !fs::exists(&log)? {
        let reason = format!("{} is missing; restore the range from a backup", log.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, reason));
    }
    Log::open(LogSettings::new(&log, cache_bytes, fsync))
}

/// Makes an empty log in `directory`, behind an entry that is on disk elsewhere.
pub(crate) fn begin_log(directory: &Path, cache_bytes: usize, fsync: Fsync, last: LogId) -> io::Result<()> {
    let mut begun = Log::create(LogSettings::new(directory, cache_bytes, fsync))?;
    let (sender, receiver) = channel();
    let done = Done(Box::new(move |result| drop(sender.send(result))));
    // The only voter has voted for itself.
    let vote = Vote { term: last.term, replica: last.leader, is_committed: true };
    begun.begin_behind(last, vote, done)?;
    receiver.recv().unwrap_or_else(|_| Err(io::Error::other("the new log has failed")))
}

/// Removes what a process, or an attempt, has left that ended while it renewed the log. A log that is whole
/// and not in its place yet is put there.
fn finish(directory: &Path) -> io::Result<()> {
    let (log, next) = (directory.join(LOG), directory.join(NEXT));
    remove(&directory.join(PART))?;
    if fs::exists(&log)? { remove(&next) } else { rename_if_there(&next, &log) }
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const LAST: LogId = LogId { term: 1, leader: 1, index: 7 };

    /// The last entry that the log in this directory begins behind; `None` if there is no log.
    fn purged(directory: &Path) -> Option<LogId> {
        let log = directory.join(LOG);
        fs::exists(&log).expect("a directory").then(|| {
            Log::open(LogSettings::new(&log, 1 << 20, Fsync::Always))
                .expect("a log")
                .purged()
                .expect("an entry")
        })
    }

    /// Whenever the process ends, the log is the one before or the next one.
    #[test]
    fn a_log_that_is_not_whole_never_takes_the_place_of_another() {
        let directory = TempDir::new().expect("a directory");
        let directory = directory.path();
        let begin =
            |index| replace_log(directory, 1 << 20, Fsync::Always, LogId { index, ..LAST }).expect("begun");
        let half = |name: &str| {
            fs::create_dir(directory.join(name)).expect("made");
            fs::write(directory.join(name).join("r-00_000_000_000_000_000_000.wal"), [0; 3])
                .expect("written");
        };
        begin(7);
        half(PART);
        finish(directory).expect("finished");
        assert_eq!(purged(directory), Some(LAST));
        // The one before is aside, and the next one is not in its place: another attempt begins.
        fs::rename(directory.join(LOG), directory.join(NEXT)).expect("renamed");
        half(PART);
        finish(directory).expect("finished");
        assert_eq!((purged(directory), directory.join(PART).exists()), (Some(LAST), false));
        fs::rename(directory.join(LOG), directory.join(NEXT)).expect("renamed");
        begin(9);
        assert_eq!(purged(directory), Some(LogId { index: 9, ..LAST }));
        fs::remove_dir_all(directory.join(LOG)).expect("removed");
        half(PART);
        finish(directory).expect("finished");
        assert_eq!(purged(directory), None);
    }
}
