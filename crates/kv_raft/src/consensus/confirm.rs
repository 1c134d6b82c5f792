//! Confirms that a replica leads, whatever its lease says: a majority answers what it sends from then on. The
//! heartbeats for that do not pass the library, which waits for the disk of the leader.

use super::{
    Consensus,
    frame::{Call, Reply},
    lease::{self, Lease},
    transport::PendingCall,
};
use crate::{
    limits::{CALL_WAIT, HEARTBEAT},
    log::encoding::Vote,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{interval, timeout},
};

/// The heartbeats of a leader that confirm its lead.
pub(crate) struct Heartbeats<'c> {
    consensus: &'c Consensus,
    /// Those in flight; the results are their receivers.
    calls: JoinSet<u64>,
    /// Who has not answered the last one.
    busy: BTreeSet<u64>,
}

impl Consensus {
    /// Heartbeats of this replica, while it leads.
    pub(crate) fn heartbeats(&self) -> Heartbeats<'_> {
        Heartbeats { consensus: self, calls: JoinSet::new(), busy: BTreeSet::new() }
    }
}

impl Heartbeats<'_> {
    /// Waits until a majority has answered, as followers of this replica, what was sent after this was
    /// called. No other one was elected before, so all that was acknowledged then is executed here, if the
    /// first entry of its term is.
    pub(crate) async fn confirm(&mut self) {
        let lease = &self.consensus.lease;
        let (since, mut ticks) = (lease::now(), interval(HEARTBEAT));
        ticks.tick().await;
        loop {
            // What is answered from now on wakes it.
            let answered = lease.answered();
            if lease.is_confirmed_since(since) {
                return;
            }
            self.send();
            tokio::select! {
                () = answered => {}
                Some(answered) = self.calls.join_next() => drop(answered.map(|follower| self.busy.remove(&follower))),
                // Frames may be lost.
                _ = ticks.tick() => self.busy.clear(),
            }
        }
    }

    /// Sends one to each follower that is not busy. One that is slow has others in flight to answer, and takes
    /// no entries if it has too many.
    fn send(&mut self) {
        let Consensus { transport: Some(transport), lease, .. } = self.consensus else { return };
        let Some((vote, followers)) = lease.followers() else { return };
        for follower in followers.into_iter().filter(|follower| self.busy.insert(*follower)) {
            let heartbeat = Call::Append { vote, previous: None, committed: None, entries: Vec::new() };
            let sent = lease::now();
            let call = transport.call(follower, heartbeat);
            self.calls.spawn(wait_for_reply(call, lease.clone(), vote, follower, sent));
        }
    }
}

/// Extends the lease if the reply is that of a follower, which is returned.
async fn wait_for_reply(
    mut call: PendingCall,
    lease: Arc<Lease>,
    vote: Vote,
    follower: u64,
    sent: Duration,
) -> u64 {
    let reply = timeout(CALL_WAIT, call.reply()).await;
    if let Ok(Reply::Appended | Reply::AppendedTo(_) | Reply::Conflict) = reply {
        lease.extend(vote, follower, sent);
    }
    follower
}
