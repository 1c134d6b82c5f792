//! Subscriptions to buckets of rows with replicas: they come from the leader, and go on at the next one.

use crate::{
    cluster::Cluster,
    error::{Error, Outcome},
    limits::FOLLOW_PAUSE,
    replicas::{Replicas, Search, Server},
};
use kv::{Backlog, Change, EndReason, Event, Publisher, Subscription};
use std::sync::Arc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::StreamExt;

impl Cluster {
    /// Subscribes to a bucket at the leader of its row, and at each further one: the subscriber learns that
    /// changes may be missing then. `None` if there is no such bucket.
    pub(super) async fn follow(
        &self,
        replicas: &Replicas,
        bucket: &[u8],
        backlog: &Arc<Backlog>,
    ) -> Result<Option<Subscription>, Error> {
        let Some((changes, is_here)) = self.subscribe_at_leader(replicas, bucket, backlog).await? else {
            return Ok(None);
        };
        let (publisher, followed) = Subscription::new(bucket, backlog);
        let following = Following {
            cluster: self.clone(),
            bucket: bucket.into(),
            backlog: backlog.clone(),
            publisher,
            changes,
            is_here,
        };
        // It ends with the subscriber.
        drop(tokio::spawn(following.run()));
        Ok(Some(followed))
    }

    /// The changes, and whether they come from this node.
    async fn subscribe_at_leader(
        &self,
        replicas: &Replicas,
        bucket: &[u8],
        backlog: &Arc<Backlog>,
    ) -> Result<Option<(Subscription, bool)>, Error> {
        let mut search = Search::default();
        loop {
            let server = search.find(replicas).await?;
            let subscribed = match server {
                Server::Here(_) => self.local.subscribe(bucket, backlog).map_err(Error::from),
                Server::Peer(peer) => peer.subscribe(bucket, backlog).await,
            };
            match subscribed {
                Ok(changes) => {
                    let is_here = matches!(server, Server::Here(_));
                    return Ok(changes.map(|changes| (changes, is_here)));
                }
                Err(failure) if failure.is_misdirected() => {
                    search.go_on(replicas, Some(server), failure).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Passes on the changes that come from the leader.
struct Following {
    cluster: Cluster,
    bucket: Box<[u8]>,
    backlog: Arc<Backlog>,
    publisher: Publisher,
    changes: Subscription,
    /// Whether they come from this node.
    is_here: bool,
}

impl Following {
    async fn run(mut self) {
        let mut ticks = interval(FOLLOW_PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.changes.next() => {
                    let Some(event) = event else { return };
                    let goes_on = match event.change {
                        Change::Ended(EndReason::NodeDown | EndReason::Restarted) => self.renew().await,
                        Change::Ended(_) => {
                            self.publisher.publish(event);
                            false
                        }
                        _ => self.publisher.publish(event),
                    };
                    if !goes_on {
                        return;
                    }
                }
                _ = ticks.tick() => {
                    let has_ended = self.publisher.is_closed();
                    if has_ended || self.is_here && !self.is_served_here() && !self.renew().await {
                        return;
                    }
                }
            }
        }
    }

    fn is_served_here(&self) -> bool {
        self.replicas().is_some_and(|replicas| replicas.served_here().is_some())
    }

    fn replicas(&self) -> Option<&Replicas> {
        self.cluster.replicas_of(&self.bucket)
    }

    /// Subscribes at the next leader, when there is one; `false` if the subscription has ended.
    async fn renew(&mut self) -> bool {
        self.publish(Change::Interrupted);
        let end = loop {
            let Some(replicas) = self.replicas() else { break EndReason::NodeDown };
            match self.cluster.subscribe_at_leader(replicas, &self.bucket, &self.backlog).await {
                Ok(Some((changes, is_here))) => {
                    (self.changes, self.is_here) = (changes, is_here);
                    return true;
                }
                Ok(None) => break EndReason::Dropped,
                Err(error) if may_subscribe_again(&error) && !self.publisher.is_closed() => {}
                Err(_) => break EndReason::NodeDown,
            }
        };
        self.publish(Change::Ended(end));
        false
    }

    fn publish(&self, change: Change) {
        self.publisher.publish(Arc::new(Event { bucket: self.bucket.clone(), change }));
    }
}

/// Whether another node, or the same one in a moment, may serve the subscription.
fn may_subscribe_again(error: &Error) -> bool {
    error.is_misdirected() || error.outcome() == Outcome::Unknown
}
