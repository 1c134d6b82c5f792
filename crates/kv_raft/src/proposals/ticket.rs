//! Those who wait for a group: each has a ticket, and all are woken together.

use super::{
    replies::{GroupReplies, Replies},
    wakes,
};
use crate::error::RangeError;
use parking_lot::Mutex;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

/// The result of a group, and who waits for it.
#[derive(Debug)]
struct Waiters(Mutex<State>);

#[derive(Debug)]
enum State {
    /// The wakers, by step.
    Waiting(Vec<Option<Waker>>),
    Done(Result<Arc<GroupReplies>, RangeError>),
}

/// The group's end of its tickets. If it is dropped without a result, the outcome is unknown.
#[derive(Debug)]
pub(crate) struct Completion {
    waiters: Arc<Waiters>,
    range: Arc<str>,
    /// Becomes true if the group fails.
    has_failed: Option<Arc<AtomicBool>>,
}

impl Completion {
    pub(super) fn new(range: Arc<str>) -> Completion {
        let waiters = Arc::new(Waiters(Mutex::new(State::Waiting(Vec::new()))));
        Completion { waiters, range, has_failed: None }
    }

    /// Has it noted if the group fails.
    pub(super) fn note_failure(&mut self, has_failed: &Arc<AtomicBool>) {
        self.has_failed.get_or_insert_with(|| has_failed.clone());
    }

    /// The ticket of a step.
    pub(super) fn ticket(&self, step: usize) -> Ticket {
        Ticket { waiters: self.waiters.clone(), step }
    }

    /// Sets the result of the group, and wakes all who wait for it. Only the first result counts.
    pub(crate) fn set(&self, result: Result<GroupReplies, RangeError>) {
        let mut state = self.waiters.0.lock();
        let State::Waiting(wakers) = &mut *state else { return };
        let wakers = std::mem::take(wakers);
        if let Some(has_failed) = &self.has_failed {
            has_failed.fetch_or(result.is_err(), Relaxed);
        }
        *state = State::Done(result.map(Arc::new));
        drop(state);
        wakes::wake_all(wakers.into_iter().flatten());
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        self.set(Err(RangeError::Unknown { range: self.range.clone() }));
    }
}

/// A step of a group that is in flight. It is ready when the group is on disk and executed. The step goes on
/// without it.
#[derive(Debug)]
pub struct Ticket {
    waiters: Arc<Waiters>,
    step: usize,
}

impl Ticket {
    /// A ticket that is ready.
    pub(crate) fn ready(replies: GroupReplies) -> Ticket {
        Ticket { waiters: Arc::new(Waiters(Mutex::new(State::Done(Ok(Arc::new(replies)))))), step: 0 }
    }
}

impl Future for Ticket {
    type Output = Result<Replies, RangeError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self.waiters.0.lock() {
            State::Done(Ok(replies)) => Poll::Ready(Ok(Replies::new(replies.clone(), self.step))),
            State::Done(Err(error)) => Poll::Ready(Err(error.clone())),
            State::Waiting(wakers) => {
                if wakers.len() <= self.step {
                    wakers.resize(self.step + 1, None);
                }
                match &mut wakers[self.step] {
                    Some(waker) => waker.clone_from(context.waker()),
                    none => *none = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        }
    }
}
