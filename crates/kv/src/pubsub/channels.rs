//! Subscriptions to channels, which are independent of buckets. `publication` delivers messages to them.

use crate::{
    limits::{
        CHANNEL_MESSAGES, PAGE_BYTES, PAGE_NAMES, REMOVED_TOPICS, SUBSCRIBED_PATTERNS, TOPIC_BYTES,
        TOPIC_NAME_BYTES,
    },
    pubsub::backlog::{Backlog, QueueReceiver, QueueSender, queue},
    syntax::glob::Pattern,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound::{Excluded, Unbounded},
    pin::Pin,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    task::{Context, Poll},
    thread,
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

/// The kind of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopicKind {
    /// One channel.
    Channel,
    /// A pattern of channels.
    Pattern,
}

/// One bounded page of channels or patterns.
#[derive(Debug, PartialEq, Eq)]
pub struct TopicPage {
    /// Their names, in order.
    pub names: Vec<Box<[u8]>>,
    /// The name after which the next page begins; `None` when this one is the last.
    pub next: Option<Box<[u8]>>,
}

/// All subscriptions. Trees grow and shrink node by node, so no subscriber waits until a table of all others
/// is rehashed, and a walk through one can go on where it stopped.
#[derive(Debug, Default)]
pub(super) struct Hub {
    pub(super) channels: Topics,
    pub(super) patterns: Topics,
    pub(super) subscribers: BTreeMap<u64, SubscriberState>,
    /// The id of the latest subscriber.
    last: u64,
}

/// The subscribers of each channel, or of each pattern.
pub(super) type Topics = BTreeMap<Arc<[u8]>, BTreeSet<u64>>;

/// A subscriber as the hub knows it.
#[derive(Debug)]
pub(super) struct SubscriberState {
    messages: QueueSender<Delivery>,
    channels: BTreeSet<Arc<[u8]>>,
    patterns: BTreeSet<Arc<[u8]>>,
    name_bytes: usize,
}

/// The subscriptions of a subscriber that has gone. Dropping it removes them.
struct Remains {
    channels: Arc<Channels>,
    id: u64,
    state: SubscriberState,
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

    /// How many channels and how many patterns have subscribers.
    pub fn counts(&self) -> (usize, usize) {
        let hub = self.read();
        (hub.channels.len(), hub.patterns.len())
    }

    /// Ends all subscriptions of a subscriber, and its stream.
    pub(super) fn remove(self: &Arc<Channels>, id: u64) {
        let Some(state) = self.write().subscribers.remove(&id) else { return };
        let is_large = state.channels.len() + state.patterns.len() > REMOVED_TOPICS;
        let remains = Remains { channels: self.clone(), id, state };
        if is_large {
            // If the system has no thread for it, it is removed here: an error drops the closure.
            drop(thread::Builder::new().spawn(|| drop(remains)));
        }
    }

    /// One page of the topics that have subscribers: of those after `after`, in order, the ones that match a
    /// pattern.
    pub fn page(&self, kind: TopicKind, after: Option<&[u8]>, matching: Option<&[u8]>) -> TopicPage {
        let hub = self.read();
        let topics = match kind {
            TopicKind::Channel => &hub.channels,
            TopicKind::Pattern => &hub.patterns,
        };
        let (names, has_more) = topics_after(topics, after, matching.map_or(0, <[u8]>::len));
        drop(hub);
        let pattern = matching.map(Pattern::new);
        let is_wanted = |name: &&Arc<[u8]>| pattern.as_ref().is_none_or(|pattern| pattern.matches(name));
        let copy = |name: &Arc<[u8]>| Box::from(&**name);
        TopicPage {
            names: names.iter().filter(is_wanted).map(copy).collect(),
            next: names.last().filter(|_| has_more).map(copy),
        }
    }

    /// How many subscribers a channel has, not counting patterns.
    pub fn subscriber_count(&self, channel: &[u8]) -> usize {
        self.read().channels.get(channel).map_or(0, BTreeSet::len)
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Hub> {
        self.hub.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Hub> {
        self.hub.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
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
            Topic::Pattern(name) => remove_id(&mut self.patterns, name, id),
        }
    }
}

/// The topics after `after`, as many as a page has, and whether more follow. `overhead` bytes are compared
/// with each.
fn topics_after(topics: &Topics, after: Option<&[u8]>, overhead: usize) -> (Vec<Arc<[u8]>>, bool) {
    let after = after.map_or(Unbounded, Excluded);
    let mut following = topics.range::<[u8], _>((after, Unbounded)).map(|(name, _)| name);
    let (mut names, mut bytes) = (Vec::<Arc<[u8]>>::new(), 0);
    while names.len() < PAGE_NAMES
        && bytes < PAGE_BYTES
        && let Some(name) = following.next()
    {
        bytes += name.len() + overhead;
        names.push(name.clone());
    }
    (names, following.next().is_some())
}

fn remove_id(topics: &mut Topics, name: &[u8], id: u64) {
    let Some(ids) = topics.get_mut(name) else { return };
    ids.remove(&id);
    if ids.is_empty() {
        topics.remove(name);
    }
}

impl SubscriberState {
    /// Queues a message; returns `false` if the subscriber fell behind.
    pub(super) fn deliver(&self, delivery: Delivery) -> bool {
        let bytes = delivery.size();
        self.messages.send(delivery, bytes)
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        let channels = self.state.channels.iter().map(|name| Topic::Channel(name));
        let mut topics = channels.chain(self.state.patterns.iter().map(|name| Topic::Pattern(name)));
        loop {
            let mut hub = self.channels.write();
            let removed = topics.by_ref().take(REMOVED_TOPICS);
            if removed.map(|topic| hub.remove_receiver(topic, self.id)).count() < REMOVED_TOPICS {
                return;
            }
        }
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

    /// The first `limit` channels that it is subscribed to.
    pub fn channels(&self, limit: usize) -> Vec<Arc<[u8]>> {
        self.inspect(|state| state.channels.iter().take(limit).cloned().collect())
    }

    /// The first `limit` patterns that it is subscribed to.
    pub fn patterns(&self, limit: usize) -> Vec<Arc<[u8]>> {
        self.inspect(|state| state.patterns.iter().take(limit).cloned().collect())
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
