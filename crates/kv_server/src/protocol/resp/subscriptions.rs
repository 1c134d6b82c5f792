//! The subscriptions of one client: to channels, patterns, and the changes of buckets.

use super::encoder::RespEncoder;
use crate::{
    memory::{Account, Charge, Use},
    protocol::{
        bucket_subscriptions::{BucketSubscriptions, next_items},
        describe_end,
    },
};
use kv::{Change, ChannelSubscriber, Delivery, EndReason, Event};
use std::{future::pending, sync::Arc};

/// The prefix of the channels whose messages are the changes of a bucket; the bucket's name follows.
pub(super) const BUCKET_CHANNEL: &[u8] = b"__bucket__:";

/// The subscriptions of one client.
pub(super) struct Subscriptions {
    /// Channels and patterns; `None` until the first of them.
    pub(super) subscriber: Option<Box<ChannelSubscriber>>,
    /// The changes of buckets.
    pub(super) buckets: BucketSubscriptions,
    /// The names of channels and patterns.
    charge: Charge,
}

impl Subscriptions {
    /// No subscriptions, charged to `account`.
    pub(super) fn new(account: &Arc<Account>) -> Subscriptions {
        let charge = Charge::new(account, Use::Session);
        Subscriptions { subscriber: None, buckets: BucketSubscriptions::new(account), charge }
    }

    /// Counts the names of channels and patterns as memory that the connection holds.
    pub(super) fn charge_names(&mut self) {
        self.charge.set(self.subscriber.as_ref().map_or(0, |subscriber| subscriber.name_bytes()));
    }

    /// The number of channels, those of buckets included, and of patterns.
    pub(super) fn counts(&self) -> (usize, usize) {
        let (channels, patterns) = self.subscriber.as_ref().map_or((0, 0), |subscriber| subscriber.counts());
        (channels + self.buckets.len(), patterns)
    }

    /// The number of channels, patterns and buckets.
    pub(super) fn count(&self) -> usize {
        let (channels, patterns) = self.counts();
        channels + patterns
    }

    /// Whether something can arrive: a message, even one queued before the last unsubscribe, or the end of a
    /// subscriber that fell behind.
    pub(super) fn is_active(&self) -> bool {
        self.subscriber.is_some() || !self.buckets.is_empty()
    }

    /// The names of up to `limit` channels; those of buckets come last.
    pub(super) fn channels(&self, limit: usize) -> Vec<Arc<[u8]>> {
        let channels = self.subscriber.iter().flat_map(|subscriber| subscriber.channels(limit));
        let buckets = self.buckets.names().map(|bucket| bucket_channel(bucket).into());
        channels.chain(buckets).take(limit).collect()
    }

    /// Up to `limit` patterns.
    pub(super) fn patterns(&self, limit: usize) -> Vec<Arc<[u8]>> {
        self.subscriber.iter().flat_map(|subscriber| subscriber.patterns(limit)).collect()
    }

    /// Ends all subscriptions.
    pub(super) fn clear(&mut self) {
        *self = Subscriptions::new(self.charge.account());
    }

    /// Waits for messages and writes those that have arrived; waits forever without a subscription. `false`:
    /// the client fell behind and must be disconnected.
    pub(super) async fn next_messages(&mut self, encoder: &mut RespEncoder<'_>) -> bool {
        let (subscriber, buckets) = (&mut self.subscriber, &mut self.buckets);
        let events = tokio::select! {
            deliveries = next_deliveries(subscriber) => {
                deliveries.iter().for_each(|delivery| write_delivery(encoder, delivery));
                return !deliveries.is_empty();
            }
            events = buckets.next_changes() => events,
        };
        for (bucket, event) in &events {
            write_change(encoder, bucket, event);
            if let Change::Ended(end) = &event.change {
                self.buckets.remove(bucket);
                if *end == EndReason::FellBehind {
                    return false;
                }
                write_confirmation(encoder, "unsubscribe", Some(&bucket_channel(bucket)), self.count());
            }
        }
        true
    }
}

fn bucket_channel(bucket: &[u8]) -> Vec<u8> {
    [BUCKET_CHANNEL, bucket].concat()
}

/// Waits for messages: returns at least one, or none if the subscriber fell behind.
async fn next_deliveries(subscriber: &mut Option<Box<ChannelSubscriber>>) -> Vec<Delivery> {
    match subscriber {
        Some(subscriber) => next_items(&mut **subscriber, Delivery::size).await,
        None => pending().await,
    }
}

fn write_delivery(encoder: &mut RespEncoder<'_>, delivery: &Delivery) {
    match &delivery.pattern {
        Some(pattern) => {
            encoder.push(4);
            encoder.bulk(b"pmessage");
            encoder.bulk(pattern);
        }
        None => {
            encoder.push(3);
            encoder.bulk(b"message");
        }
    }
    encoder.bulk(&delivery.message.channel);
    encoder.bulk(&delivery.message.payload);
}

/// Writes a change of a bucket as a message of the bucket's channel.
fn write_change(encoder: &mut RespEncoder<'_>, bucket: &[u8], event: &Event) {
    encoder.push(3);
    encoder.bulk(b"message");
    encoder.bulk(&bucket_channel(bucket));
    match &event.change {
        Change::Set { key, value } => encoder.bulk(&[key, b" SET TO ".as_slice(), value].concat()),
        Change::Deleted { key } => encoder.bulk(&[key, b" DELETED".as_slice()].concat()),
        Change::Interrupted => encoder.bulk(b"INTERRUPTED"),
        Change::Ended(reason) => encoder.bulk(format!("ENDED: {}", describe_end(*reason)).as_bytes()),
    }
}

/// Writes that a subscription has begun or ended, and the number that the client has now.
pub(super) fn write_confirmation(
    encoder: &mut RespEncoder<'_>,
    kind: &str,
    topic: Option<&[u8]>,
    count: usize,
) {
    encoder.push(3);
    encoder.bulk(kind.as_bytes());
    match topic {
        Some(topic) => encoder.bulk(topic),
        None => encoder.null(),
    }
    encoder.integer(count as i64);
}
