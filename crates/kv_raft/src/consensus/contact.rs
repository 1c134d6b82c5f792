//! What a replica knows of its leader, so that it calls elections in time, and never while it answers it.

use crate::log::encoding::Vote;
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
    /// What it has answered last.
    answered: Option<LeaderCall>,
    /// How many elections it has called.
    elections: u64,
    /// How many candidates wait for its vote.
    candidates: usize,
}

/// A call of a leader: the vote by which that leads, and how many calls it has made before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeaderCall {
    pub(crate) vote: Vote,
    pub(crate) number: u64,
}

impl Default for Contact {
    fn default() -> Contact {
        let state = ContactState { last: Instant::now(), answered: None, elections: 0, candidates: 0 };
        Contact { state: Mutex::new(state), is_behind: AtomicBool::new(false) }
    }
}

/// A call of a leader, which waits for the disk. The leader must not count the reply if an election was
/// called meanwhile.
pub(crate) struct Answering<'c> {
    contact: &'c Contact,
    call: LeaderCall,
    elections: u64,
}

impl Answering<'_> {
    /// The replica follows the leader. Returns whether it may say so.
    pub(crate) async fn end(self) -> bool {
        let mut state = self.contact.state.lock().await;
        let may_answer = state.elections == self.elections;
        if may_answer {
            state.last = Instant::now();
            state.answered = Some(self.call);
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
    pub(crate) async fn begin_answer(&self, call: LeaderCall) -> Answering<'_> {
        let mut state = self.state.lock().await;
        state.last = Instant::now();
        Answering { contact: self, call, elections: state.elections }
    }

    /// A candidate asks for the vote: an election that was called now would undo that one.
    pub(crate) async fn begin_vote(&self) {
        self.state.lock().await.candidates += 1;
    }

    /// A candidate is answered. If it was granted the vote it has the time to lead.
    pub(crate) async fn end_vote(&self, is_granted: bool) {
        let mut state = self.state.lock().await;
        state.candidates -= 1;
        if is_granted {
            state.last = Instant::now();
        }
    }

    /// Calls an election with `elect`, unless that is not due any more by when a leader has sent something
    /// last, or another candidate waits for the vote. What a leader has sent before is not answered then, and
    /// what it sends from now on comes after it.
    pub(crate) async fn elect<R>(
        &self,
        is_due: impl FnOnce(Instant) -> bool,
        elect: impl Future<Output = R>,
    ) -> Option<R> {
        self.elect_if(|state| state.candidates == 0 && is_due(state.last), elect).await
    }

    /// Calls an election with `elect` since the leader hands over by this call, unless another one leads, or
    /// the same leads again: it has sent something since.
    pub(crate) async fn take_over<R>(
        &self,
        handed_over: LeaderCall,
        elect: impl Future<Output = R>,
    ) -> Option<R> {
        let LeaderCall { vote, number } = handed_over;
        let leads_no_more = |state: &ContactState| {
            state.answered.is_some_and(|answered| answered.vote == vote && answered.number < number)
        };
        self.elect_if(leads_no_more, elect).await
    }

    async fn elect_if<R>(
        &self,
        is_due: impl FnOnce(&ContactState) -> bool,
        elect: impl Future<Output = R>,
    ) -> Option<R> {
        let mut state = self.state.lock().await;
        if !is_due(&state) {
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

    const CALL: LeaderCall = LeaderCall { vote: Vote { term: 3, replica: 1, is_committed: true }, number: 7 };

    #[tokio::test]
    async fn a_leader_is_not_answered_if_an_election_was_called_while_its_entries_waited() {
        let contact = Contact::default();
        let answering = contact.begin_answer(CALL).await;
        assert_eq!(contact.elect(|_| true, async { 1 }).await, Some(1));
        assert!(!answering.end().await);
        assert!(contact.begin_answer(CALL).await.end().await, "it has arrived after the election");
    }

    #[tokio::test]
    async fn no_election_is_called_once_the_leader_is_answered() {
        let contact = Contact::default();
        let answering = contact.begin_answer(CALL).await;
        let pause = Duration::from_millis(20);
        tokio::time::sleep(pause).await;
        let is_due = |last: Instant| last.elapsed() >= pause;
        assert!(is_due(contact.last().await));
        assert!(answering.end().await);
        assert_eq!(contact.elect(is_due, async { 1 }).await, None);
        assert!(contact.begin_answer(CALL).await.end().await);
    }

    #[tokio::test]
    async fn no_election_is_called_while_a_candidate_waits_for_the_vote() {
        let contact = Contact::default();
        contact.begin_vote().await;
        assert_eq!(contact.elect(|_| true, async { 1 }).await, None);
        contact.end_vote(false).await;
        let last = contact.last().await;
        assert_eq!(contact.elect(|_| true, async { 1 }).await, Some(1));
        contact.begin_vote().await;
        contact.end_vote(true).await;
        assert!(contact.last().await > last, "it has the time to lead");
    }

    #[tokio::test]
    async fn a_replica_takes_over_from_the_leader_that_it_follows_unless_that_has_sent_something_since() {
        let contact = Contact::default();
        let take_over =
            async |vote, number| contact.take_over(LeaderCall { vote, number }, async {}).await.is_some();
        assert!(!take_over(CALL.vote, 8).await, "it follows none");
        assert!(contact.begin_answer(CALL).await.end().await);
        let (earlier, later) = (Vote { term: 2, ..CALL.vote }, Vote { term: 5, ..CALL.vote });
        assert!(!take_over(earlier, 8).await && !take_over(later, 8).await, "another one led");
        assert!(!take_over(CALL.vote, 6).await, "it leads again");
        assert!(take_over(CALL.vote, 8).await);
        let answering = contact.begin_answer(LeaderCall { vote: later, number: 1 }).await;
        assert!(take_over(CALL.vote, 8).await, "the next leader is not answered yet");
        assert!(!answering.end().await);
        assert!(contact.begin_answer(LeaderCall { vote: later, number: 2 }).await.end().await);
        assert!(!take_over(CALL.vote, 8).await);
    }
}
