//! The peer's subscriptions to buckets of ours: one pump each, from the store to the link.

use crate::{
    limits::SUBSCRIPTIONS,
    link::codec::Outcome,
    link::{Link, NotSent},
    local::LocalNode,
};
use kv::{Change, EndReason, Subscription};
use std::{collections::HashMap, sync::Arc};
use tokio::task::{AbortHandle, JoinSet};
use tokio_stream::StreamExt;

/// The pumps of one link; they end with it.
#[derive(Debug, Default)]
pub(crate) struct Pumps {
    tasks: JoinSet<u64>,
    running: HashMap<u64, AbortHandle>,
}

impl Pumps {
    /// Starts a pump under the peer's number for it.
    pub(crate) fn start(
        &mut self,
        local: &LocalNode,
        link: &Arc<Link>,
        subscription: u64,
        bucket: &[u8],
    ) -> Outcome {
        if !local.owns(bucket) {
            return Outcome::NotOwner;
        }
        if self.running.len() >= SUBSCRIPTIONS || self.running.contains_key(&subscription) {
            return Outcome::TooMany;
        }
        let Some(changes) = local.subscribe(bucket) else { return Outcome::NoBucket };
        let pump = self.tasks.spawn(pump(changes, link.clone(), subscription));
        self.running.insert(subscription, pump);
        Outcome::Subscribed
    }

    /// Ends the pump of this number.
    pub(crate) fn stop(&mut self, subscription: u64) {
        if let Some(pump) = self.running.get(&subscription) {
            pump.abort();
        }
    }

    /// Forgets the next pump that has ended. Waits for ever when there is none.
    pub(crate) async fn reap(&mut self) {
        match self.tasks.join_next().await {
            None => std::future::pending().await,
            Some(Ok(subscription)) => drop(self.running.remove(&subscription)),
            Some(Err(error)) => self.running.retain(|_, pump| pump.id() != error.id()),
        }
    }
}

/// Hands on one change after the other. While the link is full the changes wait in the subscription, which the store
/// ends when they become too many.
async fn pump(mut changes: Subscription, link: Arc<Link>, subscription: u64) -> u64 {
    while let Some(event) = changes.next().await {
        loop {
            let room = link.room();
            match link.send_change(subscription, &event.change) {
                Ok(()) => break,
                Err(NotSent::Full) => room.await,
                Err(NotSent::Closed) => return subscription,
                Err(NotSent::TooLarge) => {
                    // A subscriber that cannot be told of this change must not believe that it hears of all.
                    let end = Change::Ended(EndReason::FellBehind);
                    drop(link.send_change(subscription, &end));
                    return subscription;
                }
            }
        }
    }
    subscription
}
