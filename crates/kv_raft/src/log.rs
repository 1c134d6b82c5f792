//! The log of a range on disk: entries, the vote, and how far entries are committed and purged. It is the
//! only module that names the library which keeps it, raft-log.
//!
//! What is written is on disk when its callback runs, but for entries if the log is synced at intervals.
//! After a write or a sync that failed the log takes nothing more.

mod damage;
pub(crate) mod encoding;

use crate::{
    error::ways_out,
    identity::Owner,
    limits::{
        GROUP_BYTES, LOCK_PAUSE, LOCK_WAIT, LOG_CACHE_BYTES, LOG_CACHE_FILES, LOG_CACHE_LEAST,
        LOG_FILE_BYTES, LOG_FILES, LOG_FILES_LEAST, LOG_FILES_SHARE, LOG_INDEX_SHARE, RANGE_FILES,
        SENT_ENTRIES,
    },
};
use encoding::{Done, Flushed, LogId, LogTypes, Payload, Syncs, Vote};
use parking_lot::Mutex;
use raft_log::{Config, RaftLog, api::raft_log_writer::RaftLogWriter, chunked_wal};
use std::{
    fmt::{self, Debug, Formatter},
    fs::{self, File},
    io::{self, ErrorKind},
    mem,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Acquire, mpsc::channel},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// A log, open for reading and writing. It locks its directory.
pub(crate) struct Log {
    log: RaftLog<LogTypes>,
    fsync: Fsync,
    /// Where it ended when it was opened.
    opened_end: u64,
    /// How often something was written.
    written: u64,
    /// Large entries that were read to be sent, the last one at the end.
    sent: Vec<SentEntry>,
    syncs: Arc<Syncs>,
}

/// An entry that was read to be sent.
#[derive(Debug)]
struct SentEntry {
    id: LogId,
    payload: Payload,
    /// Whether it was read since the cache was trimmed.
    is_used: bool,
}

impl Debug for Log {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Log").field(self.log.log_state()).finish()
    }
}

/// When entries are synced: forced onto the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fsync {
    /// Before they are executed.
    #[default]
    Always,
    /// As often as this. What was acknowledged since may be lost if the system crashes or loses power, but
    /// not if the process alone ends.
    Interval(Duration),
}

/// How the logs of a node are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// When they are synced.
    pub fsync: Fsync,
    /// Bytes of memory that all of them together take for their newest entries, and for where entries are.
    pub cache_bytes: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions { fsync: Fsync::default(), cache_bytes: LOG_CACHE_BYTES }
    }
}

impl LogOptions {
    /// Bytes of entries that each of `logs` keeps in memory.
    pub(crate) fn cache_bytes_of_each(&self, logs: usize) -> usize {
        let bytes = (self.cache_bytes / logs.max(1)).max(LOG_CACHE_LEAST);
        bytes - bytes / LOG_INDEX_SHARE
    }
}

/// Files that each of `logs` may have before it is cut, in a process that may have this many open.
pub(crate) fn files_of_each(logs: usize, open_files: Option<u64>) -> usize {
    let Some(open_files) = open_files else { return LOG_FILES };
    let share = usize::try_from(open_files).unwrap_or(usize::MAX) / LOG_FILES_SHARE / logs.max(1);
    (share.saturating_sub(RANGE_FILES) / 2).clamp(LOG_FILES_LEAST, LOG_FILES)
}

/// File descriptors that a range may need whose log is cut when it has more than `files`.
pub(crate) fn descriptors_of_range(files: usize) -> usize {
    2 * files + RANGE_FILES
}

/// Where a log is kept, and how much of it in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogSettings<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) owner: Owner,
    /// Bytes of entries that are kept in memory.
    pub(crate) cache_bytes: usize,
    /// Bytes of a file, after which another one begins.
    pub(crate) file_bytes: usize,
    pub(crate) fsync: Fsync,
}

/// How large a log is, and how fast its disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Bytes of its files.
    pub bytes: u64,
    /// How many these are.
    pub files: usize,
    /// Its entries, of which it keeps in memory where they are.
    pub entries: u64,
    /// Bytes of the entries that it keeps in memory themselves.
    pub cached_bytes: u64,
    /// How many these may be.
    pub cache_limit: u64,
    /// Syncs since it was opened.
    pub syncs: u64,
    /// The time that 99 of 100 syncs took at most.
    pub sync_p99: Duration,
}

/// The files of a log, in order, as they are if nobody else writes to them.
#[derive(Debug)]
pub(crate) struct LogFiles {
    pub(crate) files: Vec<LogFile>,
    /// Whether nothing is on its way to them: what is not written yet waits for what is written next.
    pub(crate) is_idle: bool,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct LogFile {
    pub(crate) path: PathBuf,
    /// Its bytes, without those that are on their way or wait.
    pub(crate) written: u64,
    /// Its bytes, with them.
    pub(crate) size: u64,
}

impl<'a> LogSettings<'a> {
    /// The log in `directory`, which keeps `cache_bytes` of its entries in memory.
    pub(crate) fn new(
        directory: &'a Path,
        owner: Owner,
        cache_bytes: usize,
        fsync: Fsync,
    ) -> LogSettings<'a> {
        let file_bytes = LOG_FILE_BYTES.min(cache_bytes / LOG_CACHE_FILES);
        LogSettings { directory, owner, cache_bytes, file_bytes, fsync }
    }
}

impl Log {
    /// Makes an empty log, which is on disk then.
    pub(crate) fn create(settings: LogSettings<'_>) -> io::Result<Log> {
        fs::create_dir_all(settings.directory)?;
        let mut log = Log::load(settings)?;
        log.log.save_user_data(Some(settings.owner))?;
        let (sender, receiver) = channel();
        log.sync(Done(Box::new(move |result| drop(sender.send(result)))))?;
        receiver.recv().unwrap_or_else(|_| Err(io::Error::other("the new log has failed")))?;
        File::open(settings.directory)?.sync_all()?;
        Ok(log)
    }

    /// Opens a log that was made. An incomplete record at the end of the last file is cut off. Damage before
    /// that, or before `synced`, an entry that was on disk, is an error that names file and offset.
    pub(crate) fn open(settings: LogSettings<'_>, synced: u64) -> io::Result<Log> {
        damage::check_beginning(settings.directory)?;
        damage::check_owner(settings.directory, settings.owner)?;
        damage::cut_torn_end(settings.directory, settings.fsync == Fsync::Always, synced)?;
        let log = Log::load(settings).map_err(|error| damage::locate(settings.directory, error))?;
        // One that an early version made says it anywhere in its first file.
        let owner = log.log.log_state().user_data;
        if owner.is_some_and(|owner| owner != settings.owner) {
            let newest = log.files().files.pop().map_or_else(|| settings.directory.into(), |file| file.path);
            return Err(damage::foreign(settings.directory, &newest, owner));
        }
        log.check_first(settings.directory)?;
        Ok(log)
    }

    /// Fails if the log has lost its first file: each of the others goes on from the one before it.
    fn check_first(&self, directory: &Path) -> io::Result<()> {
        let first = self.purged().map_or(0, |purged| purged.index + 1);
        let is_empty = self.last().is_none_or(|last| last.index < first);
        if is_empty || !self.read(first..first + 1)?.is_empty() {
            return Ok(());
        }
        let ways_out = ways_out(damage::range_of(directory));
        let reason = format!(
            "{}: entry {first} is missing; put the missing file back, or {ways_out}",
            directory.display()
        );
        Err(io::Error::new(ErrorKind::InvalidData, reason))
    }

    fn load(settings: LogSettings<'_>) -> io::Result<Log> {
        let wal = chunked_wal::Config {
            dir: settings.directory.display().to_string(),
            chunk_max_size: Some(settings.file_bytes),
            // There is one group at a time; waiting for more would only delay it.
            flush_batch_wait: Some(Duration::ZERO),
            ..chunked_wal::Config::default()
        };
        let log_cache_capacity = Some(settings.cache_bytes);
        let config = Config { wal, log_cache_max_items: Some(usize::MAX), log_cache_capacity };
        let log = open_when_free(Arc::new(config))?;
        let opened_end = log.stat().open_chunk.global_end;
        // Another process may have written and not synced.
        let syncs = Arc::new(Syncs::new(settings.directory));
        Ok(Log { log, opened_end, fsync: settings.fsync, written: 1, sent: Vec::new(), syncs })
    }

    /// Whether it says whose it is: each file that begins from now on does.
    pub(crate) fn has_owner(&self) -> bool {
        self.log.log_state().user_data.is_some()
    }

    /// Notes whose log it is. It is written with what is written next.
    pub(crate) fn save_owner(&mut self, owner: Owner) -> io::Result<()> {
        self.log.save_user_data(Some(owner)).map(drop).map_err(self.syncs.failed())
    }

    /// When entries are synced.
    pub(crate) fn fsync(&self) -> Fsync {
        self.fsync
    }

    /// The last vote.
    pub(crate) fn vote(&self) -> Option<Vote> {
        self.log.log_state().vote().copied()
    }

    /// The last entry; that which was purged last if the log is empty.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.log.log_state().last().copied()
    }

    /// The last entry that is known to be committed.
    pub(crate) fn committed(&self) -> Option<LogId> {
        self.log.log_state().committed().copied()
    }

    /// The last entry that was purged.
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.log.log_state().purged().copied()
    }

    /// How large the log is, and how fast its disk.
    pub(crate) fn stats(&self) -> LogStats {
        let stat = self.log.stat();
        let closed: u64 = stat.closed_chunks.iter().map(|file| file.size).sum();
        let sync_p99 = Duration::from_micros(stat.flush_metrics.sync_percentiles.p99_us);
        let count = |id: Option<LogId>| id.map_or(0, |id| id.index + 1);
        LogStats {
            bytes: closed + stat.open_chunk.size,
            files: stat.closed_chunks.len() + 1,
            entries: count(self.last()) - count(self.purged()),
            cached_bytes: stat.payload_cache_size,
            cache_limit: stat.payload_cache_capacity,
            syncs: stat.flush_metrics.sync_batch_count,
            sync_p99,
        }
    }

    /// Its files.
    pub(crate) fn files(&self) -> LogFiles {
        let is_idle = self.syncs.synced.load(Acquire) == self.written;
        let (stat, wal) = (self.log.stat(), &self.log.config().wal);
        let end = self.opened_end + stat.flush_metrics.write_bytes;
        let files = stat.closed_chunks.iter().chain([&stat.open_chunk]);
        let files = files.map(|file| LogFile {
            path: wal.chunk_path(file.chunk_id).into(),
            written: end.clamp(file.global_start, file.global_end) - file.global_start,
            size: file.size,
        });
        LogFiles { files: files.collect(), is_idle }
    }

    /// Drops what the cache has beyond its size. The library does that only when it is given the next entry,
    /// and the last one may have been large. Entries that are not sent any more are dropped, too.
    pub(crate) fn trim_cache(&mut self) {
        self.sent.retain_mut(|sent| mem::take(&mut sent.is_used));
        let stat = self.log.stat();
        if stat.payload_cache_size > stat.payload_cache_capacity {
            self.log.drain_cache_evictable();
        }
    }

    /// Reads the entries with these indices, as far as they exist.
    pub(crate) fn read(&self, indices: Range<u64>) -> io::Result<Vec<(LogId, Payload)>> {
        self.log.read(indices.start, indices.end).collect()
    }

    /// Reads an entry, if it exists, for a replica that is sent it again and again until it has it. A large
    /// one is kept, which the cache does not do.
    pub(crate) fn read_to_send(&mut self, index: u64) -> io::Result<Option<(LogId, Payload)>> {
        let is_kept = |sent: &SentEntry| sent.id.index == index;
        let entry = match self.sent.iter().position(is_kept).map(|place| self.sent.remove(place)) {
            Some(SentEntry { id, payload, .. }) => Some((id, payload)),
            None => self.read(index..index + 1)?.pop(),
        };
        if let Some((id, Payload::Group(group))) = &entry
            && group.len() > GROUP_BYTES
        {
            self.sent.drain(..(self.sent.len() + 1).saturating_sub(SENT_ENTRIES));
            self.sent.push(SentEntry { id: *id, payload: Payload::Group(group.clone()), is_used: true });
        }
        Ok(entry)
    }

    /// Appends entries, which can be read at once.
    pub(crate) fn append(
        &mut self,
        entries: impl IntoIterator<Item = (LogId, Payload)>,
        done: Done,
    ) -> io::Result<()> {
        if cfg!(kv_fault = "answer_before_sync") {
            // What is answered now goes to disk with what is written next.
            self.log.flush(true, None)?;
            self.log.append(entries)?;
            done.0(Ok(()));
            return Ok(());
        }
        self.log.append(entries).map_err(self.syncs.failed())?;
        match self.fsync {
            Fsync::Always => self.flush_synced(done),
            Fsync::Interval(_) => {
                self.written += 1;
                let flushed = Flushed { syncs: self.syncs.clone(), synced: None, done };
                self.log.flush(false, Some(flushed)).map_err(self.syncs.failed())
            }
        }
    }

    /// Syncs what was written. `done` runs at once if all is on disk.
    pub(crate) fn sync(&mut self, done: Done) -> io::Result<()> {
        if self.syncs.synced.load(Acquire) < self.written {
            return self.flush(done);
        }
        done.0(Ok(()));
        Ok(())
    }

    fn flush_synced(&mut self, done: Done) -> io::Result<()> {
        self.written += 1;
        self.flush(done)
    }

    /// Syncs all. After a sync that failed it fails, so what is not on disk is never taken to be.
    fn flush(&mut self, done: Done) -> io::Result<()> {
        let flushed = Flushed { syncs: self.syncs.clone(), synced: Some(self.written), done };
        self.log.flush(true, Some(flushed)).map_err(self.syncs.failed())
    }

    /// Why the thread that writes has ended, if it has: what waits for it is not always called.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        self.log.wait_worker_idle().map_err(self.syncs.failed()).err()
    }

    /// Waits until a write or a sync has failed, and returns why.
    pub(crate) fn sync_failure(&self) -> impl Future<Output = String> + use<> {
        let mut failure = self.syncs.failure.subscribe();
        async move {
            match failure.wait_for(Option::is_some).await.as_deref() {
                Ok(Some(reason)) => reason.clone(),
                _ => "the log has been closed".into(),
            }
        }
    }

    /// Keeps a vote.
    pub(crate) fn save_vote(&mut self, vote: Vote, done: Done) -> io::Result<()> {
        self.log.save_vote(vote).map_err(self.syncs.failed())?;
        self.flush_synced(done)
    }

    /// Notes that entries up to this one are committed. It is written with what is written next.
    pub(crate) fn save_committed(&mut self, committed: LogId) -> io::Result<()> {
        self.log.commit(committed).map(drop).map_err(self.syncs.failed())
    }

    /// Begins an empty log behind an entry that is on disk elsewhere.
    pub(crate) fn begin_behind(&mut self, last: LogId, vote: Vote, done: Done) -> io::Result<()> {
        self.log.save_vote(vote).map_err(self.syncs.failed())?;
        self.log.purge(last).map_err(self.syncs.failed())?;
        self.log.commit(last).map_err(self.syncs.failed())?;
        self.flush_synced(done)
    }

    /// Removes the entries from this index on.
    pub(crate) fn truncate(&mut self, from: u64, done: Done) -> io::Result<()> {
        self.sent.retain(|sent| sent.id.index < from);
        self.log.truncate(from).map_err(self.syncs.failed())?;
        self.flush_synced(done)
    }

    /// Removes the entries up to this one.
    pub(crate) fn purge(&mut self, up_to: LogId, done: Done) -> io::Result<()> {
        self.log.purge(up_to).map_err(self.syncs.failed())?;
        self.flush_synced(done)
    }
}

/// Opens a log. A process that was killed may have it for a moment longer than the data directory.
fn open_when_free(config: Arc<Config>) -> io::Result<RaftLog<LogTypes>> {
    let began = Instant::now();
    loop {
        match RaftLog::open(config.clone()) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && began.elapsed() < LOCK_WAIT => {
                thread::sleep(LOCK_PAUSE);
            }
            opened => return opened,
        }
    }
}

/// Writes to a log, and waits until that is on disk.
pub(crate) async fn write(
    log: &Mutex<Log>,
    write: impl FnOnce(&mut Log, Done) -> io::Result<()>,
) -> io::Result<()> {
    let (sender, receiver) = oneshot::channel();
    let done = Done(Box::new(move |result| drop(sender.send(result))));
    write(&mut log.lock(), done)?;
    receiver.await.unwrap_or_else(|_| Err(io::Error::other("the log has failed")))
}

/// Syncs a log, and waits until all that was written is on disk.
pub(crate) async fn sync(log: &Mutex<Log>) -> io::Result<()> {
    write(log, Log::sync).await
}

#[cfg(test)]
mod tests;
