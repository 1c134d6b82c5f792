//! A durable range: what its users see of it. Reads are executed on its store at once; what writes is
//! proposed, and answered when it is on disk and executed.

mod durability;
pub(crate) mod leader;
pub(crate) mod reads;
pub(crate) mod state;

use crate::{
    consensus::{lease::Lease, transport::ReplicaStatus},
    disk::Disk,
    error::RangeError,
    group::{Split, encode},
    identity::{Placement, Span, spans::Spans},
    limits::{GROUP_BYTES, STEP_REQUESTS},
    log::{Fsync, LogStats, encoding::LogId},
    machine::Progress,
    proposals::{
        Added, Proposals, WaitingBytes, confirmations::Confirmations, replies::GroupReplies, ticket::Ticket,
    },
    snapshot::taking::Snapshots,
};
use kv::{
    CommandError, Database, EntryTerms, FullName, Op, Reply, Request, Store, TransactionLimits,
    time::{Clock, now_ms},
};
use parking_lot::Mutex;
use state::{HandOver, LoadStatus, RangeState, RangeStatus};
use std::{
    ops::ControlFlow::{self, Break, Continue},
    slice,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, Release},
        },
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// One durable range of this node.
#[derive(Debug)]
pub struct Range {
    pub(crate) spans: Arc<Spans>,
    pub(crate) store: Arc<Store>,
    /// Where its replicas are, if other nodes may have some.
    placement: Option<watch::Sender<Placement>>,
    /// Where its members are, when this replica leads and they are those that are wanted.
    settled: Mutex<Option<Placement>>,
    /// Whether all that is on disk is executed, and this replica leads.
    is_ready: AtomicBool,
    /// Until when this replica may read as the leader, if there are others.
    pub(crate) lease: Option<Arc<Lease>>,
    state: watch::Sender<RangeState>,
    pub(crate) proposals: Proposals,
    /// Whether it asks the other replicas before it reads, whatever its lease.
    confirms_reads: bool,
    pub(crate) confirmations: Confirmations,
    pub(crate) progress: Arc<Progress>,
    /// The index of the last entry when loading began.
    last: AtomicU64,
    limits: Mutex<TransactionLimits>,
    pub(crate) fsync: Fsync,
    /// How large the log was, and how fast the disk, a moment ago, and when it was synced. Others must not
    /// hold the log itself, which may be about to be opened again.
    log: Mutex<(LogStats, Option<u64>)>,
    loading: Mutex<LoadStatus>,
    /// Whether another node is to lead it.
    hand_over: watch::Sender<HandOver>,
    /// The term, and the other replicas, a moment ago.
    replicas: Mutex<(u64, Vec<ReplicaStatus>)>,
    /// The index of the last entry that is known to be synced, if they are synced at intervals.
    synced: watch::Sender<u64>,
    /// Why its log is not on disk, while it is not.
    log_failure: watch::Sender<Option<Arc<str>>>,
    pub(crate) snapshots: Arc<Snapshots>,
}

impl Range {
    pub(crate) fn new(
        spans: Spans,
        (placement, confirms_reads): (Option<Placement>, bool),
        store: Store,
        snapshots: Snapshots,
        waiting: Arc<WaitingBytes>,
        disk: Arc<Disk>,
        fsync: Fsync,
    ) -> Range {
        let spans = Arc::new(spans);
        let loading = RangeError::Loading { range: spans.text(), percent: 0 };
        Range {
            confirms_reads: confirms_reads && placement.is_some(),
            confirmations: Confirmations::new(spans.clone()),
            proposals: Proposals::new(spans.clone(), waiting, disk, loading),
            spans,
            store: Arc::new(store),
            lease: placement.as_ref().map(|_| Arc::default()),
            placement: placement.map(watch::Sender::new),
            settled: Mutex::default(),
            is_ready: AtomicBool::new(false),
            state: watch::Sender::new(RangeState::Loading),
            progress: Arc::default(),
            last: AtomicU64::new(0),
            limits: Mutex::default(),
            fsync,
            log: Mutex::default(),
            loading: Mutex::new(LoadStatus { began_ms: now_ms(), ..LoadStatus::default() }),
            hand_over: watch::Sender::default(),
            replicas: Mutex::default(),
            synced: watch::Sender::new(0),
            log_failure: watch::Sender::default(),
            snapshots: Arc::new(snapshots),
        }
    }

    /// The names that are in it.
    pub fn span(&self) -> &Span {
        self.spans.newest()
    }

    /// Its store, to read from. Only the log writes to it.
    #[inline]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Waits until it is loaded, or has stopped.
    pub async fn wait_until_loaded(&self) -> RangeState {
        let mut state = self.state.subscribe();
        let loaded = state.wait_for(|state| *state != RangeState::Loading).await;
        loaded.map_or(RangeState::Loading, |state| state.clone())
    }

    /// The times to read with.
    #[inline]
    pub fn clock(&self, now_ms: u64) -> Clock {
        let removal_ms = self.progress.stamp_ms.load(Relaxed);
        Clock { now_ms: now_ms.max(removal_ms), removal_ms }
    }

    /// Proposes the first requests, at least one, and returns how many. They are executed one after the other
    /// when they are on disk; those that only read are executed between the others, and are not written.
    /// A large one ([`is_large`]) is left to [`Self::propose_large`], unless it is the first: then it is
    /// copied at once, which others have to wait for.
    pub fn propose(&self, requests: &[Request<'_>]) -> Result<(usize, Ticket), RangeError> {
        let admitted = match self.store.is_out_of_memory(0) {
            true => requests.iter().take_while(|request| !request.op.allocates()).count(),
            false => requests.len(),
        };
        if admitted == 0 && !requests.is_empty() {
            return self.out_of_memory().map(|refused| (1, refused));
        }
        let (mut count, mut bytes) = (0, 0);
        for request in &requests[..admitted] {
            if count > 0 && (bytes >= GROUP_BYTES || is_large(request)) {
                break;
            }
            bytes += request_bytes(request);
            count += 1;
        }
        let requests = &requests[..count];
        let has_reads = requests.iter().any(|request| !encode::is_logged(&request.op));
        let encode = |group: &mut Vec<u8>| encode::encode_batch(requests, GROUP_BYTES, group);
        let may_propose = self.may_read().and_then(|()| self.check_requests(requests));
        match may_propose.and_then(|()| self.proposals.push(Added { has_reads, bytes }, encode)) {
            Err(_) if requests.iter().all(|request| matches!(request.op, Op::Unwatch { .. })) => {
                self.proposals.push_end_of_watches(encode)
            }
            pushed => pushed,
        }
    }

    /// Proposes one request, as [`Self::propose`] does. Other tasks run while it is copied, and while it
    /// waits for others to be executed, so that there are not too many large ones in memory.
    pub async fn propose_large(&self, request: &Request<'_>) -> Result<Ticket, RangeError> {
        let bytes = request_bytes(request);
        let room = self.proposals.wait_for_room(bytes).await?;
        self.may_read()?;
        self.check_requests(slice::from_ref(request))?;
        // Those before it have taken memory.
        if request.op.allocates() && self.store.is_out_of_memory(bytes) {
            return self.out_of_memory();
        }
        let added = Added { has_reads: !encode::is_logged(&request.op), bytes };
        self.proposals.push_large(room, added, encode::begin_batch, slice::from_ref(request)).await
    }

    /// The reply to one request that is refused for want of memory.
    fn out_of_memory(&self) -> Result<Ticket, RangeError> {
        self.may_read()?;
        Ok(Ticket::ready(GroupReplies::single(Reply::Error(CommandError::OutOfMemory))))
    }

    /// Whether proposals are accepted now; why they are refused, if not.
    pub fn may_propose(&self) -> Result<(), RangeError> {
        self.proposals.may_push(0)
    }

    /// Whether little waits for the disk, in all ranges of the node.
    pub fn has_ample_room(&self) -> bool {
        self.proposals.has_ample_room()
    }

    /// Proposes requests that are executed as one step, unless a watched bucket has changed since
    /// [`kv::Op::Watch`] returned its version. They are copied at once, however large they are. Those that
    /// only read are refused unless [`Self::reads_at_once`].
    pub fn transact(
        &self,
        watched: &[(FullName<'_>, u64)],
        requests: &[Request<'_>],
    ) -> Result<Ticket, RangeError> {
        match self.check_transaction(watched, requests)? {
            Break(ticket) => Ok(ticket),
            Continue(added) => self.push_transaction(added, watched, requests),
        }
    }

    fn push_transaction(
        &self,
        added: Added,
        watched: &[(FullName<'_>, u64)],
        requests: &[Request<'_>],
    ) -> Result<Ticket, RangeError> {
        let encode = |group: &mut Vec<u8>| encode::encode_transaction(watched, requests, group);
        self.proposals.push(added, encode).map(|((), ticket)| ticket)
    }

    /// Proposes requests as [`Self::transact`] does. If they are large, other tasks run as in
    /// [`Self::propose_large`]; if they only read, this waits for [`Self::confirm`].
    pub async fn transact_large(
        &self,
        watched: &[(FullName<'_>, u64)],
        requests: &[Request<'_>],
    ) -> Result<Ticket, RangeError> {
        if only_reads(watched, requests) {
            self.confirm().await?;
            return self.read_transaction(requests);
        }
        match self.check_transaction(watched, requests)? {
            Break(ticket) => Ok(ticket),
            Continue(added) if added.bytes >= GROUP_BYTES => {
                let room = self.proposals.wait_for_room(added.bytes).await?;
                // Those before it have taken memory.
                if let Break(ticket) = self.check_transaction(watched, requests)? {
                    return Ok(ticket);
                }
                let begin = |group: &mut Vec<u8>| encode::begin_transaction(watched, group);
                self.proposals.push_large(room, added, begin, requests).await
            }
            Continue(added) => self.push_transaction(added, watched, requests),
        }
    }

    /// What a transaction adds to a group, or its result if that is known without the log.
    fn check_transaction(
        &self,
        watched: &[(FullName<'_>, u64)],
        requests: &[Request<'_>],
    ) -> Result<ControlFlow<Ticket, Added>, RangeError> {
        let watched_bytes: usize = watched.iter().map(|(full, _)| full.name.len() + WATCHED_BYTES).sum();
        let bytes = watched_bytes + requests.iter().map(request_bytes).sum::<usize>();
        let large_bytes = if bytes < GROUP_BYTES { 0 } else { bytes };
        let allocates = requests.iter().any(|request| request.op.allocates());
        self.may_read()?;
        self.check_names(watched.iter().map(|(full, _)| full.name))?;
        self.check_requests(requests)?;
        if allocates && self.store.is_out_of_memory(large_bytes) {
            return Ok(Break(Ticket::ready(GroupReplies::refused(CommandError::OutOfMemory))));
        }
        if only_reads(watched, requests) {
            return match self.reads_at_once() {
                true => self.read_transaction(requests).map(Break),
                false => Err(self.refusal()),
            };
        }
        if let Some(error) = self.exceeded(requests) {
            return Ok(Break(Ticket::ready(GroupReplies::refused(error))));
        }
        let has_reads = requests.iter().any(|request| !encode::is_logged(&request.op));
        Ok(Continue(Added { has_reads, bytes }))
    }

    /// The error of a transaction that exceeds the limits whatever its buckets hold.
    fn exceeded(&self, requests: &[Request<'_>]) -> Option<CommandError> {
        let TransactionLimits { entries, bytes } = *self.limits.lock();
        let entries = entries.min(STEP_REQUESTS);
        let fits = requests.len() <= entries
            && requests.iter().map(|request| request.op.payload_bytes()).sum::<usize>() <= bytes;
        (!fits).then_some(CommandError::TransactionTooLarge { entries: entries as u64, bytes: bytes as u64 })
    }

    /// Proposes the end of all buckets of a database, or of all of them.
    pub fn flush(&self, database: Option<Database>) -> Result<Ticket, RangeError> {
        self.push_small(|group| encode::encode_flush(database, group))
    }

    /// Proposes the end of the watches that came over a link.
    pub fn end_watches(&self, link: u64) -> Result<Ticket, RangeError> {
        let end = self.proposals.push_end_of_watches(|group| encode::encode_end_watches(Some(link), group));
        end.map(|((), ticket)| ticket)
    }

    /// Proposes that the last names are split off.
    pub(crate) fn propose_split(&self, split: &Split<'_>) -> Result<Ticket, RangeError> {
        self.push_small(|group| encode::encode_split(split, group))
    }

    /// Whether all these names are in the range, as far as it has executed its log: a request may have been
    /// directed here before a split.
    #[inline]
    pub fn check_names<'n>(&self, mut names: impl Iterator<Item = &'n [u8]>) -> Result<(), RangeError> {
        match self.store.split_at() {
            Some(at) if names.any(|name| *name >= *at) => Err(RangeError::SplitOff),
            _ => Ok(()),
        }
    }

    /// As [`Self::check_names`], of all names of requests.
    #[inline]
    pub fn check_requests(&self, requests: &[Request<'_>]) -> Result<(), RangeError> {
        self.check_names(requests.iter().flat_map(Request::names))
    }

    /// Proposes nothing, so that the time of the range goes on.
    pub(crate) fn propose_time(&self) {
        // If it is refused, it is proposed again by the next round of the sweeper.
        let ticket = self.push_small(|group| {
            encode::encode_batch(&[], GROUP_BYTES, group);
        });
        drop(ticket);
    }

    fn push_small(&self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<Ticket, RangeError> {
        self.proposals.push(Added { has_reads: false, bytes: 0 }, encode).map(|((), ticket)| ticket)
    }

    /// What the range is and does.
    pub fn status(&self) -> RangeStatus {
        let (snapshot, applied) = (self.snapshots.status(), self.progress.applied.load(Relaxed));
        let (log, synced_ms) = *self.log.lock();
        let (term, replicas) = self.replicas.lock().clone();
        RangeStatus {
            span: self.spans.text(),
            state: self.state.borrow().clone(),
            loaded: self.loaded(),
            term,
            replicas,
            applied,
            entries: applied.saturating_sub(snapshot.entry()),
            cannot_write: self.proposals.cannot_write(),
            loading: LoadStatus {
                bytes: self.snapshots.loading.size.load(Relaxed) + log.bytes,
                ..*self.loading.lock()
            },
            fsync: self.fsync,
            log,
            synced_ms,
            unsynced: self.unsynced(),
            snapshot,
        }
    }

    /// Notes how large its log is. If that is much and the newest snapshot is old, it warns.
    pub(crate) fn set_log_stats(&self, stats: LogStats) {
        let (log, synced_ms) = &mut *self.log.lock();
        if stats.syncs > log.syncs {
            *synced_ms = Some(now_ms());
        }
        *log = stats;
        let began_ms = self.loading.lock().began_ms;
        self.snapshots.warn_if_old(began_ms, stats.bytes, now_ms());
    }

    /// What one transaction may touch from now on.
    pub(crate) fn set_transaction_limits(&self, limits: TransactionLimits) {
        *self.limits.lock() = limits;
        // Those of reads, which are not in the log.
        self.store.set_transaction_limits(limits);
    }

    /// The terms of a group that is proposed now.
    pub(crate) fn terms(&self) -> EntryTerms {
        let stamp_ms = self.clock(now_ms()).now_ms;
        EntryTerms { stamp_ms, limits: *self.limits.lock() }
    }

    /// Why it refuses requests while it is not ready.
    fn refusal(&self) -> RangeError {
        match &*self.state.borrow() {
            RangeState::Stopped(reason) => self.stopped(reason),
            RangeState::Following { leader } => self.not_leader(leader.clone()),
            RangeState::Ready if self.lease.is_some() => self.not_leader(None),
            RangeState::Loading | RangeState::Ready => {
                RangeError::Loading { range: self.spans.text(), percent: self.loaded() }
            }
        }
    }

    /// How much of snapshot and log is loaded, in percent of their bytes.
    pub(crate) fn loaded(&self) -> u8 {
        let snapshot = &self.snapshots.loading;
        let (read, size) = (snapshot.read.load(Relaxed), snapshot.size.load(Relaxed));
        let first = self.snapshots.status().entry();
        let executed = self.progress.applied.load(Relaxed).saturating_sub(first);
        let entries = self.last.load(Relaxed).saturating_sub(first);
        percent((read, size), (executed, entries), self.log.lock().0.bytes)
    }

    /// Begins to load again: nothing is executed yet, and nothing accepted. What waits has not been proposed,
    /// and is refused. Returns whether it may load: not if it was given up meanwhile.
    pub(crate) fn begin_loading(&self) -> bool {
        if !self.enter(RangeState::Loading) {
            return false;
        }
        *self.loading.lock() = LoadStatus { began_ms: now_ms(), ..LoadStatus::default() };
        self.progress.reset();
        self.spans.forget();
        self.proposals.fail(&RangeError::Loading { range: self.spans.text(), percent: 0 });
        true
    }

    /// Changes what it does, unless it has stopped. Returns whether it does that.
    fn enter(&self, next: RangeState) -> bool {
        let is_ready = next == RangeState::Ready;
        let has_entered = self.state.send_if_modified(|state| {
            if matches!(state, RangeState::Stopped(_)) {
                return false;
            }
            self.is_ready.store(is_ready, Release);
            *state = next;
            true
        });
        match is_ready {
            true if has_entered => self.confirmations.open(),
            _ => self.confirmations.close(&self.refusal()),
        }
        has_entered
    }

    /// The log is open, and this is its last entry.
    pub(crate) fn set_last(&self, last: Option<LogId>) {
        self.last.store(last.map_or(0, |last| last.index), Relaxed);
    }

    /// Everything is executed: it serves requests, unless it was given up meanwhile.
    pub(crate) fn set_ready(&self) {
        if self.has_stopped() {
            return;
        }
        self.log_failure.send_replace(None);
        self.proposals.accept();
        self.note_loaded();
        self.enter(RangeState::Ready);
    }

    /// Whether it cannot go on.
    pub(crate) fn has_stopped(&self) -> bool {
        matches!(&*self.state.borrow(), RangeState::Stopped(_))
    }

    /// Logs that it is loaded, unless it was already.
    fn note_loaded(&self) {
        let loading = &mut *self.loading.lock();
        if loading.took.is_some() {
            return;
        }
        let took_ms = now_ms().saturating_sub(loading.began_ms);
        let buckets = self.store.bucket_counts().iter().map(|count| *count as u64).sum();
        (loading.took, loading.buckets) = (Some(Duration::from_millis(took_ms)), buckets);
        let entry = self.progress.applied.load(Relaxed);
        tracing::info!(range = &*self.spans.text(), buckets, entry, took_ms, "the durable range is loaded");
    }

    /// It cannot go on.
    pub(crate) fn stop(&self, reason: &str) {
        let reason: Arc<str> = reason.into();
        self.proposals.fail(&self.stopped(&reason));
        self.enter(RangeState::Stopped(reason));
    }

    /// Whether no snapshot or backup is being taken, one at a time, and none has failed a moment ago.
    pub(crate) fn may_begin_snapshot(&self) -> bool {
        let status = self.snapshots.status();
        !status.is_running() && !status.is_held_back(Instant::now()) && !self.store.is_frozen()
    }

    /// It must not write to its files any more, nor go on with a snapshot.
    pub(crate) fn give_up(&self, reason: &str) {
        self.store.end_freeze();
        let reason: Arc<str> = reason.into();
        self.proposals.give_up(&self.stopped(&reason));
        self.enter(RangeState::Stopped(reason));
        // Its log is another's to keep.
        self.log_failure.send_replace(None);
    }

    /// Accepts no more requests; those that wait are executed.
    pub(crate) fn close(&self) {
        self.proposals.close(match &self.lease {
            Some(_) => self.not_leader(None),
            None => self.stopped(&"the node is stopping".into()),
        });
    }

    fn stopped(&self, reason: &Arc<str>) -> RangeError {
        RangeError::Stopped { range: self.spans.text(), reason: reason.clone() }
    }
}

/// Bytes of a watched bucket beside its name: its database, its version, and the length of the name.
const WATCHED_BYTES: usize = 1 + 8 + 4;

/// The share, in percent of all bytes, of a snapshot that is read and a log whose entries are executed.
fn percent((read, size): (u64, u64), (executed, entries): (u64, u64), log_bytes: u64) -> u8 {
    let executed_bytes =
        u128::from(log_bytes) * u128::from(executed.min(entries)) / u128::from(entries.max(1));
    let loaded = u128::from(read.min(size)) + executed_bytes;
    (loaded * 100 / u128::from((size + log_bytes).max(1))) as u8
}

/// Whether a request takes so long to copy that other tasks run meanwhile.
#[inline]
pub fn is_large(request: &Request<'_>) -> bool {
    request_bytes(request) >= GROUP_BYTES
}

/// Whether a transaction is executed without the log. A watch may end by an expiry that only that knows of.
pub fn only_reads(watched: &[(FullName<'_>, u64)], requests: &[Request<'_>]) -> bool {
    watched.is_empty() && requests.iter().all(|request| encode::is_immediate(&request.op))
}

/// About how many bytes a request is.
fn request_bytes(request: &Request<'_>) -> usize {
    request.bucket.len() + request.op.payload_bytes()
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn what_is_loaded_is_counted_in_bytes_of_snapshot_and_log() {
        for (snapshot, entries, log_bytes, loaded) in [
            ((0, 900), (0, 0), 0, 0),
            ((450, 900), (0, 10), 100, 45),
            ((900, 900), (0, 10), 100, 90),
            ((900, 900), (5, 10), 100, 95),
            ((900, 900), (10, 10), 100, 100),
            ((0, 0), (u64::MAX / 2, u64::MAX), u64::MAX, 49),
            ((0, 0), (0, 0), 0, 0),
        ] {
            assert_eq!(percent(snapshot, entries, log_bytes), loaded, "{snapshot:?} {entries:?} {log_bytes}");
        }
    }
}
