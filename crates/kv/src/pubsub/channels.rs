//! Publish and subscribe on channels: a message reaches only those who are subscribed when it is published.
//! Channels are independent of buckets.

use crate::{
    limits::{CHANNEL_MESSAGES, REMOVED_TOPICS, SUBSCRIBED_PATTERNS, TOPIC_BYTES, TOPIC_NAME_BYTES},
    pubsub::backlog::{Backlog, QueueReceiver, QueueSender, queue},
    syntax::glob,
};
use std::{
    cell::LazyCell,
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    task::{Context, Poll},
};
use tokio_stream::Stream;

/// A published message.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// Its channel.
    pub channel: Box<[u8]>,
    /// Its payload.
    pub payload: Box<[u8]>,
}

/// A message on its way to one subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The subscribed pattern that matched; `None` if the subscription is to the channel itself.
    pub pattern: Option<Arc<[u8]>>,
    /// The message.
    pub message: Arc<Message>,
}

/// A channel or a pattern, as the subject of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic<'a> {
    /// One channel.
    Channel(&'a [u8]),
    /// All channels whose names match a pattern.
    Pattern(&'a [u8]),
}

/// A subscriber has too many subscriptions for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "too many subscriptions: one connection may have {SUBSCRIBED_PATTERNS} patterns, and names of \
     {TOPIC_NAME_BYTES} bytes"
)]
pub struct TooManyTopics;

/// The channels of one node.
#[derive(Debug, Default)]
pub struct Channels {
    hub: RwLock<Hub>,
}

/// Trees, which grow and shrink node by node: no subscriber waits until a table of all others is rehashed.
#[derive(Debug, Default)]
struct Hub {
    channels: BTreeMap<Arc<[u8]>, BTreeSet<u64>>,
    patterns: BTreeMap<Arc<[u8]>, BTreeSet<u64>>,
    /// The patterns, to be matched while the hub is not locked; made when a message needs it.
    pattern_list: OnceLock<Arc<[Arc<[u8]>]>>,
    subscribers: BTreeMap<u64, SubscriberState>,
    /// The id of the latest subscriber.
    last: u64,
}

/// A subscriber as the hub knows it.
#[derive(Debug)]
struct SubscriberState {
    messages: QueueSender<Delivery>,
    channels: BTreeSet<Arc<[u8]>>,
    patterns: BTreeSet<Arc<[u8]>>,
    name_bytes: usize,
}

/// A subscriber of any number of topics: a stream of messages in order, which ends if the subscriber falls
/// behind. Dropping it ends all its subscriptions.
#[derive(Debug)]
pub struct ChannelSubscriber {
    channels: Arc<Channels>,
    id: u64,
    messages: QueueReceiver<Delivery>,
}

impl Channels {
    /// A subscriber without subscriptions, whose messages are queued in `backlog`.
    pub fn subscriber(self: &Arc<Channels>, backlog: &Arc<Backlog>) -> ChannelSubscriber {
        let (sender, messages) = queue(CHANNEL_MESSAGES, backlog);
        let state = SubscriberState {
            messages: sender,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            name_bytes: 0,
        };
        let mut hub = self.write();
        hub.last += 1;
        let id = hub.last;
        hub.subscribers.insert(id, state);
        drop(hub);
        ChannelSubscriber { channels: self.clone(), id, messages }
    }

    /// Publishes a message on this node. Returns how many times it was delivered.
    pub fn publish(&self, channel: &[u8], payload: &[u8]) -> usize {
        let (mut delivered, mut behind) = (0, Vec::new());
        let message =
            LazyCell::new(|| Arc::new(Message { channel: channel.into(), payload: payload.into() }));
        let patterns = self.matching_patterns(channel);
        let hub = self.read();
        for (pattern, ids) in hub.receivers(channel, &patterns) {
            for id in ids {
                // One that is being removed may still be listed.
                let Some(subscriber) = hub.subscribers.get(id) else { continue };
                let delivery = Delivery { pattern: pattern.cloned(), message: Arc::clone(&message) };
                match subscriber.deliver(delivery) {
                    true => delivered += 1,
                    false => behind.push(*id),
                }
            }
        }
        drop(hub);
        behind.into_iter().for_each(|id| self.remove(id));
        delivered
    }

    /// How many channels and how many patterns have subscribers.
    pub fn counts(&self) -> (usize, usize) {
        let hub = self.read();
        (hub.channels.len(), hub.patterns.len())
    }

    /// Ends all subscriptions of a subscriber, and its stream.
    fn remove(&self, id: u64) {
        let Some(state) = self.write().subscribers.remove(&id) else { return };
        let channels = state.channels.iter().map(|name| Topic::Channel(name));
        let patterns = state.patterns.iter().map(|name| Topic::Pattern(name));
        let topics: Vec<Topic<'_>> = channels.chain(patterns).collect();
        for topics in topics.chunks(REMOVED_TOPICS) {
            let mut hub = self.write();
            topics.iter().for_each(|topic| hub.remove_receiver(*topic, id));
        }
    }

    /// The patterns that match the name of a channel. Subscribers of other topics do not wait meanwhile.
    fn matching_patterns(&self, channel: &[u8]) -> Vec<Arc<[u8]>> {
        let hub = self.read();
        if hub.patterns.is_empty() {
            return Vec::new();
        }
        let patterns = hub.pattern_list.get_or_init(|| hub.patterns.keys().cloned().collect()).clone();
        drop(hub);
        patterns.iter().filter(|wanted| glob::matches(wanted, channel)).cloned().collect()
    }

    /// The names of the channels that have subscribers, not counting patterns.
    pub fn names(&self, matching: Option<&[u8]>) -> Vec<Box<[u8]>> {
        let names: Vec<Arc<[u8]>> = self.read().channels.keys().cloned().collect();
        names
            .iter()
            .filter(|name| matching.is_none_or(|wanted| glob::matches(wanted, name)))
            .map(|name| (**name).into())
            .collect()
    }

    /// How many subscribers a channel has, not counting patterns.
    pub fn subscriber_count(&self, channel: &[u8]) -> usize {
        self.read().channels.get(channel).map_or(0, BTreeSet::len)
    }

    /// The patterns that have subscribers.
    pub fn patterns(&self) -> Vec<Box<[u8]>> {
        self.read().patterns.keys().map(|pattern| (**pattern).into()).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Hub> {
        self.hub.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Hub> {
        self.hub.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// The receivers of a message on a channel: its subscribers, and those of the patterns that match it.
    fn receivers<'h>(
        &'h self,
        channel: &'h [u8],
        patterns: &'h [Arc<[u8]>],
    ) -> impl Iterator<Item = (Option<&'h Arc<[u8]>>, &'h BTreeSet<u64>)> {
        let direct = self.channels.get(channel).map(|ids| (None, ids));
        let patterns = patterns.iter().filter_map(|wanted| self.patterns.get_key_value(wanted));
        direct.into_iter().chain(patterns.map(|(wanted, ids)| (Some(wanted), ids)))
    }

    fn subscribe(&mut self, id: u64, topic: Topic<'_>) -> Result<bool, TooManyTopics> {
        // It fell behind and was removed; its stream ends.
        let Some(state) = self.subscribers.get_mut(&id) else { return Ok(true) };
        let (name, own, all) = match topic {
            Topic::Channel(name) => (name, &mut state.channels, &mut self.channels),
            Topic::Pattern(name) => (name, &mut state.patterns, &mut self.patterns),
        };
        if own.contains(name) {
            return Ok(false);
        }
        let bytes = state.name_bytes + name.len() + TOPIC_BYTES;
        let is_pattern = matches!(topic, Topic::Pattern(_));
        if bytes > TOPIC_NAME_BYTES || is_pattern && own.len() >= SUBSCRIBED_PATTERNS {
            return Err(TooManyTopics);
        }
        if is_pattern {
            self.pattern_list.take();
        }
        state.name_bytes = bytes;
        let name = all.get_key_value(name).map_or_else(|| name.into(), |(name, _)| name.clone());
        all.entry(name.clone()).or_default().insert(id);
        own.insert(name);
        Ok(true)
    }

    fn unsubscribe(&mut self, id: u64, topic: Topic<'_>) -> bool {
        let Some(state) = self.subscribers.get_mut(&id) else { return false };
        let (name, own) = match topic {
            Topic::Channel(name) => (name, &mut state.channels),
            Topic::Pattern(name) => (name, &mut state.patterns),
        };
        let was_subscribed = own.remove(name);
        if was_subscribed {
            state.name_bytes -= name.len() + TOPIC_BYTES;
            self.remove_receiver(topic, id);
        }
        was_subscribed
    }

    fn remove_receiver(&mut self, topic: Topic<'_>, id: u64) {
        match topic {
            Topic::Channel(name) => remove_id(&mut self.channels, name, id),
            Topic::Pattern(name) => {
                self.pattern_list.take();
                remove_id(&mut self.patterns, name, id);
            }
        }
    }
}

fn remove_id(topics: &mut BTreeMap<Arc<[u8]>, BTreeSet<u64>>, name: &[u8], id: u64) {
    let Some(ids) = topics.get_mut(name) else { return };
    ids.remove(&id);
    if ids.is_empty() {
        topics.remove(name);
    }
}

impl SubscriberState {
    /// Queues a message; returns `false` if the subscriber fell behind.
    fn deliver(&self, delivery: Delivery) -> bool {
        let bytes = delivery.size();
        self.messages.send(delivery, bytes)
    }
}

impl Delivery {
    /// Bytes of its channel's name and its payload.
    pub fn size(&self) -> usize {
        self.message.channel.len() + self.message.payload.len()
    }
}

impl ChannelSubscriber {
    /// Adds a subscription; `false` when it existed.
    pub fn subscribe(&self, topic: Topic<'_>) -> Result<bool, TooManyTopics> {
        self.channels.write().subscribe(self.id, topic)
    }

    /// Ends a subscription; `false` when there was none.
    pub fn unsubscribe(&self, topic: Topic<'_>) -> bool {
        self.channels.write().unsubscribe(self.id, topic)
    }

    /// The channels that it is subscribed to.
    pub fn channels(&self) -> Vec<Arc<[u8]>> {
        self.inspect(|state| state.channels.iter().cloned().collect())
    }

    /// The patterns that it is subscribed to.
    pub fn patterns(&self) -> Vec<Arc<[u8]>> {
        self.inspect(|state| state.patterns.iter().cloned().collect())
    }

    /// How many channels and how many patterns it is subscribed to.
    pub fn counts(&self) -> (usize, usize) {
        self.inspect(|state| (state.channels.len(), state.patterns.len()))
    }

    /// Bytes of the names of its subscriptions, with an overhead for each.
    pub fn name_bytes(&self) -> usize {
        self.inspect(|state| state.name_bytes)
    }

    fn inspect<T: Default>(&self, inspect: impl FnOnce(&SubscriberState) -> T) -> T {
        self.channels.read().subscribers.get(&self.id).map(inspect).unwrap_or_default()
    }
}

impl Stream for ChannelSubscriber {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.messages.poll_receive(context)
    }
}

impl Drop for ChannelSubscriber {
    fn drop(&mut self) {
        self.channels.remove(self.id);
    }
}

#[cfg(test)]
mod tests;
