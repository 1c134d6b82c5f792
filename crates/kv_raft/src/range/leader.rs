//! Which node serves the requests of a range that has several replicas.

use super::{Range, RangeState};
use crate::{consensus::transport::ReplicaStatus, error::RangeError, limits::TAKE_OVER_WAIT};
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

    /// Whether its replica leads or follows: one that loads, or has stopped, does not know who leads.
    pub fn takes_part(&self) -> bool {
        matches!(&*self.state.borrow(), RangeState::Ready | RangeState::Following { .. })
    }

    /// The nodes that have replicas of it, if there are others than this one.
    pub fn nodes(&self) -> &[Arc<str>] {
        &self.nodes
    }

    /// Another node serves requests, if there is a leader; those that wait here were not proposed.
    pub(crate) fn follow(&self, leader: Option<Arc<str>>) {
        if self.has_stopped() {
            return;
        }
        self.note_loaded();
        let next = RangeState::Following { leader: leader.clone() };
        if *self.state.borrow() != next && self.enter(next) {
            self.proposals.fail(&self.not_leader(leader));
        }
    }

    /// The error of requests that were not proposed because this replica does not lead.
    pub(crate) fn not_leader(&self, leader: Option<Arc<str>>) -> RangeError {
        let range = self.text.clone();
        match leader {
            Some(leader) => RangeError::NotLeader { range, leader },
            None => RangeError::no_leader(range, &self.nodes),
        }
    }

    /// Notes the term, and what is known of the other replicas.
    pub(crate) fn set_replicas(&self, term: u64, replicas: Vec<ReplicaStatus>) {
        *self.replicas.lock() = (term, replicas);
    }

    /// Has another node lead it, if this one does. The future waits until another one does, or until that has
    /// failed. Requests are refused meanwhile, for about a second.
    pub fn hand_over(&self) -> impl Future<Output = ()> + use<> {
        let (mut state, hand_over) = (self.state.subscribe(), self.hand_over.clone());
        let leads = self.lease.is_some() && *state.borrow_and_update() == RangeState::Ready;
        hand_over.send_replace(leads);
        async move {
            if leads {
                let is_led = |state: &RangeState| !matches!(state, RangeState::Following { leader: None });
                let handed_over = async {
                    drop(state.changed().await);
                    drop(state.wait_for(is_led).await);
                };
                drop(timeout(2 * TAKE_OVER_WAIT, handed_over).await);
                hand_over.send_replace(false);
            }
        }
    }

    /// Waits until another node is to lead it.
    pub(crate) async fn wait_for_hand_over(&self) {
        // It does not end before `self` does.
        drop(self.hand_over.subscribe().wait_for(|is_wanted| *is_wanted).await);
    }
}
