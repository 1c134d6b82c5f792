//! What waits to be written in a range. All that waits becomes one group, and so one entry of the log: while
//! a group is in flight, the next one fills.

pub(crate) mod confirmations;
mod delay;
pub(crate) mod replies;
pub(crate) mod ticket;
pub mod wakes;

use crate::{
    disk::{Disk, Writing},
    error::RangeError,
    group::{GroupBytes, Malformed, encode},
    identity::spans::Spans,
    limits::{
        AMPLE_WAITING_BYTES, GROUP_BYTES, GROUP_STEPS, LARGE_BYTES, PROPOSAL_BYTES, REQUEST_OVERHEAD_BYTES,
        WAITING_BYTES,
    },
};
use delay::GroupDelay;
use kv::{EntryTerms, Request};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Wake, Waker},
    time::Instant,
};
use ticket::{Completion, Ticket};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout_at,
};

/// Bytes of requests that wait in all ranges of a node.
#[derive(Debug)]
pub(crate) struct WaitingBytes {
    /// Of all that are not large.
    small: AtomicUsize,
    /// Room for large ones, which they have until they are executed. It is given in the order in which it is
    /// asked for.
    large: Arc<Semaphore>,
}

impl Default for WaitingBytes {
    fn default() -> WaitingBytes {
        WaitingBytes { small: AtomicUsize::new(0), large: Arc::new(Semaphore::new(LARGE_BYTES)) }
    }
}

/// Who proposes the groups of a range, or confirms its reads, waits for it.
#[derive(Debug, Default)]
struct Filled(Notify);

impl Wake for Filled {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// The proposals of a range.
#[derive(Debug)]
pub(crate) struct Proposals {
    range: Arc<Spans>,
    queue: Mutex<Queue>,
    filled: Arc<Filled>,
    waiting: Arc<WaitingBytes>,
    disk: Arc<Disk>,
    /// Whether the end of a watch was refused or has failed: the watch would stay until its bucket changes.
    has_left_watches: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Queue {
    groups: VecDeque<OpenGroup>,
    delay: GroupDelay,
    /// Whether who proposes the groups sleeps, and is to be woken by the next one.
    is_proposer_asleep: bool,
    /// Why nothing is added, if nothing is.
    refusal: Option<RangeError>,
    /// There will be no more groups.
    is_closed: bool,
}

impl Queue {
    /// Whether the next group is to be taken now, if there is one.
    fn is_due(&self, now: Instant) -> bool {
        let waits = |group: &OpenGroup| {
            group.large.is_none() && !group.is_full() && !self.delay.is_over(group.steps, now)
        };
        self.is_closed || self.groups.len() > 1 || !self.groups.front().is_some_and(waits)
    }
}

/// A group that has not been proposed.
#[derive(Debug)]
pub(crate) struct OpenGroup {
    bytes: GroupBytes,
    steps: usize,
    has_reads: bool,
    completion: Completion,
    large: Option<Large>,
}

/// What a group whose only step is large has until it is executed.
#[derive(Debug)]
struct Large {
    _room: OwnedSemaphorePermit,
    _writing: Writing,
}

/// A group that is in flight.
#[derive(Debug)]
pub(crate) struct ClosedGroup {
    /// What goes into the log.
    pub(crate) logged: Arc<GroupBytes>,
    /// What this node executes, if there are reads among it.
    pub(crate) with_reads: Option<GroupBytes>,
    pub(crate) completion: Completion,
    _large: Option<Large>,
}

impl OpenGroup {
    fn new(completion: Completion) -> OpenGroup {
        let mut bytes = Vec::new();
        encode::begin(&mut bytes);
        OpenGroup { bytes: GroupBytes(bytes), steps: 0, has_reads: false, completion, large: None }
    }

    /// Bytes of the group.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What it counts among those that wait and are not large.
    fn small_bytes(&self) -> usize {
        if self.large.is_some() { 0 } else { self.bytes.len() }
    }

    fn is_full(&self) -> bool {
        self.steps >= GROUP_STEPS || self.bytes.len() >= GROUP_BYTES
    }

    /// Adds a step: what `encode` appends.
    fn add<T>(&mut self, has_reads: bool, encode: impl FnOnce(&mut Vec<u8>) -> T) -> (T, Ticket) {
        let encoded = encode(&mut self.bytes.0);
        let ticket = self.completion.ticket(self.steps);
        self.steps += 1;
        self.has_reads |= has_reads;
        (encoded, ticket)
    }

    /// Gives the group its terms.
    pub(crate) fn close(mut self, terms: EntryTerms) -> Result<ClosedGroup, Malformed> {
        encode::set_terms(&mut self.bytes.0, terms);
        let (mut logged, with_reads) = match self.has_reads {
            true => (encode::without_reads(&self.bytes)?, Some(self.bytes)),
            false => (self.bytes, None),
        };
        // The log keeps it in memory.
        logged.0.shrink_to_fit();
        let (completion, _large) = (self.completion, self.large);
        Ok(ClosedGroup { logged: Arc::new(logged), with_reads, completion, _large })
    }
}

/// What is added to a group.
pub(crate) struct Added {
    /// Whether some of its requests are not for the log.
    pub(crate) has_reads: bool,
    /// About how many bytes it is.
    pub(crate) bytes: usize,
}

impl Proposals {
    /// Proposals that are refused until [`Self::accept`].
    pub(crate) fn new(
        range: Arc<Spans>,
        waiting: Arc<WaitingBytes>,
        disk: Arc<Disk>,
        refusal: RangeError,
    ) -> Proposals {
        let queue = Queue {
            groups: VecDeque::new(),
            delay: GroupDelay::none(),
            is_proposer_asleep: false,
            refusal: Some(refusal),
            is_closed: false,
        };
        let queue = Mutex::new(queue);
        Proposals { range, queue, filled: Arc::default(), waiting, disk, has_left_watches: Arc::default() }
    }

    fn new_group(&self) -> OpenGroup {
        OpenGroup::new(Completion::new(self.range.clone()))
    }

    /// A group that ends all watches.
    pub(crate) fn end_of_watches(&self) -> OpenGroup {
        let mut group = self.new_group();
        group.add(false, |bytes| encode::encode_end_watches(None, bytes));
        group
    }

    /// A group that changes nothing: when it is executed, so is all before it.
    pub(crate) fn barrier(&self) -> OpenGroup {
        let mut group = self.new_group();
        group.add(false, |bytes| {
            encode::encode_batch(&[], GROUP_BYTES, bytes);
        });
        group
    }

    /// Adds a step to the group that fills: what `encode` appends to its bytes.
    pub(crate) fn push<T>(
        &self,
        Added { has_reads, bytes }: Added,
        encode: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> Result<(T, Ticket), RangeError> {
        self.check_room(bytes)?;
        self.add_to(|groups| self.group_to_fill(groups).add(has_reads, encode))
    }

    /// Waits until there is room for a large step, which holds it until it is executed.
    pub(crate) async fn wait_for_room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, RangeError> {
        if bytes > PROPOSAL_BYTES {
            return Err(RangeError::TooLarge { range: self.range.text(), limit: PROPOSAL_BYTES });
        }
        self.may_push(bytes)?;
        let room = self.waiting.large.clone().acquire_many_owned(bytes.min(LARGE_BYTES) as u32).await;
        // That may have taken long.
        self.may_push(bytes)?;
        Ok(room.expect("it is never closed"))
    }

    /// Adds a large step as a group of its own: what `begin` appends, and then the requests. Other tasks run
    /// while it is copied.
    pub(crate) async fn push_large(
        &self,
        room: OwnedSemaphorePermit,
        Added { has_reads, bytes }: Added,
        begin: impl FnOnce(&mut Vec<u8>),
        requests: &[Request<'_>],
    ) -> Result<Ticket, RangeError> {
        let mut group = self.new_group();
        group.large = Some(Large { _room: room, _writing: self.disk.begin_write(bytes as u64) });
        group.bytes.0.reserve_exact(bytes + requests.len() * REQUEST_OVERHEAD_BYTES);
        begin(&mut group.bytes.0);
        encode::copy_requests(requests, &mut group.bytes.0).await;
        let ((), ticket) = group.add(has_reads, |_| ());
        self.add_to(|groups| groups.push_back(group))?;
        Ok(ticket)
    }

    /// Adds the end of watches, of which there are no more than watches: neither a full disk nor what waits
    /// refuses it. What refuses it all the same ends with the end of all watches.
    pub(crate) fn push_end_of_watches<T>(
        &self,
        encode: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> Result<(T, Ticket), RangeError> {
        let pushed = self.add_to(|groups| {
            let group = self.group_to_fill(groups);
            group.completion.note_failure(&self.has_left_watches);
            group.add(false, encode)
        });
        if pushed.is_err() {
            let queue = self.queue.lock();
            let is_refused = queue.refusal.is_some();
            self.has_left_watches.fetch_or(is_refused, Relaxed);
            drop(queue);
            if !is_refused {
                // Who accepts has not seen it.
                self.push_end_of_all_watches();
            }
        }
        pushed
    }

    fn push_end_of_all_watches(&self) {
        // If it is refused, it is noted again.
        drop(self.push_end_of_watches(|bytes| encode::encode_end_watches(None, bytes)));
    }

    /// Whether `bytes` can be added now; why not, if not.
    pub(crate) fn may_push(&self, bytes: usize) -> Result<(), RangeError> {
        self.check_room(bytes)?;
        self.queue.lock().refusal.clone().map_or(Ok(()), Err)
    }

    /// Whether little waits.
    pub(crate) fn has_ample_room(&self) -> bool {
        self.waiting.small.load(Relaxed) < AMPLE_WAITING_BYTES
    }

    /// Whether too much waits, or the disk has no room for that and `bytes` more.
    #[inline]
    fn check_room(&self, bytes: usize) -> Result<(), RangeError> {
        let waiting = self.waiting.small.load(Relaxed);
        if waiting >= WAITING_BYTES {
            return Err(RangeError::Behind { range: self.range.text(), limit: WAITING_BYTES });
        }
        let cannot_write = |reason| RangeError::CannotWrite { range: self.range.text(), reason };
        self.disk.check_room((waiting + bytes) as u64).map_err(cannot_write)
    }

    /// The last group that waits, or a new one behind it if that is full.
    fn group_to_fill<'g>(&self, groups: &'g mut VecDeque<OpenGroup>) -> &'g mut OpenGroup {
        if groups.back().is_none_or(OpenGroup::is_full) {
            groups.push_back(self.new_group());
        }
        groups.back_mut().expect("pushed")
    }

    /// Lets `add` change the last group, or add one.
    fn add_to<T>(&self, add: impl FnOnce(&mut VecDeque<OpenGroup>) -> T) -> Result<T, RangeError> {
        let mut queue = self.queue.lock();
        if let Some(refusal) = &queue.refusal {
            return Err(refusal.clone());
        }
        let last_bytes = |groups: &VecDeque<OpenGroup>| groups.back().map_or(0, OpenGroup::small_bytes);
        let (count, before) = (queue.groups.len(), last_bytes(&queue.groups));
        let added = add(&mut queue.groups);
        let before = if queue.groups.len() == count { before } else { 0 };
        self.waiting.small.fetch_add(last_bytes(&queue.groups) - before, Relaxed);
        // One that is awake looks at the queue before it sleeps. A wake that is put off would come when it
        // sleeps again, and have it propose the first of what another thread proposes in one turn.
        let sleeps = queue.is_proposer_asleep && queue.is_due(Instant::now());
        queue.is_proposer_asleep &= !sleeps;
        drop(queue);
        if sleeps {
            wakes::wake_proposer(Waker::from(self.filled.clone()));
        }
        Ok(added)
    }

    /// Waits for the next group, which waits no longer then, and is being written; `None` when there will be
    /// no more.
    pub(crate) async fn next(&self) -> Option<(OpenGroup, Writing)> {
        loop {
            let delay_end = {
                let mut queue = self.queue.lock();
                queue.is_proposer_asleep = false;
                let now = Instant::now();
                if queue.is_due(now)
                    && let Some(group) = queue.groups.pop_front()
                {
                    queue.delay.begin_group(group.steps, now);
                    let bytes = group.small_bytes();
                    let writing = self.disk.begin_write(bytes as u64);
                    self.waiting.small.fetch_sub(bytes, Relaxed);
                    return Some((group, writing));
                }
                if queue.is_closed {
                    return None;
                }
                queue.is_proposer_asleep = true;
                queue.delay.end(now)
            };
            let filled = self.filled.0.notified();
            match delay_end {
                Some(end) => drop(timeout_at(end.into(), filled).await),
                None => filled.await,
            }
        }
    }

    /// The group that was taken last has just been executed: its clients have not written again yet.
    pub(crate) fn end_group(&self) {
        let mut queue = self.queue.lock();
        let waiting = queue.groups.iter().map(|group| group.steps).sum();
        queue.delay.end_group(waiting, Instant::now());
    }

    /// Accepts requests from now on, unless there will be no more groups. If watches were left, all of them
    /// end first.
    pub(crate) fn accept(&self) {
        let mut queue = self.queue.lock();
        if queue.is_closed {
            return;
        }
        queue.refusal = None;
        // A refusal is noted under this lock.
        let has_left_watches = self.has_left_watches.swap(false, Relaxed);
        drop(queue);
        if has_left_watches {
            self.push_end_of_all_watches();
        }
    }

    /// Why nothing can be written now, if so.
    pub(crate) fn cannot_write(&self) -> Option<Arc<str>> {
        match &self.queue.lock().refusal {
            Some(RangeError::CannotWrite { reason, .. }) => Some(reason.clone()),
            _ => self.disk.full_reason(),
        }
    }

    /// Whether there will be no more groups.
    pub(crate) fn is_closed(&self) -> bool {
        self.queue.lock().is_closed
    }

    /// Whether who proposes the groups sleeps.
    #[cfg(test)]
    pub(crate) fn is_proposer_asleep(&self) -> bool {
        self.queue.lock().is_proposer_asleep
    }

    /// Refuses requests from now on, and ends with the groups that wait.
    pub(crate) fn close(&self, refusal: RangeError) {
        let mut queue = self.queue.lock();
        (queue.refusal, queue.is_closed) = (Some(refusal), true);
        drop(queue);
        self.filled.0.notify_one();
    }

    /// Refuses requests from now on, those that wait as well, until [`Self::accept`].
    pub(crate) fn fail(&self, refusal: &RangeError) {
        self.refuse(refusal, false);
    }

    /// Refuses requests from now on, those that wait as well: there will be no more groups.
    pub(crate) fn give_up(&self, refusal: &RangeError) {
        self.refuse(refusal, true);
        self.filled.0.notify_one();
    }

    fn refuse(&self, refusal: &RangeError, is_last: bool) {
        let mut queue = self.queue.lock();
        if !queue.is_closed {
            (queue.refusal, queue.is_closed) = (Some(refusal.clone()), is_last);
        }
        let groups = std::mem::take(&mut queue.groups);
        drop(queue);
        self.waiting.small.fetch_sub(groups.iter().map(OpenGroup::small_bytes).sum(), Relaxed);
        for group in groups {
            group.completion.set(Err(refusal.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        pin::{Pin, pin},
        task::{Context, Poll},
        time::Duration,
    };
    use tempfile::TempDir;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn poll<F: Future>(future: Pin<&mut F>, counter: &Arc<Counter>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&counter.clone().into()))
    }

    fn proposals() -> (TempDir, Proposals) {
        let directory = TempDir::new().expect("a directory");
        let disk = Arc::new(Disk::open(directory.path()).expect("open"));
        let span = crate::identity::Span { start: Box::default(), end: None, text: "..".into() };
        let spans = Arc::new(Spans::new(span, Arc::default()));
        let refusal = RangeError::Behind { range: "..".into(), limit: 0 };
        let proposals = Proposals::new(spans, Arc::default(), disk, refusal);
        proposals.accept();
        (directory, proposals)
    }

    fn push(proposals: &Proposals) {
        let added = Added { has_reads: false, bytes: 1 };
        proposals.push(added, |bytes| bytes.push(0)).expect("accepted");
    }

    #[tokio::test]
    async fn who_proposes_sleeps_until_most_of_those_who_write_wait() {
        let (_directory, proposals) = proposals();
        let counter = Arc::new(Counter::default());
        let now = Instant::now();
        for is_closed in [false, true] {
            {
                let delay = &mut proposals.queue.lock().delay;
                delay.begin_group(64, now);
                // It is over long after the test.
                delay.end_group(0, now + Duration::from_secs(600));
            }
            let mut sleeping = pin!(proposals.next());
            (0..55).for_each(|_| push(&proposals));
            assert!(poll(sleeping.as_mut(), &counter).is_pending());
            match is_closed {
                false => push(&proposals),
                true => proposals.close(RangeError::Behind { range: "..".into(), limit: 0 }),
            }
            let Poll::Ready(Some((group, _writing))) = poll(sleeping, &counter) else { panic!("asleep") };
            assert_eq!(group.steps, if is_closed { 55 } else { 56 });
            assert!(!proposals.is_proposer_asleep(), "a wake would come when it sleeps again");
        }
        assert_eq!(counter.0.load(Relaxed), 2);
    }

    #[test]
    fn who_proposes_is_woken_once_for_each_sleep_and_not_for_what_it_took_while_awake() {
        let (_directory, proposals) = proposals();
        let counter = Arc::new(Counter::default());
        let push = || push(&proposals);
        {
            // Another thread reads on while it takes what this one has proposed, and falls asleep again.
            let mut sleeping = pin!(proposals.next());
            wakes::turn(|| {
                push();
                assert!(poll(pin!(proposals.next()), &counter).is_ready());
                assert!(poll(sleeping.as_mut(), &counter).is_pending());
            });
            assert_eq!(counter.0.load(Relaxed), 0, "there is nothing to propose");
            push();
            push();
            assert_eq!(counter.0.load(Relaxed), 1);
            assert!(poll(sleeping, &counter).is_ready());
        }
        assert!(poll(pin!(proposals.next()), &counter).is_pending());
    }
}
