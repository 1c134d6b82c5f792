//! Confirms that a replica leads, whatever its lease says: a majority answers what it sends from then on. The
//! heartbeats for that do not pass the library, which waits for the disk of the leader.

use super::{Consensus, frame::Call, lease, transport::PendingCall};
use crate::limits::HEARTBEAT;
use std::{collections::BTreeMap, time::Instant};
use tokio::time::sleep;

/// The heartbeats of a leader that confirm its lead.
pub(crate) struct Heartbeats<'c> {
    consensus: &'c Consensus,
    /// The last one to each follower, and when it was sent.
    sent: BTreeMap<u64, (PendingCall, Instant)>,
}

impl Consensus {
    /// Heartbeats of this replica, while it leads.
    pub(crate) fn heartbeats(&self) -> Heartbeats<'_> {
        Heartbeats { consensus: self, sent: BTreeMap::new() }
    }
}

impl Heartbeats<'_> {
    /// Waits until a majority has answered, as followers of this replica, what was sent after this was
    /// called. No other one was elected before, so all that was acknowledged then is executed here, if the
    /// first entry of its term is.
    pub(crate) async fn confirm(&mut self) {
        let (lease, since) = (&self.consensus.lease, lease::now());
        loop {
            // What is answered from now on wakes it.
            let answered = lease.answered();
            if lease.is_confirmed_since(since) {
                return;
            }
            self.send();
            tokio::select! {
                () = answered => {}
                // Frames may be lost.
                () = sleep(HEARTBEAT) => {}
            }
        }
    }

    /// Sends one to each follower that has answered the last one, or has had time for that. One that is slow
    /// would take no entries, if all that it answers at once were heartbeats.
    fn send(&mut self) {
        let Consensus { transport: Some(transport), lease, .. } = self.consensus else { return };
        let Some((vote, followers)) = lease.followers() else { return };
        for follower in followers {
            let last = self.sent.get(&follower);
            if last.is_some_and(|(call, sent)| call.is_waiting() && sent.elapsed() < HEARTBEAT) {
                continue;
            }
            let heartbeat = Call::Append { vote, previous: None, committed: None, entries: Vec::new() };
            // The reply extends the lease whenever it comes.
            self.sent.insert(follower, (transport.append(follower, vote, heartbeat), Instant::now()));
        }
    }
}
