//! Channels across all nodes: a message goes to every node, which delivers it to its own subscribers. A node
//! that is down counts as one without subscribers.

use crate::{
    cluster::{Cluster, fan_out::PendingReply},
    error::Error,
    link::node_query::NodeQuery,
};
use kv::{Backlog, ChannelSubscriber, Publication, TopicKind};
use serde_bytes::Bytes;
use std::{collections::BTreeSet, sync::Arc};
use tokio::task::yield_now;

impl Cluster {
    /// A new subscriber, to no channel yet, whose messages are queued in `backlog`.
    pub fn subscriber(&self, backlog: &Arc<Backlog>) -> ChannelSubscriber {
        self.local.channels.subscriber(backlog)
    }

    /// Publishes a message on all nodes. It is sent at once; the future returns the number of receivers. A
    /// message that exceeds the link limit is published nowhere.
    pub fn publish(
        &self,
        channel: &[u8],
        payload: &[u8],
    ) -> impl Future<Output = Result<u64, Error>> + Send + use<> {
        let replies = self.query_peers(&NodeQuery::Publish { channel, payload });
        let too_large = |error: &&Error| matches!(error, Error::TooLarge { .. });
        let refused = replies.iter().filter_map(PendingReply::send_error).find(too_large).cloned();
        let begun = match refused {
            Some(error) => Err(error),
            None => {
                let mut publication = Publication::new(&self.local.channels, channel, payload);
                let delivered = publication.step();
                Ok((publication, delivered))
            }
        };
        async move {
            let (mut publication, mut delivered) = begun?;
            let here = loop {
                if let Some(delivered) = delivered {
                    break delivered;
                }
                // Other connections of this thread run between two steps.
                yield_now().await;
                delivered = publication.step();
            };
            let mut receivers = here as u64;
            for reply in replies {
                receivers += reply.counts(1).await.map_or(0, |counts| counts[0]);
            }
            Ok(receivers)
        }
    }

    /// The channels that have subscribers on any node, sorted. Pattern subscriptions do not count.
    pub async fn channels(&self, pattern: Option<&[u8]>) -> Result<BTreeSet<Box<[u8]>>, Error> {
        self.merge_topics(TopicKind::Channel, pattern).await
    }

    /// The number of subscribers of each channel on all nodes. Pattern subscriptions do not count.
    pub async fn subscriber_counts(&self, channels: &[&[u8]]) -> Result<Vec<u64>, Error> {
        let mut totals = vec![0; channels.len()];
        let channels = channels.iter().map(|channel| Bytes::new(channel)).collect();
        for reply in self.query_all(&NodeQuery::SubscriberCounts { channels }) {
            let Some(counts) = ignore_down(reply.counts(totals.len()).await)? else { continue };
            totals.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
        }
        Ok(totals)
    }

    /// The number of patterns with subscribers on any node.
    pub async fn pattern_count(&self) -> Result<u64, Error> {
        if self.peers.is_empty() {
            return Ok(self.local.channels.counts().1 as u64);
        }
        Ok(self.merge_topics(TopicKind::Pattern, None).await?.len() as u64)
    }

    /// The topics of all nodes, which are queried page by page.
    async fn merge_topics(
        &self,
        kind: TopicKind,
        pattern: Option<&[u8]>,
    ) -> Result<BTreeSet<Box<[u8]>>, Error> {
        let mut merged = BTreeSet::new();
        for node in [None].into_iter().chain(self.peers.iter().map(|peer| Some(peer.index()))) {
            let mut after: Option<Box<[u8]>> = None;
            loop {
                let query = NodeQuery::Topics { kind, after: after.as_deref(), pattern };
                let page = self.query_node(node, &query).topics().await;
                let Some(page) = ignore_down(page)? else { break };
                merged.extend(page.names);
                after = page.next;
                if after.is_none() {
                    break;
                }
                // Other connections of this thread run between two pages.
                yield_now().await;
            }
        }
        Ok(merged)
    }
}

fn ignore_down<T>(reply: Result<T, Error>) -> Result<Option<T>, Error> {
    match reply {
        Err(Error::NodeDown { .. }) => Ok(None),
        reply => reply.map(Some),
    }
}
