//! What a client is subscribed to: channels, patterns of channels, and the changes of buckets.

use super::write::Writer;
use crate::limits::EVENTS_AT_ONCE;
use kv::{Change, ChannelSubscriber, Delivery, EndReason, Event, Subscription};
use std::{
    future::{pending, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
};
use tokio_stream::{Stream, StreamMap};

/// How the channel begins that tells of the changes of a bucket; the bucket's name follows.
pub(super) const BUCKET_CHANNEL: &[u8] = b"__bucket__:";

/// The subscriptions of one client.
#[derive(Default)]
pub(super) struct Topics {
    /// Hears the channels and patterns; there is none until the first of them.
    pub(super) listener: Option<Box<ChannelSubscriber>>,
    /// The changes of buckets, by name.
    pub(super) buckets: StreamMap<Box<[u8]>, Subscription>,
}

impl Topics {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.listener.as_ref().map_or(0, |listener| listener.count()) + self.buckets.len()
    }

    /// Whether something may come: a message, or the news that the client did not keep up and has no subscription any more.
    pub(super) fn is_listening(&self) -> bool {
        self.listener.is_some() || !self.buckets.is_empty()
    }

    /// The names of the channels, those of buckets included.
    pub(super) fn channels(&self) -> Vec<Box<[u8]>> {
        let heard = self.listener.iter().flat_map(|listener| listener.channels());
        let buckets = self.buckets.keys().map(|bucket| [BUCKET_CHANNEL, bucket].concat().into());
        heard.map(|channel| (*channel).into()).chain(buckets).collect()
    }

    /// The patterns.
    pub(super) fn patterns(&self) -> Vec<Box<[u8]>> {
        let patterns = self.listener.iter().flat_map(|listener| listener.patterns());
        patterns.map(|pattern| (*pattern).into()).collect()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Topics::default();
    }

    /// Waits for messages and renders all that have come. `false`: the client did not keep up. Without a
    /// subscription it waits for ever.
    pub(super) async fn next(&mut self, writer: &mut Writer<'_>) -> bool {
        let (listener, buckets) = (&mut self.listener, &mut self.buckets);
        let mut events = Vec::new();
        tokio::select! {
            heard = some_of(listener) => {
                heard.iter().for_each(|heard| message(writer, heard));
                return !heard.is_empty();
            }
            () = changes(buckets, &mut events) => {}
        }
        for (bucket, event) in &events {
            change(writer, bucket, event);
            if let Change::Ended(end) = &event.change {
                self.buckets.remove(bucket);
                if *end == EndReason::FellBehind {
                    return false;
                }
                let channel = [BUCKET_CHANNEL, bucket].concat();
                confirm(writer, "unsubscribe", Some(&channel), self.count());
            }
        }
        true
    }
}

/// The messages that have come, at least one; none when the listener fell behind.
async fn some_of(listener: &mut Option<Box<ChannelSubscriber>>) -> Vec<Delivery> {
    let Some(listener) = listener else { return pending().await };
    let mut heard = Vec::new();
    poll_fn(|context| {
        while heard.len() < EVENTS_AT_ONCE {
            match Pin::new(&mut **listener).poll_next(context) {
                Poll::Ready(Some(message)) => heard.push(message),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending if heard.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(())
    })
    .await;
    heard
}

async fn changes(
    buckets: &mut StreamMap<Box<[u8]>, Subscription>,
    events: &mut Vec<(Box<[u8]>, Arc<Event>)>,
) {
    if buckets.next_many(events, EVENTS_AT_ONCE).await == 0 {
        pending().await
    }
}

fn message(writer: &mut Writer<'_>, heard: &Delivery) {
    match &heard.pattern {
        Some(pattern) => {
            writer.push(4);
            writer.bulk(b"pmessage");
            writer.bulk(pattern);
        }
        None => {
            writer.push(3);
            writer.bulk(b"message");
        }
    }
    writer.bulk(&heard.message.channel);
    writer.bulk(&heard.message.payload);
}

/// A change of a bucket, as a message of the bucket's channel.
fn change(writer: &mut Writer<'_>, bucket: &[u8], event: &Event) {
    writer.push(3);
    writer.bulk(b"message");
    writer.bulk(&[BUCKET_CHANNEL, bucket].concat());
    match &event.change {
        Change::Set { key, value } => writer.bulk(&[key, b" SET TO ".as_slice(), value].concat()),
        Change::Deleted { key } => writer.bulk(&[key, b" DELETED".as_slice()].concat()),
        Change::Ended(end) => writer.bulk(match end {
            EndReason::Dropped => b"ENDED: the bucket was dropped",
            EndReason::Expired => b"ENDED: the bucket expired",
            EndReason::Crashed => b"ENDED: the bucket crashed",
            EndReason::Restarted => b"ENDED: the store restarted",
            EndReason::FellBehind => b"ENDED: this connection did not keep up with the changes",
            EndReason::NodeDown => b"ENDED: the node of the bucket is down",
        }),
    }
}

/// Tells the client of a subscription that has begun or ended, and how many it has now.
pub(super) fn confirm(writer: &mut Writer<'_>, what: &str, topic: Option<&[u8]>, count: usize) {
    writer.push(3);
    writer.bulk(what.as_bytes());
    match topic {
        Some(topic) => writer.bulk(topic),
        None => writer.nil(),
    }
    writer.number(count as i64);
}
