//! The peer's subscriptions to buckets of this node: a task for each, which sends changes from the store to
//! the link.

use crate::{
    limits::{CHANGES_BYTES, SUBSCRIPTIONS},
    link::{Link, changes::SendError, codec::SubscribeResult},
    local::LocalNode,
};
use kv::{Backlog, Change, EndReason, Subscription};
use std::{collections::HashMap, sync::Arc};
use tokio::task::{AbortHandle, JoinSet};
use tokio_stream::StreamExt;

/// The change streams of one link; they end with it.
#[derive(Debug)]
pub(crate) struct ChangeStreams {
    tasks: JoinSet<u64>,
    running: HashMap<u64, AbortHandle>,
    /// Changes that wait for the link.
    backlog: Arc<Backlog>,
}

impl Default for ChangeStreams {
    fn default() -> ChangeStreams {
        let backlog = Backlog::new(CHANGES_BYTES, |_, _| {});
        ChangeStreams { tasks: JoinSet::default(), running: HashMap::default(), backlog }
    }
}

impl ChangeStreams {
    /// Starts a stream under the id that the peer chose.
    pub(crate) fn start(
        &mut self,
        local: &LocalNode,
        link: &Arc<Link>,
        subscription: u64,
        bucket: &[u8],
    ) -> SubscribeResult {
        if local.place(bucket).is_none() {
            return SubscribeResult::NotOwner;
        }
        if self.running.len() >= SUBSCRIPTIONS || self.running.contains_key(&subscription) {
            return SubscribeResult::TooMany;
        }
        let changes = match local.subscribe(bucket, &self.backlog) {
            Ok(Some(changes)) => changes,
            Ok(None) => return SubscribeResult::NoBucket,
            Err(failure) => return SubscribeResult::Failed(failure),
        };
        let stream = self.tasks.spawn(stream_changes(changes, link.clone(), subscription));
        self.running.insert(subscription, stream);
        SubscribeResult::Subscribed
    }

    /// Ends the stream of this id.
    pub(crate) fn stop(&mut self, subscription: u64) {
        if let Some(stream) = self.running.get(&subscription) {
            stream.abort();
        }
    }

    /// Removes the next stream that has ended. Pending until one has.
    pub(crate) async fn reap(&mut self) {
        match self.tasks.join_next().await {
            None => std::future::pending().await,
            Some(Ok(subscription)) => drop(self.running.remove(&subscription)),
            Some(Err(error)) => self.running.retain(|_, stream| stream.id() != error.id()),
        }
    }
}

/// Sends changes one by one. While the link is full they stay in the subscription, which the store ends when
/// it holds too many, or all of the link together do.
async fn stream_changes(mut changes: Subscription, link: Arc<Link>, subscription: u64) -> u64 {
    while let Some(event) = changes.next().await {
        loop {
            let capacity = link.capacity_available();
            match link.send_change(subscription, &event.change) {
                Ok(()) => break,
                Err(SendError::Full) => capacity.await,
                Err(SendError::Closed) => return subscription,
                Err(SendError::TooLarge) => {
                    // Without this change the subscriber would be wrong about the bucket.
                    let end = Change::Ended(EndReason::FellBehind);
                    drop(link.send_change(subscription, &end));
                    return subscription;
                }
            }
        }
    }
    subscription
}
