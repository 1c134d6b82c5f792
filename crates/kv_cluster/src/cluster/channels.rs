//! Channels of all nodes: a message goes to every node, and each tells those who listen there. A node that is down has no
//! listeners.

use crate::{cluster::Cluster, error::Error, link::node_query::Question};
use kv::ChannelSubscriber;
use serde_bytes::Bytes;
use std::collections::BTreeSet;

impl Cluster {
    /// A new listener, which hears nothing yet.
    pub fn listen(&self) -> ChannelSubscriber {
        self.local.channels.listen()
    }

    /// Publishes a message on all nodes. It leaves at once; the future tells how many times it was heard. A message that
    /// exceeds a link is published nowhere.
    pub fn publish(
        &self,
        channel: &[u8],
        payload: &[u8],
    ) -> impl Future<Output = Result<u64, Error>> + Send + use<> {
        let message = Question::Publish { channel, payload };
        let mut asked = self.ask_peers(&message);
        let too_large = |error: &Error| matches!(error, Error::TooLarge { .. }).then(|| error.clone());
        let refused = asked.iter().find_map(|asked| asked.failure().and_then(too_large));
        if refused.is_none() {
            asked.push(self.ask_here(&message));
        }
        async move {
            if let Some(error) = refused {
                return Err(error);
            }
            let mut heard = 0;
            for asked in asked {
                heard += asked.numbers(1).await.map_or(0, |numbers| numbers[0]);
            }
            Ok(heard)
        }
    }

    /// The channels that somebody on any node listens to, other than by a pattern; sorted.
    pub async fn channels(&self, pattern: Option<&[u8]>) -> Result<Vec<Box<[u8]>>, Error> {
        self.names_of_all(&Question::Channels { pattern }).await
    }

    /// How many on all nodes listen to each of these channels, other than by a pattern.
    pub async fn listeners(&self, channels: &[&[u8]]) -> Result<Vec<u64>, Error> {
        let mut all = vec![0; channels.len()];
        let channels = channels.iter().map(|channel| Bytes::new(channel)).collect();
        for asked in self.ask_all(&Question::Listeners { channels }) {
            let Some(listeners) = unless_down(asked.numbers(all.len()).await)? else { continue };
            all.iter_mut().zip(listeners).for_each(|(all, some)| *all += some);
        }
        Ok(all)
    }

    /// How many patterns somebody on any node listens to.
    pub async fn patterns(&self) -> Result<u64, Error> {
        Ok(self.names_of_all(&Question::Patterns).await?.len() as u64)
    }

    async fn names_of_all(&self, question: &Question<'_>) -> Result<Vec<Box<[u8]>>, Error> {
        let mut names = BTreeSet::new();
        for asked in self.ask_all(question) {
            names.extend(unless_down(asked.page().await)?.into_iter().flat_map(|page| page.names));
        }
        Ok(names.into_iter().collect())
    }
}

fn unless_down<T>(told: Result<T, Error>) -> Result<Option<T>, Error> {
    match told {
        Err(Error::NodeDown { .. }) => Ok(None),
        told => told.map(Some),
    }
}
