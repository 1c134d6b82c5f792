//! Who may read without asking the other replicas: a leader that a majority has answered a moment ago, and
//! does not replace before some time has passed.
//!
//! A replica that has received something of its leader votes for no other one for
//! [`crate::limits::VOTE_LEASE`]. So the leader is the only one until then, counted from when it sent what a
//! majority has answered. That clocks run at rates within 10 % of each other is assumed; that they show the
//! same time is not. See section 6.4.1 of Ongaro, "Consensus: Bridging Theory and Practice" (2014).

use crate::{limits::LEASE, log::encoding::Vote};
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use tokio::sync::{Notify, futures::Notified};

/// The lease of a replica while it leads.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// When it ends; zero if there is none.
    end: AtomicU64,
    acknowledged: Mutex<Acknowledgements>,
    /// Another replica has answered.
    answered: Notify,
}

/// Who has answered the leader.
#[derive(Debug, Default)]
struct Acknowledgements {
    /// The vote by which it leads.
    vote: Option<Vote>,
    replica: u64,
    /// The voters before and after while they change.
    voters: Vec<Vec<u64>>,
    /// Votes that the replica is asked for, or has given.
    votes: usize,
    /// The vote by which it led, and does no more.
    resigned: Option<Vote>,
    /// When that was sent which each has answered last.
    sent: BTreeMap<u64, Duration>,
}

/// The time since the system has started. It goes on while that sleeps.
pub(crate) fn now() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

impl Lease {
    /// The replica leads by this vote from now on.
    pub(crate) fn begin(&self, replica: u64, vote: Vote, voters: Vec<Vec<u64>>) {
        let mut acknowledged = self.acknowledged.lock();
        if acknowledged.resigned == Some(vote) {
            return;
        }
        if acknowledged.vote != Some(vote) {
            *acknowledged = Acknowledgements { vote: Some(vote), replica, ..Acknowledgements::default() };
        }
        acknowledged.voters = voters;
        self.end.store(acknowledged.end(now()), Relaxed);
    }

    /// The members change: a majority of each of these sets is needed from now on.
    pub(crate) fn set_voters(&self, voters: Vec<Vec<u64>>) {
        let mut acknowledged = self.acknowledged.lock();
        acknowledged.voters = voters;
        self.end.store(acknowledged.end(now()), Relaxed);
    }

    /// The replica gives up its lead. It does not read any more, although others may still follow it.
    pub(crate) fn resign(&self) {
        let mut acknowledged = self.acknowledged.lock();
        *acknowledged = Acknowledgements { resigned: acknowledged.vote, ..Acknowledgements::default() };
        self.end.store(0, Relaxed);
    }

    /// The replica does not lead any more.
    pub(crate) fn end(&self) {
        let mut acknowledged = self.acknowledged.lock();
        *acknowledged = Acknowledgements::default();
        self.end.store(0, Relaxed);
    }

    /// Another replica has answered what was sent then, and follows this leader.
    pub(crate) fn extend(&self, vote: Vote, replica: u64, sent: Duration) {
        let mut acknowledged = self.acknowledged.lock();
        if acknowledged.vote == Some(vote) {
            let last = acknowledged.sent.entry(replica).or_default();
            *last = sent.max(*last);
            self.end.store(acknowledged.end(now()), Relaxed);
            drop(acknowledged);
            self.answered.notify_waiters();
        }
    }

    /// Waits until another replica has answered, from now on.
    pub(crate) fn answered(&self) -> Notified<'_> {
        self.answered.notified()
    }

    /// Whether a majority has answered, as followers of this leader, what was sent at this time or later. So
    /// no other one was elected before, whatever the clocks of the others say.
    pub(crate) fn is_confirmed_since(&self, time: Duration) -> bool {
        self.acknowledged.lock().answered_by_majority(now()) >= time
    }

    /// The vote by which it leads, if it does, and the other voters.
    pub(crate) fn followers(&self) -> Option<(Vote, BTreeSet<u64>)> {
        let acknowledged = self.acknowledged.lock();
        let voters = acknowledged.voters.iter().flatten().copied();
        let others = voters.filter(|voter| *voter != acknowledged.replica).collect();
        acknowledged.vote.map(|vote| (vote, others))
    }

    /// Suspends the lease, so that the replica may vote for another one, unless there is one.
    pub(crate) fn suspend(&self) -> bool {
        let mut acknowledged = self.acknowledged.lock();
        if self.is_valid() {
            return false;
        }
        acknowledged.votes += 1;
        self.end.store(0, Relaxed);
        true
    }

    /// The replica has voted for no other one: what it sends from now on counts.
    pub(crate) fn resume(&self) {
        let mut acknowledged = self.acknowledged.lock();
        acknowledged.votes = acknowledged.votes.saturating_sub(1);
        acknowledged.sent.clear();
        self.end.store(acknowledged.end(now()), Relaxed);
    }

    /// Whether there is one.
    #[inline]
    pub(crate) fn is_valid(&self) -> bool {
        now().as_nanos() < u128::from(self.end.load(Relaxed))
    }

    /// Whether there was one since this replica began to lead, and it has voted for no other one since.
    pub(crate) fn has_begun(&self) -> bool {
        self.end.load(Relaxed) > 0
    }

    /// How long it lasts at least if nobody answers any more.
    pub(crate) fn left(&self) -> Duration {
        Duration::from_nanos(self.end.load(Relaxed)).saturating_sub(now()).min(LEASE)
    }
}

impl Acknowledgements {
    /// When the lease ends, in nanoseconds of [`now`].
    fn end(&self, now: Duration) -> u64 {
        if self.votes > 0 {
            return 0;
        }
        // Nobody else can be elected.
        if !self.voters.is_empty() && self.voters.iter().flatten().all(|voter| *voter == self.replica) {
            return u64::MAX;
        }
        match self.answered_by_majority(now) {
            Duration::ZERO => 0,
            sent => (sent + LEASE).as_nanos() as u64,
        }
    }

    /// When that was sent which a majority has answered, or something later; zero if there is nothing.
    fn answered_by_majority(&self, now: Duration) -> Duration {
        if self.votes > 0 || self.vote.is_none() {
            return Duration::ZERO;
        }
        let sent = |replica: &u64| match *replica == self.replica {
            true => now,
            false => self.sent.get(replica).copied().unwrap_or_default(),
        };
        let of_majority = |voters: &Vec<u64>| {
            let mut sent: Vec<_> = voters.iter().map(sent).collect();
            sent.sort_unstable();
            // As many have answered this one or a later one.
            sent.len().checked_sub(voters.len() / 2 + 1).and_then(|place| sent.get(place).copied())
        };
        let times = self.voters.iter().map(|voters| of_majority(voters).unwrap_or_default());
        times.min().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOTE: Vote = Vote { term: 3, replica: 1, is_committed: true };

    fn lease(voters: &[&[u64]]) -> Lease {
        let lease = Lease::default();
        lease.begin(1, VOTE, voters.iter().map(|set| set.to_vec()).collect());
        lease
    }

    #[test]
    fn a_lease_needs_a_majority_of_voters_that_answered_a_moment_ago() {
        let (recent, old) = (now(), now() - LEASE);
        let lease = lease(&[&[1, 2, 3, 4, 5]]);
        assert!(!lease.is_valid(), "it alone");
        lease.extend(VOTE, 2, recent);
        lease.extend(VOTE, 3, old);
        lease.extend(VOTE, 9, recent);
        assert!(!lease.is_valid(), "two of five: one answered long ago, one is no voter");
        lease.extend(VOTE, 4, recent);
        assert!(lease.is_valid());
        lease.extend(VOTE, 4, old);
        assert!(lease.is_valid(), "an answer that came late");
        lease.end();
        assert!(!lease.is_valid());
    }

    #[test]
    fn answers_of_another_term_do_not_count() {
        let lease = lease(&[&[1, 2, 3]]);
        lease.extend(Vote { term: 2, ..VOTE }, 2, now());
        assert!(!lease.is_valid());
        lease.extend(VOTE, 2, now());
        assert!(lease.is_valid());
        lease.begin(1, Vote { term: 5, ..VOTE }, vec![vec![1, 2, 3]]);
        assert!(!lease.is_valid(), "it leads again");
        let vote = Vote { term: 5, ..VOTE };
        lease.extend(vote, 2, now());
        lease.resign();
        lease.begin(1, vote, vec![vec![1, 2, 3]]);
        lease.extend(vote, 2, now());
        assert!(!lease.is_valid(), "it has resigned");
    }

    #[test]
    fn a_majority_confirms_what_was_asked_before_that_was_sent_which_it_has_answered() {
        let lease = lease(&[&[1, 2, 3, 4, 5]]);
        // It has no lease by that any more.
        let asked = now() - LEASE;
        lease.extend(VOTE, 2, asked);
        lease.extend(VOTE, 3, asked - Duration::from_nanos(1));
        lease.extend(Vote { term: 2, ..VOTE }, 4, asked);
        assert!(!lease.is_confirmed_since(asked), "two of five: one has answered what was sent before");
        lease.extend(VOTE, 3, asked);
        assert!(lease.is_confirmed_since(asked) && !lease.is_valid());
        assert!(lease.suspend());
        assert!(!lease.is_confirmed_since(asked), "it may have voted for another one");
        lease.resume();
        lease.extend(VOTE, 2, asked);
        lease.extend(VOTE, 3, asked);
        assert!(lease.is_confirmed_since(asked));
        lease.end();
        assert!(!lease.is_confirmed_since(asked));
    }

    #[test]
    fn while_members_change_a_majority_of_both_sets_is_needed() {
        let lease = lease(&[&[1]]);
        assert!(lease.is_valid(), "the only voter");
        lease.set_voters(vec![vec![1], vec![1, 2, 3]]);
        assert!(!lease.is_valid());
        lease.extend(VOTE, 3, now());
        assert!(lease.is_valid());
    }
}
