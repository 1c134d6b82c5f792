//! Which node serves the requests of a range that has several replicas.

use super::{
    Range,
    state::{HandOver, RangeState},
};
use crate::{
    consensus::transport::ReplicaStatus, error::RangeError, identity::Placement, limits::TAKE_OVER_WAIT,
};
use std::{
    sync::{Arc, atomic::Ordering::Acquire},
    time::Duration,
};
use tokio::time::timeout;

/// Which node serves the requests of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leader {
    /// This one.
    Here,
    /// Another one.
    Node(Arc<str>),
    /// None, as far as this node knows.
    Unknown,
}

impl Range {
    /// The node that leads it. If that is this one and it has no lease, it refuses what writes, and confirms
    /// what reads.
    pub fn leader(&self) -> Leader {
        if self.is_ready.load(Acquire) {
            return Leader::Here;
        }
        match &*self.state.borrow() {
            RangeState::Following { leader: Some(leader) } => Leader::Node(leader.clone()),
            _ => Leader::Unknown,
        }
    }

    /// Waits until its leader is known, up to this long.
    pub async fn wait_for_leader(&self, wait: Duration) -> Leader {
        let mut state = self.state.subscribe();
        let is_known = |state: &RangeState| {
            matches!(state, RangeState::Ready | RangeState::Following { leader: Some(_) })
        };
        drop(timeout(wait, state.wait_for(is_known)).await);
        self.leader()
    }

    /// Whether its replica leads or follows. One that loads, has stopped, or is so new that it has nothing
    /// yet does not know who leads.
    pub fn takes_part(&self) -> bool {
        self.progress.position().is_some()
            && matches!(&*self.state.borrow(), RangeState::Ready | RangeState::Following { .. })
    }

    /// Whether other nodes may have replicas of it.
    pub fn is_replicated(&self) -> bool {
        self.placement.is_some()
    }

    /// Where its replicas are; nowhere else if it is not replicated.
    pub fn placement(&self) -> Placement {
        self.placement.as_ref().map(|placement| placement.borrow().clone()).unwrap_or_default()
    }

    /// Changes where its replicas are.
    pub(crate) fn set_placement(&self, next: Placement) {
        if let Some(placement) = &self.placement {
            placement.send_replace(next);
        }
    }

    /// Waits until its replicas are to be like this.
    pub(crate) async fn wait_for_placement(&self, is_wanted: impl FnMut(&Placement) -> bool) {
        match &self.placement {
            // It does not end before `self` does.
            Some(placement) => drop(placement.subscribe().wait_for(is_wanted).await),
            None => std::future::pending().await,
        }
    }

    /// Where its members are, if this node leads it and they are where they are to be.
    pub fn settled(&self) -> Option<Placement> {
        if self.is_leader() { self.settled.lock().clone() } else { None }
    }

    /// Notes where its members are.
    pub(crate) fn set_settled(&self, settled: Option<Placement>) {
        *self.settled.lock() = settled;
    }

    /// Another node serves requests, if there is a leader; those that wait here were not proposed.
    pub(crate) fn follow(&self, leader: Option<Arc<str>>) {
        if self.has_stopped() {
            return;
        }
        self.note_loaded();
        self.hand_over.send_replace(HandOver::No);
        let next = RangeState::Following { leader: leader.clone() };
        if *self.state.borrow() != next && self.enter(next) {
            self.proposals.fail(&self.not_leader(leader));
        }
    }

    /// The error of requests that were not proposed because this replica does not lead.
    pub(crate) fn not_leader(&self, leader: Option<Arc<str>>) -> RangeError {
        let range = self.spans.text();
        match leader {
            Some(leader) => RangeError::NotLeader { range, leader },
            None => {
                let Placement { nodes, .. } = self.placement();
                let needs = nodes.len() / 2 + 1;
                RangeError::NoLeader { range, needs, nodes: nodes.join(", ").into() }
            }
        }
    }

    /// Notes the term, and what is known of the other replicas.
    pub(crate) fn set_replicas(&self, term: u64, replicas: Vec<ReplicaStatus>) {
        *self.replicas.lock() = (term, replicas);
    }

    /// Has another node lead it, any or this one, if this node does. The future waits until another one does,
    /// and returns whether that is so. Requests are refused meanwhile, for about a second at most.
    pub fn hand_over(&self, to: Option<&str>) -> impl Future<Output = bool> + use<> {
        let (mut state, to) = (self.state.subscribe(), to.map(Arc::<str>::from));
        let leads = self.is_replicated() && *state.borrow_and_update() == RangeState::Ready;
        if leads {
            self.hand_over.send_replace(to.clone().map_or(HandOver::ToAny, HandOver::To));
        }
        async move {
            let handed_over = async {
                drop(state.changed().await);
                let is_led = |state: &RangeState| !matches!(state, RangeState::Following { leader: None });
                let state = state.wait_for(is_led).await;
                let is_next = |leader: &Arc<str>| to.as_ref().is_none_or(|to| to == leader);
                state.is_ok_and(|state| match &*state {
                    RangeState::Following { leader } => leader.as_ref().is_some_and(is_next),
                    _ => false,
                })
            };
            leads && timeout(2 * TAKE_OVER_WAIT, handed_over).await.unwrap_or(false)
        }
    }

    /// Waits until another node is to lead it, and returns which.
    pub(crate) async fn wait_for_hand_over(&self) -> HandOver {
        let mut hand_over = self.hand_over.subscribe();
        let wanted = hand_over.wait_for(|hand_over| *hand_over != HandOver::No).await;
        // It does not end before `self` does.
        wanted.map(|wanted| wanted.clone()).unwrap_or_default()
    }
}
