//! Channels: messages for all who listen at the moment, and for nobody else. They have nothing to do with buckets.

use crate::{
    glob,
    limits::{CHANNEL_BYTES, CHANNEL_MESSAGES, TOPIC_BYTES, TOPIC_NAME_BYTES},
};
use std::{
    cell::LazyCell,
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};
use tokio::sync::mpsc;
use tokio_stream::Stream;

/// What was published.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// The channel.
    pub channel: Box<[u8]>,
    /// What was said there.
    pub payload: Box<[u8]>,
}

/// A message on its way to one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The pattern that it is heard for; `None` when it is heard for its channel.
    pub pattern: Option<Arc<[u8]>>,
    /// The message.
    pub message: Arc<Message>,
}

/// What a listener subscribes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic<'a> {
    /// One channel.
    Channel(&'a [u8]),
    /// All channels whose names match a pattern.
    Pattern(&'a [u8]),
}

/// A listener has too many subscriptions to take another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many subscriptions: their names may have {TOPIC_NAME_BYTES} bytes")]
pub struct TooManyTopics;

/// The channels of one node.
#[derive(Debug, Default)]
pub struct Channels {
    hub: RwLock<Hub>,
}

#[derive(Debug, Default)]
struct Hub {
    channels: HashMap<Arc<[u8]>, HashSet<u64>>,
    patterns: HashMap<Arc<[u8]>, HashSet<u64>>,
    members: HashMap<u64, Member>,
    /// The number of the last listener.
    last: u64,
}

/// A listener as the hub knows it.
#[derive(Debug)]
struct Member {
    messages: mpsc::Sender<Delivery>,
    waiting_bytes: Arc<AtomicUsize>,
    channels: HashSet<Arc<[u8]>>,
    patterns: HashSet<Arc<[u8]>>,
    topic_bytes: usize,
}

/// One who listens, to any number of topics: a stream of messages in their order, which ends when the listener falls
/// behind. Dropping it ends all its subscriptions.
#[derive(Debug)]
pub struct ChannelSubscriber {
    channels: Arc<Channels>,
    number: u64,
    messages: mpsc::Receiver<Delivery>,
    waiting_bytes: Arc<AtomicUsize>,
}

impl Channels {
    /// A new listener, which hears nothing yet.
    pub fn listen(self: &Arc<Channels>) -> ChannelSubscriber {
        let (sender, messages) = mpsc::channel(CHANNEL_MESSAGES);
        let waiting_bytes = Arc::<AtomicUsize>::default();
        let member = Member {
            messages: sender,
            waiting_bytes: waiting_bytes.clone(),
            channels: HashSet::new(),
            patterns: HashSet::new(),
            topic_bytes: 0,
        };
        let mut hub = self.write();
        hub.last += 1;
        let number = hub.last;
        hub.members.insert(number, member);
        drop(hub);
        ChannelSubscriber { channels: self.clone(), number, messages, waiting_bytes }
    }

    /// Publishes a message to all who listen on this node. Returns how many times it is heard.
    pub fn publish(&self, channel: &[u8], payload: &[u8]) -> usize {
        let (mut heard, mut behind) = (0, Vec::new());
        let message =
            LazyCell::new(|| Arc::new(Message { channel: channel.into(), payload: payload.into() }));
        let hub = self.read();
        for (pattern, numbers) in hub.audience(channel) {
            for number in numbers {
                let sent = Delivery { pattern: pattern.cloned(), message: Arc::clone(&message) };
                match hub.members[number].hear(sent) {
                    true => heard += 1,
                    false => behind.push(*number),
                }
            }
        }
        drop(hub);
        if !behind.is_empty() {
            let mut hub = self.write();
            behind.into_iter().for_each(|number| hub.leave(number));
        }
        heard
    }

    /// The names of the channels that somebody listens to, other than by a pattern.
    pub fn names(&self, matching: Option<&[u8]>) -> Vec<Box<[u8]>> {
        let hub = self.read();
        let names = hub.channels.keys();
        names
            .filter(|name| matching.is_none_or(|wanted| glob::matches(wanted, name)))
            .map(|name| (**name).into())
            .collect()
    }

    /// How many listen to a channel, other than by a pattern.
    pub fn listeners(&self, channel: &[u8]) -> usize {
        self.read().channels.get(channel).map_or(0, HashSet::len)
    }

    /// The patterns that somebody listens to.
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
    /// Who hears what is said in a channel: those who listen to it, and those of each pattern that it matches.
    fn audience<'h>(
        &'h self,
        channel: &'h [u8],
    ) -> impl Iterator<Item = (Option<&'h Arc<[u8]>>, &'h HashSet<u64>)> {
        let direct = self.channels.get(channel).map(|numbers| (None, numbers));
        let patterns = self.patterns.iter().filter(|(wanted, _)| glob::matches(wanted, channel));
        direct.into_iter().chain(patterns.map(|(wanted, numbers)| (Some(wanted), numbers)))
    }

    fn subscribe(&mut self, number: u64, topic: Topic<'_>) -> Result<bool, TooManyTopics> {
        // One who fell behind hears nothing more, whatever it subscribes to.
        let Some(member) = self.members.get_mut(&number) else { return Ok(true) };
        let (name, own, all) = match topic {
            Topic::Channel(name) => (name, &mut member.channels, &mut self.channels),
            Topic::Pattern(name) => (name, &mut member.patterns, &mut self.patterns),
        };
        if own.contains(name) {
            return Ok(false);
        }
        let bytes = member.topic_bytes + name.len() + TOPIC_BYTES;
        if bytes > TOPIC_NAME_BYTES {
            return Err(TooManyTopics);
        }
        member.topic_bytes = bytes;
        let name = all.get_key_value(name).map_or_else(|| name.into(), |(name, _)| name.clone());
        all.entry(name.clone()).or_default().insert(number);
        own.insert(name);
        Ok(true)
    }

    fn unsubscribe(&mut self, number: u64, topic: Topic<'_>) -> bool {
        let Some(member) = self.members.get_mut(&number) else { return false };
        let (name, own, all) = match topic {
            Topic::Channel(name) => (name, &mut member.channels, &mut self.channels),
            Topic::Pattern(name) => (name, &mut member.patterns, &mut self.patterns),
        };
        let was_subscribed = own.remove(name);
        if was_subscribed {
            member.topic_bytes -= name.len() + TOPIC_BYTES;
            forget(all, name, number);
        }
        was_subscribed
    }

    /// Ends all subscriptions of a listener, and its stream.
    fn leave(&mut self, number: u64) {
        let Some(member) = self.members.remove(&number) else { return };
        member.channels.iter().for_each(|name| forget(&mut self.channels, name, number));
        member.patterns.iter().for_each(|name| forget(&mut self.patterns, name, number));
    }
}

fn forget(topics: &mut HashMap<Arc<[u8]>, HashSet<u64>>, name: &[u8], number: u64) {
    let Some(numbers) = topics.get_mut(name) else { return };
    numbers.remove(&number);
    if numbers.is_empty() {
        topics.remove(name);
    }
}

impl Member {
    /// Hands on a message; `false`: the listener fell behind.
    fn hear(&self, heard: Delivery) -> bool {
        let bytes = heard.bytes();
        if self.waiting_bytes.fetch_add(bytes, Relaxed) + bytes > CHANNEL_BYTES {
            return false;
        }
        self.messages.try_send(heard).is_ok()
    }
}

impl Delivery {
    fn bytes(&self) -> usize {
        self.message.channel.len() + self.message.payload.len()
    }
}

impl ChannelSubscriber {
    /// Adds a subscription; `false` when it was there.
    pub fn subscribe(&self, topic: Topic<'_>) -> Result<bool, TooManyTopics> {
        self.channels.write().subscribe(self.number, topic)
    }

    /// Ends a subscription; `false` when there was none.
    pub fn unsubscribe(&self, topic: Topic<'_>) -> bool {
        self.channels.write().unsubscribe(self.number, topic)
    }

    /// The channels that it listens to.
    pub fn channels(&self) -> Vec<Arc<[u8]>> {
        self.look(|member| member.channels.iter().cloned().collect())
    }

    /// The patterns that it listens to.
    pub fn patterns(&self) -> Vec<Arc<[u8]>> {
        self.look(|member| member.patterns.iter().cloned().collect())
    }

    /// How many subscriptions it has.
    pub fn count(&self) -> usize {
        self.look(|member| member.channels.len() + member.patterns.len())
    }

    fn look<T: Default>(&self, look: impl FnOnce(&Member) -> T) -> T {
        self.channels.read().members.get(&self.number).map(look).unwrap_or_default()
    }
}

impl Stream for ChannelSubscriber {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let heard = ready!(self.messages.poll_recv(context));
        if let Some(heard) = &heard {
            self.waiting_bytes.fetch_sub(heard.bytes(), Relaxed);
        }
        Poll::Ready(heard)
    }
}

impl Drop for ChannelSubscriber {
    fn drop(&mut self) {
        self.channels.write().leave(self.number);
    }
}

#[cfg(test)]
mod tests;
