//! Reads that wait until it is confirmed that this replica leads: all that wait take part in one round, in
//! which a majority answers it. While a round goes on, the next one fills.

use super::{Filled, ticket::Waiters, wakes};
use crate::error::RangeError;
use parking_lot::Mutex;
use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// The confirmations of a range that are asked for.
#[derive(Debug)]
pub(crate) struct Confirmations {
    queue: Mutex<Queue>,
    filled: Arc<Filled>,
    /// The error of those whose round was given up.
    no_leader: RangeError,
}

#[derive(Debug)]
struct Queue {
    next: Round,
    /// Whether there are rounds.
    is_open: bool,
}

/// Those who wait for the same answers. If it is dropped without a result, nobody leads as far as is known.
#[derive(Debug)]
pub(crate) struct Round {
    waiters: Arc<Waiters<()>>,
    count: usize,
    no_leader: RangeError,
}

/// The place of one read in a round.
#[derive(Debug)]
pub struct Confirmation {
    waiters: Arc<Waiters<()>>,
    place: usize,
}

impl Round {
    fn new(no_leader: &RangeError) -> Round {
        Round { waiters: Arc::default(), count: 0, no_leader: no_leader.clone() }
    }

    /// A majority has answered, or not. All who wait for it are woken.
    pub(crate) fn end(&self, result: Result<(), RangeError>) {
        self.waiters.set(|| result);
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        self.waiters.set(|| Err(self.no_leader.clone()));
    }
}

impl Confirmations {
    /// None are made until [`Self::open`].
    pub(crate) fn new(no_leader: RangeError) -> Confirmations {
        let queue = Mutex::new(Queue { next: Round::new(&no_leader), is_open: false });
        Confirmations { queue, filled: Arc::default(), no_leader }
    }

    /// Asks for one, in the next round; `None` if there are none.
    pub(crate) fn ask(&self) -> Option<Confirmation> {
        let mut queue = self.queue.lock();
        if !queue.is_open {
            return None;
        }
        let round = &mut queue.next;
        let confirmation = Confirmation { waiters: round.waiters.clone(), place: round.count };
        round.count += 1;
        drop(queue);
        if confirmation.place == 0 {
            wakes::wake_proposer(Waker::from(self.filled.clone()));
        }
        Some(confirmation)
    }

    /// Waits until someone has asked. Who asks from then on waits for another round.
    pub(crate) async fn next_round(&self) -> Round {
        loop {
            if let Some(round) = self.take_round() {
                return round;
            }
            self.filled.0.notified().await;
        }
    }

    fn take_round(&self) -> Option<Round> {
        let mut queue = self.queue.lock();
        let has_begun = queue.next.count > 0;
        has_begun.then(|| mem::replace(&mut queue.next, Round::new(&self.no_leader)))
    }

    /// There are rounds from now on.
    pub(crate) fn open(&self) {
        self.queue.lock().is_open = true;
    }

    /// Gives up the next round.
    pub(crate) fn give_up(&self) {
        drop(self.take_round());
    }

    /// There are no more rounds until [`Self::open`]; those who wait for one get this error.
    pub(crate) fn close(&self, error: RangeError) {
        self.queue.lock().is_open = false;
        if let Some(round) = self.take_round() {
            round.end(Err(error));
        }
    }
}

impl Confirmation {
    /// One that needs no round.
    pub(crate) fn ready(result: Result<(), RangeError>) -> Confirmation {
        Confirmation { waiters: Arc::new(Waiters::done(result)), place: 0 }
    }
}

impl Future for Confirmation {
    type Output = Result<(), RangeError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.waiters.poll(self.place, context)
    }
}
