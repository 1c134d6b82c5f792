//! A leader confirms that it leads, for those who read.

use super::Replica;
use crate::{consensus::Consensus, limits::CONFIRM_WAIT};
use tokio::time::timeout;

impl Replica {
    /// Confirms reads, one round after the other, forever. If a majority does not answer, those who wait are
    /// refused.
    pub(super) async fn confirm_reads(&self, consensus: &Consensus) {
        let (confirmations, mut heartbeats) = (&self.range.confirmations, consensus.heartbeats());
        loop {
            let round = confirmations.next_round().await;
            match timeout(CONFIRM_WAIT, heartbeats.confirm()).await {
                Ok(()) => round.end(Ok(())),
                // Those who came meanwhile have waited as well.
                Err(_) => confirmations.give_up(),
            }
        }
    }
}
