//! A replica among others: it takes the entries of a leader, or leads itself. A leader serves requests as
//! long as a majority answers it.

use super::{End, Replica};
use crate::{
    consensus::{
        Broken, Consensus, ElectionTimes, ProposeError, Role, Roles,
        lease::Lease,
        transport::{OtherReplica, Transport},
    },
    error::RangeError,
    group::Split,
    identity::Placement,
    limits::{
        ELECTION_PAUSE, ELECTION_PAUSE_BEHIND, HEARTBEAT, LEASE_CHECK_PAUSE, MEMBERS_PAUSE, QUORUM_WAIT,
        RANDOM_IDS,
    },
    log::Log,
    proposals::{ClosedGroup, OpenGroup},
};
use parking_lot::Mutex;
use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{interval, sleep, sleep_until};

/// How a role ends.
enum Next {
    /// Another one begins, or the same again.
    Role,
    /// It leads, and a majority does not answer.
    WithoutQuorum,
    End(End),
}

/// The elections of a replica.
struct Elections {
    /// When the next one may be called.
    next: Instant,
    /// How much longer it waits than others promise their votes, of the longest delay: at random.
    delay: f64,
    /// When one was called, if it is not known whether the vote of this replica is on disk.
    called: Option<Instant>,
}

/// A group in flight. If it is dropped before it was executed, its outcome is unknown.
struct Proposed<'a> {
    consensus: &'a Consensus,
    range: Arc<str>,
    group: Arc<ClosedGroup>,
}

impl Drop for Proposed<'_> {
    fn drop(&mut self) {
        self.consensus.abandon(&self.group);
        self.group.completion.set(Err(RangeError::Unknown { range: self.range.clone() }));
    }
}

/// How long an election is left alone when the vote of its candidate is on disk, which has taken as long as
/// `sync`. Those of others take as long, and the next one would undo it.
fn election_pause(is_behind: bool, sync: Duration, random: f64) -> Duration {
    let (least, most) = if is_behind { ELECTION_PAUSE_BEHIND } else { ELECTION_PAUSE };
    least + sync + (most - least + sync).mul_f64(random)
}

impl Replica {
    /// Leads or follows until something fails or the range is closed.
    pub(super) async fn take_part(
        &self,
        consensus: &Consensus,
        transport: &Arc<Transport>,
        log: &Arc<Mutex<Log>>,
    ) -> End {
        match consensus.has_members().await {
            Ok(has_members) => transport.begin(has_members),
            Err(broken) => return End::Broken(broken.to_string()),
        }
        let run = async {
            tokio::select! {
                end = self.play_roles(consensus, transport) => end,
                end = self.name_members(consensus, transport) => end,
                () = transport.introduce() => unreachable!("it does not end"),
            }
        };
        self.run_beside(consensus, log, run).await
    }

    /// Names the members of a new range, if this is the first of its nodes by their names: when all of them
    /// are known, and none has taken part before.
    async fn name_members(&self, consensus: &Consensus, transport: &Transport) -> End {
        loop {
            match consensus.has_members().await {
                Ok(false) if transport.names_members() => {}
                Ok(_) => return pending().await,
                Err(broken) => return End::Broken(broken.to_string()),
            }
            let nodes = self.range.placement().nodes;
            if let Some(members) = transport.replicas_of(&*nodes, |other| !other.has_members)
                && let Err(broken) = consensus.name_members(&members).await
            {
                return End::Broken(broken.to_string());
            }
            transport.changed().await;
        }
    }

    async fn play_roles(&self, consensus: &Consensus, transport: &Transport) -> End {
        let mut roles = consensus.roles();
        let mut elections = Elections { next: Instant::now(), delay: fastrand::f64(), called: None };
        loop {
            let next = match roles.update() {
                Role::Leader { term } => {
                    elections.called = None;
                    tokio::select! {
                        next = self.lead_term(consensus, transport, term, &mut roles) => next,
                        () = self.keep_members(consensus, transport) => unreachable!("it does not end"),
                    }
                }
                Role::Follower { leader } => tokio::select! {
                    next = self.follow(leader, transport, &mut roles) => next,
                    next = self.call_elections(consensus, transport, &mut elections) => next,
                },
            };
            if let Next::End(end) = next {
                return end;
            }
        }
    }

    /// Leads until another replica does, and serves requests whenever a majority answers.
    async fn lead_term(
        &self,
        consensus: &Consensus,
        transport: &Transport,
        term: u64,
        roles: &mut Roles<'_>,
    ) -> Next {
        let next = tokio::select! {
            next = self.lead(consensus) => next,
            next = self.wait_until_deposed(term, roles) => next,
            next = self.wait_until_without_quorum() => next,
        };
        self.range.follow(None);
        // Others have the time that they would have if another one had led.
        transport.contact.note().await;
        match next {
            Next::WithoutQuorum => tokio::select! {
                next = self.wait_for_quorum() => next,
                next = self.wait_until_deposed(term, roles) => next,
            },
            next => next,
        }
    }

    /// Calls elections when the leader has been silent for so long that others may vote. Each replica waits
    /// for a random time, so that one is mostly the first. What comes of an election is seen in the roles.
    async fn call_elections(
        &self,
        consensus: &Consensus,
        transport: &Transport,
        elections: &mut Elections,
    ) -> Next {
        let ElectionTimes { longest_delay, lease, .. } = self.election;
        loop {
            if let Some(called) = elections.called {
                if let Err(broken) = consensus.wait_until_voted().await {
                    return Next::End(End::Broken(broken.to_string()));
                }
                // A disk that was stuck is not expected to be so again.
                let sync = called.elapsed().max(self.election.sync).min(lease);
                let pause = election_pause(transport.contact.take_behind(), sync, fastrand::f64());
                let next = Instant::now() + pause;
                *elections = Elections { next, delay: fastrand::f64(), called: None };
            }
            // Not another one whenever the role changes: that would be the least of many.
            let delay = longest_delay.mul_f64(elections.delay);
            let voters = consensus.voter_count();
            // Nobody else can lead if it is the only voter.
            let may_vote = |last: Instant| if voters == 1 { elections.next } else { last + lease + delay };
            let due = |last| may_vote(last).max(elections.next);
            if voters > 0 {
                match consensus.elect(|last| due(last) <= Instant::now()).await {
                    Ok(true) => {
                        elections.called = Some(Instant::now());
                        continue;
                    }
                    Ok(false) => {}
                    Err(broken) => return Next::End(End::Broken(broken.to_string())),
                }
            }
            let due = due(transport.contact.last().await);
            let wake = due.max(Instant::now() + LEASE_CHECK_PAUSE);
            sleep_until(wake.into()).await;
            if wake.elapsed() > HEARTBEAT {
                // The process was stopped: what the leader has sent meanwhile is not yet received.
                elections.next = elections.next.max(Instant::now() + HEARTBEAT);
            }
        }
    }

    /// Takes the entries of a leader, until there is another one.
    async fn follow(&self, leader: Option<u64>, transport: &Transport, roles: &mut Roles<'_>) -> Next {
        let range = &self.range;
        let name_leader = async {
            let Some(leader) = leader else { return range.follow(None) };
            let mut node = transport.node_of(leader);
            while node.is_none() {
                range.follow(None);
                sleep(LEASE_CHECK_PAUSE).await;
                node = transport.node_of(leader);
            }
            range.follow(node);
        };
        tokio::select! {
            // A leader of before may never say hello.
            () = async { name_leader.await; pending().await } => unreachable!("it does not end"),
            changed = roles.changed() => match changed {
                Ok(()) => Next::Role,
                Err(broken) => Next::End(End::Broken(broken.to_string())),
            },
            // Nothing is accepted, so there is none until the range is closed.
            group = range.proposals.next() => match group {
                None => Next::End(End::Closed),
                Some(_) => Next::Role,
            },
        }
    }

    /// Serves requests, when a majority has answered and all that was acknowledged before is executed.
    async fn lead(&self, consensus: &Consensus) -> Next {
        let range = &self.range;
        consensus.begin_to_lead();
        if let end @ Next::End(_) = self.wait_for_quorum().await {
            return end;
        }
        // Those of clients of nodes that are gone would stay.
        let first = range.proposals.end_of_watches();
        if let Err(next) = self.propose_or_fail(consensus, first).await {
            return next;
        }
        range.set_ready();
        tracing::info!(range = &*range.span().text, "this node leads the range");
        tokio::select! {
            next = self.propose_as_leader(consensus) => next,
            () = self.confirm_reads(consensus) => unreachable!("it does not end"),
        }
    }

    /// Proposes what waits, one group after the other, until the range is closed or another replica is to
    /// lead: then that has all that was executed here.
    async fn propose_as_leader(&self, consensus: &Consensus) -> Next {
        let range = &self.range;
        loop {
            let next = tokio::select! {
                biased;
                hand_over = range.wait_for_hand_over() => {
                    range.follow(None);
                    let placement = range.placement();
                    let may_lead = |node: &str| placement.keeps(node) && hand_over.accepts(node);
                    let is_led = consensus.hand_over(may_lead).await;
                    tracing::info!(range = &*range.span().text, is_led, "this node leads the range no more");
                    return Next::Role;
                }
                next = range.proposals.next() => next,
            };
            let Some((group, writing)) = next else { return Next::End(End::Closed) };
            if let Err(next) = self.propose_or_fail(consensus, group).await {
                return next;
            }
            drop(writing);
            range.proposals.end_group();
        }
    }

    /// Proposes a group, and waits until it is executed. If it is not, those who wait for it learn whether it
    /// may be executed yet.
    async fn propose_or_fail(&self, consensus: &Consensus, group: OpenGroup) -> Result<(), Next> {
        let group = self.close_group(group).map_err(Next::End)?;
        let range = self.range.span().text.as_ref().into();
        let proposed = Proposed { consensus, range, group: group.clone() };
        match consensus.propose(group.clone()).await {
            Ok(()) => Ok(()),
            Err(ProposeError::NotLeader) => {
                if !consensus.abandon(&group) {
                    group.completion.set(Err(self.range.not_leader(None)));
                }
                drop(proposed);
                Err(Next::Role)
            }
            Err(ProposeError::Broken(broken)) => Err(Next::End(End::Broken(broken.to_string()))),
        }
    }

    /// Waits until this replica does not lead any more as it was elected in this term.
    async fn wait_until_deposed(&self, term: u64, roles: &mut Roles<'_>) -> Next {
        loop {
            match roles.changed().await {
                Ok(()) if roles.update() == (Role::Leader { term }) => {}
                Ok(()) => return Next::Role,
                Err(broken) => return Next::End(End::Broken(broken.to_string())),
            }
        }
    }

    /// Waits until a majority has not answered for too long.
    async fn wait_until_without_quorum(&self) -> Next {
        let (mut ticks, mut answered) = (interval(LEASE_CHECK_PAUSE), Instant::now());
        loop {
            ticks.tick().await;
            if self.lease().is_valid() {
                answered = Instant::now();
            } else if answered.elapsed() > QUORUM_WAIT {
                let span = &*self.range.span().text;
                tracing::warn!(range = span, "a majority of the range does not answer: it serves nothing");
                return Next::WithoutQuorum;
            }
        }
    }

    /// Waits until a majority answers.
    async fn wait_for_quorum(&self) -> Next {
        while !self.lease().is_valid() {
            if self.range.proposals.is_closed() {
                return Next::End(End::Closed);
            }
            sleep(LEASE_CHECK_PAUSE).await;
        }
        Next::Role
    }

    /// Makes the replicas of the range's nodes the members, when all of them are known: one that is new, on
    /// an empty disk or at an empty node, takes the place of the one before.
    async fn keep_members(&self, consensus: &Consensus, transport: &Transport) {
        let (range, mut ticks) = (&self.range, interval(MEMBERS_PAUSE));
        range.set_settled(None);
        let mut placement = range.placement();
        loop {
            tokio::select! {
                // Replicas that are new have the time to say so.
                _ = ticks.tick() => {}
                () = range.wait_for_placement(|next| next.span.is_some() && *next != placement) => {}
            }
            placement = range.placement();
            let changed = tokio::select! {
                changed = self.follow_placement(consensus, transport, &placement) => changed,
                // A replica that does not come is waited for no longer.
                () = range.wait_for_placement(|next| *next != placement) => continue,
            };
            match changed {
                Ok(is_settled) => {
                    // Also if a replica is away: the range that is split off would have no member until then.
                    self.propose_split(consensus, &placement);
                    let is_settled = is_settled && placement.span.is_none();
                    range.set_settled(is_settled.then(|| placement.clone()));
                }
                Err(error) => {
                    let span = &*range.span().text;
                    tracing::warn!(range = span, %error, "the members of the range cannot be changed; trying again");
                }
            }
        }
    }

    /// Makes the replicas of these nodes the members, and has one of them lead. Returns whether that is so:
    /// if this one is not among them, the next leader removes it.
    async fn follow_placement(
        &self,
        consensus: &Consensus,
        transport: &Transport,
        placement: &Placement,
    ) -> Result<bool, Broken> {
        // One that has left a moment ago, and is to come back, has kept what it has promised.
        let is_accepted = |other: &OtherReplica| !other.has_members || consensus.was_member(other.id);
        let Some(replicas) = transport.replicas_of(&*placement.nodes, is_accepted) else { return Ok(false) };
        if replicas.contains(&transport.replica) {
            return consensus.change_members(&replicas).await;
        }
        // Of three, this one and the next leader are a majority, which has not to wait until others may vote.
        if !consensus.has_voter_among(&replicas) {
            let with_this = replicas.into_iter().skip(usize::from(placement.nodes.len() > 1));
            let with_this = with_this.chain([transport.replica]).collect();
            if !consensus.change_members(&with_this).await? {
                return Ok(false);
            }
        }
        self.range.hand_over(None).await;
        Ok(false)
    }

    /// Has the range split off what it is not to have, if there is something and that is not executed. Each
    /// voter has a successor.
    fn propose_split(&self, consensus: &Consensus, placement: &Placement) {
        let range = &self.range;
        let Some(at) = placement.span.as_ref().and_then(|span| span.end.as_deref()) else { return };
        if range.store.split_at().is_some_and(|before| *before <= *at) {
            return;
        }
        let new_id = || fastrand::u64(..) | RANDOM_IDS;
        let replicas = consensus.voters().into_iter().map(|voter| (voter, new_id())).collect();
        // If it is refused, it is proposed again.
        drop(range.propose_split(&Split { at, range: new_id(), replicas }));
    }

    fn lease(&self) -> &Lease {
        self.range.lease.as_deref().expect("there are other replicas")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_election_is_not_called_again_before_the_others_can_have_voted_on_a_slow_disk() {
        let slow = Duration::from_secs(1);
        for is_behind in [false, true] {
            let pause = |sync, random| election_pause(is_behind, sync, random);
            let (least, most) = (pause(Duration::ZERO, 0.0), pause(Duration::ZERO, 1.0));
            assert_eq!([pause(slow, 0.0), pause(slow, 1.0)], [least + slow, most + 2 * slow]);
        }
    }
}
