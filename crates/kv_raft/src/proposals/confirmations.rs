//! Reads that wait until it is confirmed that this replica leads: all that wait take part in one round, in
//! which a majority answers it. While a round goes on, the next one fills.

use super::{Filled, ticket::Waiters, wakes};
use crate::{error::RangeError, identity::spans::Spans};
use parking_lot::Mutex;
use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// The confirmations of a range that are asked for. Those that wait when it is dropped have no result.
#[derive(Debug)]
pub(crate) struct Confirmations {
    range: Arc<Spans>,
    queue: Mutex<Queue>,
    filled: Arc<Filled>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Those who wait for the answers of the round that goes on.
    current: Arc<Waiters<()>>,
    /// Those who wait for the next one, and how many they are.
    next: Arc<Waiters<()>>,
    count: usize,
    /// Whether there are rounds.
    is_open: bool,
}

/// The place of one read in a round.
#[derive(Debug)]
pub struct Confirmation {
    waiters: Arc<Waiters<()>>,
    place: usize,
}

impl Queue {
    /// Begins the next round, if someone waits for it.
    fn begin_round(&mut self) -> bool {
        let has_begun = self.count > 0;
        if has_begun {
            (self.current, self.count) = (mem::take(&mut self.next), 0);
        }
        has_begun
    }
}

impl Confirmations {
    /// There are none until [`Self::open`].
    pub(crate) fn new(range: Arc<Spans>) -> Confirmations {
        Confirmations { range, queue: Mutex::default(), filled: Arc::default() }
    }

    /// Asks for one, in the next round; `None` if there are none.
    pub(crate) fn ask(&self) -> Option<Confirmation> {
        let mut queue = self.queue.lock();
        if !queue.is_open {
            return None;
        }
        let confirmation = Confirmation { waiters: queue.next.clone(), place: queue.count };
        queue.count += 1;
        drop(queue);
        if confirmation.place == 0 {
            wakes::wake_proposer(Waker::from(self.filled.clone()));
        }
        Some(confirmation)
    }

    /// Waits until someone has asked, and begins a round. Who asks from then on waits for another one.
    pub(crate) async fn begin_round(&self) {
        while !self.queue.lock().begin_round() {
            self.filled.0.notified().await;
        }
    }

    /// A majority has answered. All who wait for the round are woken.
    pub(crate) fn end_round(&self) {
        let current = self.queue.lock().current.clone();
        current.set(|| Ok(()));
    }

    /// All who wait get this error.
    pub(crate) fn fail(&self, error: &RangeError) {
        let waiting = {
            let mut queue = self.queue.lock();
            let current = queue.current.clone();
            if queue.begin_round() { vec![current, queue.current.clone()] } else { vec![current] }
        };
        waiting.iter().for_each(|waiters| waiters.set(|| Err(error.clone())));
    }

    /// There are rounds from now on.
    pub(crate) fn open(&self) {
        self.queue.lock().is_open = true;
    }

    /// There are none until [`Self::open`]. All who wait get this error.
    pub(crate) fn close(&self, error: &RangeError) {
        self.queue.lock().is_open = false;
        self.fail(error);
    }
}

impl Drop for Confirmations {
    fn drop(&mut self) {
        self.fail(&RangeError::Unknown { range: self.range.text() });
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
