//! What a replica knows of its leader, so that it calls elections in time, and never while it answers it.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Instant,
};
use tokio::sync::Mutex;

/// The leader that a replica follows.
#[derive(Debug)]
pub(crate) struct Contact {
    state: Mutex<ContactState>,
    /// Whether another replica has refused its vote as it has more entries.
    is_behind: AtomicBool,
}

#[derive(Debug)]
struct ContactState {
    /// When the replica has received something of a leader, or has begun.
    last: Instant,
    /// How many elections it has called.
    elections: u64,
}

impl Default for Contact {
    fn default() -> Contact {
        let state = ContactState { last: Instant::now(), elections: 0 };
        Contact { state: Mutex::new(state), is_behind: AtomicBool::new(false) }
    }
}

/// A call of a leader, which waits for the disk. The leader must not count the reply if an election was
/// called meanwhile.
pub(crate) struct Answering<'c> {
    contact: &'c Contact,
    elections: u64,
}

impl Answering<'_> {
    /// The replica follows the leader. Returns whether it may say so.
    pub(crate) async fn end(self) -> bool {
        let mut state = self.contact.state.lock().await;
        let may_answer = state.elections == self.elections;
        if may_answer {
            state.last = Instant::now();
        }
        may_answer
    }
}

impl Contact {
    /// A leader has sent something, or is about to: no election is called for some time.
    pub(crate) async fn note(&self) {
        self.state.lock().await.last = Instant::now();
    }

    /// When a leader has sent something last, or when the replica began.
    pub(crate) async fn last(&self) -> Instant {
        self.state.lock().await.last
    }

    /// A leader has called.
    pub(crate) async fn begin_answer(&self) -> Answering<'_> {
        let mut state = self.state.lock().await;
        state.last = Instant::now();
        Answering { contact: self, elections: state.elections }
    }

    /// Calls an election with `elect`, unless that is not due any more by when a leader has sent something
    /// last. What a leader has sent before is not answered then, and what it sends from now on comes after
    /// it.
    pub(crate) async fn elect<R>(
        &self,
        is_due: impl FnOnce(Instant) -> bool,
        elect: impl Future<Output = R>,
    ) -> Option<R> {
        let mut state = self.state.lock().await;
        if !is_due(state.last) {
            return None;
        }
        state.elections += 1;
        Some(elect.await)
    }

    /// Another replica has more entries.
    pub(crate) fn note_behind(&self) {
        self.is_behind.store(true, Relaxed);
    }

    /// Whether another one had more entries at the last election.
    pub(crate) fn take_behind(&self) -> bool {
        self.is_behind.swap(false, Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_leader_is_not_answered_if_an_election_was_called_while_its_entries_waited() {
        let contact = Contact::default();
        let answering = contact.begin_answer().await;
        assert_eq!(contact.elect(|_| true, async { 1 }).await, Some(1));
        assert!(!answering.end().await);
        assert!(contact.begin_answer().await.end().await, "it has come after the election");
    }

    #[tokio::test]
    async fn no_election_is_called_once_the_leader_is_answered() {
        let contact = Contact::default();
        let answering = contact.begin_answer().await;
        let pause = Duration::from_millis(20);
        tokio::time::sleep(pause).await;
        let is_due = |last: Instant| last.elapsed() >= pause;
        assert!(is_due(contact.last().await));
        assert!(answering.end().await);
        assert_eq!(contact.elect(is_due, async { 1 }).await, None);
        assert!(contact.begin_answer().await.end().await);
    }
}
