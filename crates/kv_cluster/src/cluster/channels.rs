//! Channels across all nodes: a message goes to every node, which delivers it to its own subscribers. A node
//! that is down counts as one without subscribers.

use crate::{
    cluster::{Cluster, fan_out::PendingReply},
    error::Error,
    link::node_query::NodeQuery,
};
use kv::{Backlog, ChannelSubscriber};
use serde_bytes::Bytes;
use std::{collections::BTreeSet, sync::Arc};

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
        let query = NodeQuery::Publish { channel, payload };
        let mut replies = self.query_peers(&query);
        let too_large = |error: &&Error| matches!(error, Error::TooLarge { .. });
        let refused = replies.iter().filter_map(PendingReply::send_error).find(too_large).cloned();
        if refused.is_none() {
            replies.push(self.query_local(&query));
        }
        async move {
            if let Some(error) = refused {
                return Err(error);
            }
            let mut receivers = 0;
            for reply in replies {
                receivers += reply.counts(1).await.map_or(0, |counts| counts[0]);
            }
            Ok(receivers)
        }
    }

    /// The channels that have subscribers on any node, sorted. Pattern subscriptions do not count.
    pub async fn channels(&self, pattern: Option<&[u8]>) -> Result<Vec<Box<[u8]>>, Error> {
        self.merge_names(&NodeQuery::Channels { pattern }).await
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
        Ok(self.merge_names(&NodeQuery::Patterns).await?.len() as u64)
    }

    async fn merge_names(&self, query: &NodeQuery<'_>) -> Result<Vec<Box<[u8]>>, Error> {
        let mut merged = BTreeSet::new();
        for reply in self.query_all(query) {
            merged.extend(ignore_down(reply.names().await)?.into_iter().flatten());
        }
        Ok(merged.into_iter().collect())
    }
}

fn ignore_down<T>(reply: Result<T, Error>) -> Result<Option<T>, Error> {
    match reply {
        Err(Error::NodeDown { .. }) => Ok(None),
        reply => reply.map(Some),
    }
}
