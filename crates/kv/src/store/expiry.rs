//! The sweeper: ends what has expired, so that its memory is free even if nobody asks for it again.

use super::Store;
use crate::{Unit, limits::EXPIRY_ROUND};
use otp::Stop;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// Sweeps shard after shard until it is stopped. It holds no lock for longer than one bounded step, and lets others
/// have the thread between two steps.
pub(crate) async fn sweep(store: Arc<Store>, stop: Stop) -> Result<(), String> {
    loop {
        for number in 0..store.shards.len() {
            while store.sweep_expired(number, crate::now()) && !stop.is_cancelled() {
                tokio::task::yield_now().await;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(EXPIRY_ROUND) => {}
        }
    }
}

impl Store {
    /// One step in one shard; whether the next one is worth taking at once.
    pub(crate) fn sweep_expired(&self, number: usize, now: u64) -> bool {
        let mut shard = self.lock(number);
        if self.faults.restarting() {
            return false;
        }
        let swept = catch_unwind(AssertUnwindSafe(|| shard.sweep_expired(now)));
        self.note(&mut shard);
        swept.unwrap_or_else(|panic| {
            self.unit_crashed(Unit::BucketSupervisor, &*panic);
            false
        })
    }
}

#[cfg(test)]
mod tests;
