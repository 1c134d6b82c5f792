//! Executes the entries of the log that are committed. The replies to a group are kept only if a caller on
//! this node waits for it.

use crate::{
    group::{self, Malformed, Split, Step, process},
    identity::spans::{Spans, SplitOff},
    limits::UNINTERRUPTED_REQUESTS,
    log::encoding::{LogId, Payload, Position},
    proposals::{
        ClosedGroup,
        replies::{GroupReplies, ProposalOutcome},
    },
};
use kv::{EntryTerms, Halted, Request, StateRecord, Store, syntax::excerpt::excerpt};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};
use tokio::sync::oneshot;

/// How far a range has executed its log. Others look at it while it does.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The index of the last entry that was executed.
    pub(crate) applied: AtomicU64,
    /// The time of the range: the newest stamp of an entry, in milliseconds since 1970.
    pub(crate) stamp_ms: AtomicU64,
    /// Where in the log the store is; `None` before the first entry.
    position: Mutex<Option<Position>>,
    crash: Mutex<Option<Crash>>,
}

impl Progress {
    /// Nothing is executed yet.
    pub(crate) fn reset(&self) {
        self.applied.store(0, Relaxed);
        self.stamp_ms.store(0, Relaxed);
        *self.position.lock() = None;
    }

    /// Everything up to here is in the store already.
    pub(crate) fn begin_at(&self, position: Position, stamp_ms: u64) {
        self.applied.store(position.last.index, Relaxed);
        self.stamp_ms.store(stamp_ms, Relaxed);
        *self.position.lock() = Some(position);
    }

    /// Where in the log the store is.
    pub(crate) fn position(&self) -> Option<Position> {
        self.position.lock().clone()
    }

    /// Takes note of where the store has halted, if it has.
    pub(crate) fn take_crash(&self) -> Option<Crash> {
        self.crash.lock().take()
    }
}

/// The bucket of a request, if that is known.
type Bucket = Option<Box<[u8]>>;

/// An entry that could not be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crash {
    pub(crate) index: u64,
    halted: Halted,
    /// The bucket of the request that was being executed.
    pub(crate) bucket: Bucket,
}

impl Crash {
    /// Why a range stops that crashes here whenever it is loaded, and the way out.
    pub(crate) fn reason(&self, span: &str) -> String {
        let Crash { index, halted, bucket } = self;
        let bucket = excerpt(bucket.as_deref().unwrap_or_default()).escape_ascii();
        let (why, remedy) = match halted {
            Halted::Crashed => ("crashes it", ""),
            Halted::OutOfMemory => ("needs more memory than there is", "give the node more memory, or "),
        };
        format!(
            "entry {index} of the log {why}, at bucket \"{bucket}\"; {remedy}stop the node and leave the entry out \
             with `range skip \"{span}\" {index}`"
        )
    }
}

/// Why an entry was not executed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error("the store has halted")]
    Halted,
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl ApplyError {
    /// Whether no release could execute it.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, ApplyError::Malformed(Malformed::Incomplete | Malformed::Damaged))
    }
}

/// The group of this node that was written to the log last, until it is executed. There is one at a time.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight(Arc<Mutex<Option<Given>>>);

type Given = (LogId, Arc<ClosedGroup>);

impl InFlight {
    /// Notes that the log was given a group.
    pub(crate) fn set(&self, id: LogId, group: Arc<ClosedGroup>) {
        *self.0.lock() = Some((id, group));
    }

    /// Forgets this group. Returns whether the log was given it: then it may be executed yet.
    pub(crate) fn abandon(&self, group: &Arc<ClosedGroup>) -> bool {
        self.0.lock().take_if(|(_, given)| Arc::ptr_eq(given, group)).is_some()
    }

    fn take(&self, id: LogId) -> Option<Arc<ClosedGroup>> {
        self.0.lock().take_if(|(given, _)| *given == id).map(|(_, group)| group)
    }
}

/// Executes entries on a store.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) store: Arc<Store>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) in_flight: InFlight,
    /// The names of the range.
    pub(crate) spans: Arc<Spans>,
    /// The indices of entries that are not executed.
    pub(crate) skipped: BTreeSet<u64>,
    /// Dropped with the machine: nothing is executed after that.
    pub(crate) _ended: oneshot::Sender<()>,
}

impl Machine {
    /// Executes an entry that is read from the log.
    pub(crate) fn replay(&self, id: LogId, payload: Payload) -> Result<(), ApplyError> {
        match payload {
            Payload::Blank => self.applied(id),
            Payload::Group(group) => process(group.len(), || self.apply(id, &group))?,
            Payload::Members { voters, learners } => self.apply_members(id, voters, learners),
        }
        Ok(())
    }

    /// Executes a group.
    pub(crate) fn apply(&self, id: LogId, logged: &[u8]) -> Result<(), ApplyError> {
        if self.skipped.contains(&id.index) {
            tracing::warn!(index = id.index, "an entry of the log is left out, by `range skip`");
            self.applied(id);
            return Ok(());
        }
        let group = self.in_flight.take(id);
        let bytes = group.as_ref().and_then(|group| group.with_reads.as_deref()).unwrap_or(logged);
        let mut replies = group.as_ref().map(|_| GroupReplies::default());
        let (terms, steps) = group::decode(bytes)?;
        self.progress.stamp_ms.fetch_max(terms.stamp_ms, Relaxed);
        let steps = steps.collect::<Result<Vec<_>, _>>()?;
        let mut executed = 0;
        let is_joined = |step: &Step<'_>, next: &Step<'_>| {
            step.is_small_batch() && next.is_small_batch() && self.has(step) == self.has(next)
        };
        for steps in steps.chunk_by(is_joined) {
            executed += steps.iter().map(|step| step.requests().len()).sum::<usize>();
            if executed >= UNINTERRUPTED_REQUESTS {
                executed = 0;
                // Otherwise the system interrupts it, often while it holds a lock, for which others wait.
                thread::yield_now();
            }
            if let Some(replies) = &mut replies {
                replies.begin_step();
            }
            if let [Step::Split(split)] = steps {
                self.split(id, split);
            } else if !self.has(&steps[0]) {
                self.refuse(steps.len(), replies.as_mut());
            } else if let Err((halted, bucket)) = self.apply_steps(steps, terms, replies.as_mut()) {
                *self.progress.crash.lock() = Some(Crash { index: id.index, halted, bucket });
                return Err(ApplyError::Halted);
            }
        }
        self.applied(id);
        if let (Some(group), Some(replies)) = (group, replies) {
            group.completion.set(Ok(replies));
        }
        Ok(())
    }

    /// Whether all buckets of a step are in the range, as far as that is executed.
    fn has(&self, step: &Step<'_>) -> bool {
        self.store.split_at().is_none_or(|at| step.names().all(|name| *name < *at))
    }

    /// Does not execute steps that were proposed before their node knew of a split. The replies to the first
    /// one have begun.
    fn refuse(&self, steps: usize, replies: Option<&mut GroupReplies>) {
        let Some(replies) = replies else { return };
        for step in 0..steps {
            if step > 0 {
                replies.begin_step();
            }
            replies.set_split_off();
        }
    }

    /// Splits off the last names of the range, unless that was executed already.
    fn split(&self, id: LogId, Split { at, range, replicas }: &Split<'_>) {
        if self.store.split_at().is_some_and(|before| *before <= **at) {
            return;
        }
        let mut last_version = 0;
        self.store.read_state(|record| {
            if let StateRecord::LastVersion(version) = record {
                last_version = version;
            }
        });
        let frozen = self.store.split_off(at);
        // Otherwise this replica has executed it before, and there are files of it.
        if self.spans.newest().end.as_ref().is_none_or(|end| **at < **end) {
            self.spans.keep(SplitOff {
                at: (*at).into(),
                range: *range,
                replicas: replicas.clone(),
                leader: id.leader,
                stamp_ms: self.progress.stamp_ms.load(Relaxed),
                last_version,
                frozen,
            });
        }
    }

    /// Notes that an entry was executed.
    pub(crate) fn applied(&self, id: LogId) {
        self.progress.applied.store(id.index, Relaxed);
        if let Some(position) = &mut *self.progress.position.lock() {
            position.last = id;
        }
    }

    /// Executes an entry that names the members.
    pub(crate) fn apply_members(&self, id: LogId, voters: Vec<Vec<u64>>, learners: Vec<u64>) {
        let position = Position { last: id, members_since: id, voters, learners };
        *self.progress.position.lock() = Some(position);
        self.applied(id);
    }

    /// Executes batches, or one step of another kind. The replies to the first step have begun. The error is
    /// why, and at which bucket, the store has halted.
    fn apply_steps(
        &self,
        steps: &[Step<'_>],
        terms: EntryTerms,
        mut replies: Option<&mut GroupReplies>,
    ) -> Result<(), (Halted, Bucket)> {
        match steps {
            [Step::Transaction { watched, requests }] => {
                let mut executed = 0_usize;
                let transacted = self.store.apply_transaction(watched, requests, terms, |reply| {
                    if let Some(replies) = &mut replies {
                        replies.push(reply);
                    }
                    executed += 1;
                });
                let outcome = match transacted {
                    Ok(Ok(true)) => return Ok(()),
                    Ok(Ok(false)) => ProposalOutcome::Aborted,
                    Ok(Err(error)) => ProposalOutcome::Refused(error),
                    Err(halted) => return Err((halted, bucket(requests, executed))),
                };
                if let Some(replies) = replies {
                    replies.set_outcome(outcome);
                }
            }
            [Step::Flush(database)] => {
                let flushed = self.store.flush(*database);
                // If the system has no thread for it, it is freed here: an error drops the closure.
                drop(thread::Builder::new().spawn(|| drop(flushed)));
            }
            [Step::EndWatches(Some(link))] => self.store.unwatch_link(*link),
            [Step::EndWatches(None)] => self.store.unwatch_all(),
            batches => return self.apply_batches(batches, terms, replies),
        }
        Ok(())
    }

    /// Executes batches as one, so that the memory of all their requests is prefetched together.
    fn apply_batches(
        &self,
        batches: &[Step<'_>],
        terms: EntryTerms,
        mut replies: Option<&mut GroupReplies>,
    ) -> Result<(), (Halted, Bucket)> {
        let joined: Vec<_>;
        let requests = match batches {
            [Step::Batch(requests)] => requests,
            _ => {
                joined = batches.iter().flat_map(Step::requests).copied().collect();
                &joined
            }
        };
        let mut lengths = batches.iter().map(|batch| batch.requests().len());
        let (mut executed, mut end) = (0, lengths.next().unwrap_or_default());
        let applied = self.store.apply(requests, terms, |reply| {
            if let Some(replies) = &mut replies {
                while executed == end
                    && let Some(length) = lengths.next()
                {
                    replies.begin_step();
                    end += length;
                }
                replies.push(reply);
            }
            executed += 1;
        });
        if let Some(replies) = replies {
            // Those without requests.
            lengths.for_each(|_| replies.begin_step());
        }
        applied.map_err(|halted| (halted, bucket(requests, executed)))
    }
}

/// The bucket of the last request that was executed. The reply to one that crashes is counted.
fn bucket(requests: &[Request<'_>], executed: usize) -> Bucket {
    requests.get(executed.saturating_sub(1)).map(|request| request.bucket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_range_that_stops_is_not_always_a_crash() {
        let reason = |halted| Crash { index: 7, halted, bucket: Some((*b"x").into()) }.reason("a..m");
        assert!(
            reason(Halted::Crashed)
                .starts_with("entry 7 of the log crashes it, at bucket \"x\"; stop the node")
        );
        let expected = "entry 7 of the log needs more memory than there is, at bucket \"x\"; give the node more \
                        memory, or stop the node and leave the entry out with `range skip \"a..m\" 7`";
        assert_eq!(reason(Halted::OutOfMemory), expected);
    }
}
