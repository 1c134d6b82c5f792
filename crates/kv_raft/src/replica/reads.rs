//! A leader confirms that it leads, for those who read.

use super::Replica;
use crate::{consensus::Consensus, limits::CONFIRM_WAIT};
use tokio::time::timeout;

impl Replica {
    /// Confirms reads, one round after the other, forever. If a majority does not answer, all that wait are
    /// refused.
    pub(super) async fn confirm_reads(&self, consensus: &Consensus) {
        let (confirmations, mut heartbeats) = (&self.range.confirmations, consensus.heartbeats());
        loop {
            confirmations.begin_round().await;
            match timeout(CONFIRM_WAIT, heartbeats.confirm()).await {
                Ok(()) => confirmations.end_round(),
                Err(_) => confirmations.fail(&self.range.not_leader(None)),
            }
        }
    }
}
