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
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{interval, timeout},
};

impl Consensus {
    /// Waits until a majority has answered, as followers of this replica, what was sent after this was
    /// called. No other one was elected before, so all that was acknowledged then is executed here, if the
    /// first entry of its term is.
    pub(crate) async fn confirm(&self) {
        let since = lease::now();
        let (mut ticks, mut calls) = (interval(HEARTBEAT), JoinSet::new());
        loop {
            // What is answered from now on wakes it.
            let answered = self.lease.answered();
            if self.lease.is_confirmed_since(since) {
                return;
            }
            tokio::select! {
                // Frames may be lost.
                _ = ticks.tick() => self.send_heartbeats(&mut calls),
                () = answered => {}
            }
        }
    }

    fn send_heartbeats(&self, calls: &mut JoinSet<()>) {
        let (Some(transport), Some((vote, followers))) = (&self.transport, self.lease.followers()) else {
            return;
        };
        for follower in followers {
            let heartbeat = Call::Append { vote, previous: None, committed: None, entries: Vec::new() };
            let sent = lease::now();
            let call = transport.call(follower, heartbeat);
            calls.spawn(wait_for_reply(call, self.lease.clone(), vote, follower, sent));
        }
    }
}

/// Extends the lease if the reply is that of a follower.
async fn wait_for_reply(mut call: PendingCall, lease: Arc<Lease>, vote: Vote, follower: u64, sent: Duration) {
    let reply = timeout(CALL_WAIT, call.reply()).await;
    if let Ok(Reply::Appended | Reply::AppendedTo(_) | Reply::Conflict) = reply {
        lease.extend(vote, follower, sent);
    }
}
