//! Our log and our machine, as the library sees them.

use super::{
    lease::Lease,
    types::{
        Failed, Kinds, Members, Proposal, RaftLogId, RaftVote, entry_bytes, from_log, id_from, id_to,
        members_to, meta_of, vote_from, vote_to,
    },
};
use crate::{
    group::process,
    limits::{APPEND_BYTES, APPEND_ENTRIES},
    log::{
        self, Fsync, Log,
        encoding::{self, Done, Payload},
    },
    machine::{InFlight, Machine},
    snapshot::taking::{Snapshots, Taking},
};
use openraft::{
    BasicNode, Entry, EntryPayload, LogState, OptionalSend, RaftLogReader, RaftSnapshotBuilder, Snapshot,
    SnapshotMeta, StorageIOError,
    storage::{LogFlushed, RaftLogStorage, RaftStateMachine},
};
use parking_lot::Mutex;
use std::{
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    path::PathBuf,
    sync::{Arc, Weak},
};
use tokio::task::block_in_place;

/// Our log, as the library sees it.
#[derive(Clone)]
pub(super) struct LogStore {
    pub(super) log: Arc<Mutex<Log>>,
    pub(super) in_flight: InFlight,
}

impl LogStore {
    /// An entry for our log. A group of this node is in flight from now on.
    fn to_log(&self, entry: Entry<Kinds>) -> (encoding::LogId, Payload) {
        let id = id_to(entry.log_id);
        let payload = match entry.payload {
            EntryPayload::Blank => Payload::Blank,
            EntryPayload::Normal(Proposal { logged, group }) => {
                if let Some(group) = group {
                    self.in_flight.set(id, group);
                }
                Payload::Group(logged)
            }
            EntryPayload::Membership(members) => {
                let (voters, learners) = members_to(&members);
                Payload::Members { voters, learners }
            }
        };
        (id, payload)
    }
}

impl RaftLogReader<Kinds> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<Kinds>>, Failed> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let entries = self.log.lock().read(start..end).map_err(|error| StorageIOError::read_logs(&error))?;
        Ok(entries.into_iter().map(|(id, payload)| from_log(id, payload)).collect())
    }

    /// The first entries for another replica, without those that would make the call too large.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry<Kinds>>, Failed> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for index in start..end.min(start + APPEND_ENTRIES) {
            let read = self.log.lock().read_to_send(index);
            let Some((id, payload)) = read.map_err(|error| StorageIOError::read_logs(&error))? else { break };
            let entry = from_log(id, payload);
            bytes += entry_bytes(&entry);
            if bytes > APPEND_BYTES && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }
}

impl RaftLogStorage<Kinds> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<Kinds>, Failed> {
        let log = self.log.lock();
        Ok(LogState { last_purged_log_id: log.purged().map(id_from), last_log_id: log.last().map(id_from) })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &RaftVote) -> Result<(), Failed> {
        if cfg!(kv_fault = "forget_vote") {
            return Ok(());
        }
        let vote = vote_to(*vote);
        let saved = log::write(&self.log, |log, done| log.save_vote(vote, done)).await;
        Ok(saved.map_err(|error| StorageIOError::write_vote(&error))?)
    }

    async fn read_vote(&mut self) -> Result<Option<RaftVote>, Failed> {
        let log = self.log.lock();
        // A leader that may have lost entries must not propose others in their places in the same term.
        let may_go_on = log.fsync() == Fsync::Always;
        let vote =
            log.vote().map(|vote| encoding::Vote { is_committed: vote.is_committed && may_go_on, ..vote });
        Ok(vote.map(vote_from))
    }

    async fn save_committed(&mut self, committed: Option<RaftLogId>) -> Result<(), Failed> {
        let Some(committed) = committed else { return Ok(()) };
        let saved = self.log.lock().save_committed(id_to(committed));
        Ok(saved.map_err(|error| StorageIOError::write_logs(&error))?)
    }

    async fn read_committed(&mut self) -> Result<Option<RaftLogId>, Failed> {
        Ok(self.log.lock().committed().map(id_from))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Kinds>) -> Result<(), Failed>
    where
        I: IntoIterator<Item = Entry<Kinds>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        // A large group comes alone.
        let mut entries = entries.into_iter().peekable();
        let bytes = entries.peek().map_or(0, entry_bytes);
        let entries = entries.map(|entry| self.to_log(entry));
        let done = Done(Box::new(move |result| callback.log_io_completed(result)));
        let append = || self.log.lock().append(entries, done);
        let appended = process(bytes, append);
        Ok(appended.map_err(|error| StorageIOError::write_logs(&error))?)
    }

    async fn truncate(&mut self, from: RaftLogId) -> Result<(), Failed> {
        let truncated = log::write(&self.log, |log, done| log.truncate(from.index, done)).await;
        Ok(truncated.map_err(|error| StorageIOError::write_logs(&error))?)
    }

    async fn purge(&mut self, up_to: RaftLogId) -> Result<(), Failed> {
        let purged = log::write(&self.log, |log, done| log.purge(id_to(up_to), done)).await;
        Ok(purged.map_err(|error| StorageIOError::write_logs(&error))?)
    }
}

/// Our machine, as the library sees it.
pub(super) struct StateMachine {
    pub(super) machine: Machine,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) log: Weak<Mutex<Log>>,
    pub(super) lease: Arc<Lease>,
}

impl RaftStateMachine<Kinds> for StateMachine {
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<RaftLogId>, Members), Failed> {
        let meta = self.machine.progress.position().map(|position| meta_of(&position)).unwrap_or_default();
        Ok((meta.last_log_id, meta.last_membership))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, Failed>
    where
        I: IntoIterator<Item = Entry<Kinds>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut results = Vec::new();
        for entry in entries {
            let id = id_to(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => self.machine.applied(id),
                EntryPayload::Normal(proposal) => {
                    if cfg!(kv_fault = "apply_twice") {
                        self.machine.apply(id, &proposal.logged).ok();
                    }
                    let apply = || self.machine.apply(id, &proposal.logged);
                    process(proposal.logged.len(), apply)
                        .map_err(|error| StorageIOError::apply(entry.log_id, &error))?;
                }
                EntryPayload::Membership(members) => {
                    let (voters, learners) = members_to(&members);
                    self.machine.apply_members(id, voters, learners);
                }
            }
            results.push(());
        }
        Ok(results)
    }

    /// Freezes the store, between two entries.
    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        let Machine { store, progress, .. } = &self.machine;
        let taking = Mutex::new(self.snapshots.begin(store, progress));
        SnapshotBuilder { taking, log: self.log.clone() }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Option<PathBuf>>, Failed> {
        Ok(Box::default())
    }

    /// Loads the snapshot of another replica in place of what the store has, and makes it the one from which
    /// the log of this replica goes on.
    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, BasicNode>,
        path: Box<Option<PathBuf>>,
    ) -> Result<(), Failed> {
        let failed = |error: &io::Error| StorageIOError::write_snapshot(Some(meta.signature()), error);
        let Some(path) = *path else { return Ok(()) };
        // A replica that led until now reads no part of it.
        self.lease.end();
        let Machine { store, progress, spans, .. } = &self.machine;
        spans.forget();
        let load = || self.snapshots.load_received(&path, store);
        let loaded = block_in_place(load).map_err(|error| failed(&io::Error::other(error.to_string())))?;
        progress.begin_at(loaded.position, loaded.stamp_ms);
        let kept = self.snapshots.keep_received(store, progress).await;
        Ok(kept.map_err(|failure| failed(&io::Error::other(&*failure)))?)
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Kinds>>, Failed> {
        let newest = self.snapshots.status().newest;
        Ok(newest.map(|newest| Snapshot { meta: meta_of(&newest.position), snapshot: Box::default() }))
    }
}

/// Writes a frozen copy. If that fails, the snapshot before it stays the newest, which is no error to the
/// library: it would end the replica.
pub(super) struct SnapshotBuilder {
    taking: Mutex<Option<Taking>>,
    log: Weak<Mutex<Log>>,
}

impl RaftSnapshotBuilder<Kinds> for SnapshotBuilder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Kinds>, Failed> {
        let taking = self.taking.get_mut().take();
        let newest = match taking {
            Some(taking) => match self.sync_log().await {
                Ok(()) => taking.finish().await,
                Err(error) => taking.give_up(&error),
            },
            None => None,
        };
        let meta = newest.map(|newest| meta_of(&newest.position)).unwrap_or_default();
        Ok(Snapshot { meta, snapshot: Box::default() })
    }
}

impl SnapshotBuilder {
    /// A log that ends before its snapshot would be refused. It is not held while the snapshot is written.
    async fn sync_log(&self) -> io::Result<()> {
        match self.log.upgrade() {
            Some(log) => log::sync(&log).await,
            None => Err(io::Error::other("the log has been closed")),
        }
    }
}
