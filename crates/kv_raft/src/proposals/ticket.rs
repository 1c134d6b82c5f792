//! Those who wait for a group: each has a ticket, and all are woken together.

use super::{
    replies::{GroupReplies, Replies},
    wakes,
};
use crate::{error::RangeError, identity::spans::Spans};
use parking_lot::Mutex;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

/// A result, and who waits for it.
#[derive(Debug)]
pub(super) struct Waiters<T>(Mutex<State<T>>);

#[derive(Debug)]
enum State<T> {
    /// The wakers, each at its place.
    Waiting(Vec<Option<Waker>>),
    Done(Result<T, RangeError>),
}

impl<T> Default for Waiters<T> {
    fn default() -> Waiters<T> {
        Waiters(Mutex::new(State::Waiting(Vec::new())))
    }
}

impl<T: Clone> Waiters<T> {
    /// A result that is known.
    pub(super) fn done(result: Result<T, RangeError>) -> Waiters<T> {
        Waiters(Mutex::new(State::Done(result)))
    }

    /// Sets the result, unless there is one, and wakes all who wait for it.
    pub(super) fn set(&self, result: impl FnOnce() -> Result<T, RangeError>) {
        let mut state = self.0.lock();
        let State::Waiting(wakers) = &mut *state else { return };
        let wakers = std::mem::take(wakers);
        *state = State::Done(result());
        drop(state);
        wakes::wake_all(wakers.into_iter().flatten());
    }

    /// The result, once it is known; until then who polls at this place waits for it.
    pub(super) fn poll(&self, place: usize, context: &mut Context<'_>) -> Poll<Result<T, RangeError>> {
        match &mut *self.0.lock() {
            State::Done(result) => Poll::Ready(result.clone()),
            State::Waiting(wakers) => {
                if wakers.len() <= place {
                    wakers.resize(place + 1, None);
                }
                match &mut wakers[place] {
                    Some(waker) => waker.clone_from(context.waker()),
                    none => *none = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        }
    }
}

/// The group's end of its tickets. If it is dropped without a result, the outcome is unknown.
#[derive(Debug)]
pub(crate) struct Completion {
    waiters: Arc<Waiters<Arc<GroupReplies>>>,
    range: Arc<Spans>,
    /// Becomes true if the group fails.
    has_failed: Option<Arc<AtomicBool>>,
}

impl Completion {
    pub(super) fn new(range: Arc<Spans>) -> Completion {
        Completion { waiters: Arc::default(), range, has_failed: None }
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
        self.waiters.set(|| {
            if let Some(has_failed) = &self.has_failed {
                has_failed.fetch_or(result.is_err(), Relaxed);
            }
            result.map(Arc::new)
        });
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        self.set(Err(RangeError::Unknown { range: self.range.text() }));
    }
}

/// A step of a group that is in flight. It is ready when the group is on disk and executed. The step goes on
/// without it.
#[derive(Debug)]
pub struct Ticket {
    waiters: Arc<Waiters<Arc<GroupReplies>>>,
    step: usize,
}

impl Ticket {
    /// A ticket that is ready.
    pub(crate) fn ready(replies: GroupReplies) -> Ticket {
        Ticket { waiters: Arc::new(Waiters::done(Ok(Arc::new(replies)))), step: 0 }
    }
}

impl Future for Ticket {
    type Output = Result<Replies, RangeError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let result = self.waiters.poll(self.step, context);
        result.map(|replies| {
            let replies = replies?;
            match replies.is_split_off(self.step) {
                true => Err(RangeError::SplitOff),
                false => Ok(Replies::new(replies, self.step)),
            }
        })
    }
}
