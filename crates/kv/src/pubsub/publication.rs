//! Publishes a message to all who are subscribed, in steps: neither a lock nor a turn of the publisher lasts
//! longer than one step, however many patterns and subscribers there are. Patterns are compared while nothing
//! is locked.

use crate::{
    limits::{PUBLISH_STEP_BYTES, PUBLISH_STEP_RECEIVERS, TOPIC_BYTES},
    pubsub::channels::{Channels, Delivery, Message},
    syntax::glob,
};
use std::{
    collections::VecDeque,
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

/// A message that is being published on one node. A subscription that begins or ends meanwhile may or may not
/// receive it.
#[derive(Debug)]
pub struct Publication {
    channels: Arc<Channels>,
    message: Arc<Message>,
    /// To whose subscribers it must still be delivered: the channel (`None`), and patterns that match it.
    topics: VecDeque<Option<Arc<[u8]>>>,
    /// The subscribers of the first of them with smaller ids have received it.
    first_id: u64,
    /// The last pattern that has been compared.
    compared: Option<Arc<[u8]>>,
    has_compared_all: bool,
    delivered: usize,
}

impl Publication {
    /// Begins to publish a message.
    pub fn new(channels: &Arc<Channels>, channel: &[u8], payload: &[u8]) -> Publication {
        Publication {
            channels: channels.clone(),
            message: Arc::new(Message { channel: channel.into(), payload: payload.into() }),
            topics: VecDeque::from([None]),
            first_id: 0,
            compared: None,
            has_compared_all: false,
            delivered: 0,
        }
    }

    /// Bytes of the channel's name and the payload.
    pub fn size(&self) -> usize {
        self.message.channel.len() + self.message.payload.len()
    }

    /// Takes one step. Returns, after the last, how many times the message was delivered.
    pub fn step(&mut self) -> Option<usize> {
        let (mut bytes, mut receivers) = (PUBLISH_STEP_BYTES, PUBLISH_STEP_RECEIVERS);
        loop {
            if let Some(topic) = self.topics.front() {
                if receivers == 0 {
                    return None;
                }
                self.deliver(topic.clone(), &mut receivers);
            } else if self.has_compared_all {
                return Some(self.delivered);
            } else if bytes == 0 {
                return None;
            } else {
                self.compare(&mut bytes);
            }
        }
    }

    /// Delivers to up to `limit` subscribers of a topic, the first one that is left.
    fn deliver(&mut self, pattern: Option<Arc<[u8]>>, limit: &mut usize) {
        let (mut behind, first_id) = (Vec::new(), self.first_id);
        let hub = self.channels.read();
        let ids = match &pattern {
            Some(pattern) => hub.patterns.get(pattern),
            None => hub.channels.get(&*self.message.channel),
        };
        let mut ids = ids.into_iter().flat_map(|ids| ids.range(first_id..));
        for id in ids.by_ref().take(*limit) {
            #[cfg(test)]
            crate::tests::work::touch(1);
            *limit -= 1;
            self.first_id = id + 1;
            // One that is being removed may still be listed.
            let Some(subscriber) = hub.subscribers.get(id) else { continue };
            match subscriber.deliver(Delivery { pattern: pattern.clone(), message: self.message.clone() }) {
                true => self.delivered += 1,
                false => behind.push(*id),
            }
        }
        if ids.next().is_none() {
            self.topics.pop_front();
            self.first_id = 0;
        }
        drop(hub);
        behind.into_iter().for_each(|id| self.channels.remove(id));
    }

    /// Compares the next patterns with the channel, until `limit` bytes have been compared.
    fn compare(&mut self, limit: &mut usize) {
        let channel = &self.message.channel;
        let mut patterns: Vec<Arc<[u8]>> = Vec::new();
        let hub = self.channels.read();
        let after = self.compared.as_deref().map_or(Unbounded, Excluded);
        for (pattern, _) in hub.patterns.range::<[u8], _>((after, Unbounded)) {
            if *limit == 0 {
                break;
            }
            *limit = limit.saturating_sub(pattern.len() + channel.len() + TOPIC_BYTES);
            patterns.push(pattern.clone());
        }
        drop(hub);
        match patterns.last() {
            Some(last) => self.compared = Some(last.clone()),
            None => self.has_compared_all = true,
        }
        let matching = patterns.into_iter().filter(|pattern| glob::matches(pattern, channel));
        self.topics.extend(matching.map(Some));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        limits::SUBSCRIBED_PATTERNS,
        pubsub::{
            backlog::Backlog,
            channels::{ChannelSubscriber, Topic},
        },
        tests::work::touched_by,
    };
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };
    use tokio_stream::Stream;

    fn subscriber(channels: &Arc<Channels>, topic: Topic<'_>) -> ChannelSubscriber {
        let subscriber = channels.subscriber(&Backlog::unlimited());
        assert_eq!(subscriber.subscribe(topic), Ok(true));
        subscriber
    }

    /// Takes the first of the queued messages.
    fn has_received(subscriber: &mut ChannelSubscriber) -> bool {
        let next = pin!(subscriber).poll_next(&mut Context::from_waker(Waker::noop()));
        matches!(next, Poll::Ready(Some(_)))
    }

    #[test]
    fn a_step_compares_a_bounded_number_of_bytes() {
        let channels = Arc::<Channels>::default();
        let subscriber = channels.subscriber(&Backlog::unlimited());
        for number in 0..SUBSCRIBED_PATTERNS {
            let pattern = format!("*{}{number}b*", "a".repeat(8_000));
            assert_eq!(subscriber.subscribe(Topic::Pattern(pattern.as_bytes())), Ok(true));
        }
        let (mut publication, mut steps) = (Publication::new(&channels, &[b'a'; 16 * 1024], b"message"), 1);
        loop {
            let (delivered, touched) = touched_by(|| publication.step());
            assert!(touched <= 2 * PUBLISH_STEP_BYTES, "{touched}");
            if delivered.is_some() {
                assert_eq!(delivered, Some(0));
                break;
            }
            steps += 1;
        }
        assert!(steps > SUBSCRIBED_PATTERNS / 4, "{steps}");
    }

    #[test]
    fn a_step_delivers_to_a_bounded_number_of_subscribers() {
        let channels = Arc::<Channels>::default();
        let topics = [Topic::Channel(b"news"), Topic::Pattern(b"n*"), Topic::Pattern(b"*s")];
        let several = 2 * PUBLISH_STEP_RECEIVERS;
        let mut subscribers: Vec<_> = topics
            .iter()
            .flat_map(|topic| vec![*topic; several])
            .map(|topic| subscriber(&channels, topic))
            .collect();
        let (mut publication, mut steps) = (Publication::new(&channels, b"news", b"message"), 0);
        let delivered = loop {
            let (delivered, touched) = touched_by(|| publication.step());
            assert!(touched < 2 * PUBLISH_STEP_RECEIVERS, "{touched}");
            steps += 1;
            if let Some(delivered) = delivered {
                break delivered;
            }
        };
        assert_eq!((delivered, steps), (3 * several, 6));
        assert!(
            subscribers.iter_mut().all(|subscriber| has_received(subscriber) && !has_received(subscriber))
        );
    }

    #[test]
    fn a_subscription_that_ends_between_two_steps_receives_nothing() {
        let channels = Arc::<Channels>::default();
        let mut subscribers: Vec<_> =
            (0..=PUBLISH_STEP_RECEIVERS).map(|_| subscriber(&channels, Topic::Channel(b"news"))).collect();
        let mut publication = Publication::new(&channels, b"news", b"message");
        assert_eq!(publication.step(), None);
        let last = subscribers.last_mut().unwrap();
        assert!(last.unsubscribe(Topic::Channel(b"news")) && !has_received(last));
        let mut latest = subscriber(&channels, Topic::Pattern(b"*"));
        assert_eq!(publication.step(), Some(PUBLISH_STEP_RECEIVERS + 1));
        assert!(has_received(&mut latest) && !has_received(subscribers.last_mut().unwrap()));
    }
}
