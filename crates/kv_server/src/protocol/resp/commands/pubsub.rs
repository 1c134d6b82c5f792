//! Channels of all nodes, and the changes of buckets as messages.

use super::table::{ANY_TIME, Call, SessionCommand, boxed};
use crate::{
    limits::SUBSCRIPTIONS,
    protocol::resp::{
        encoder::RespEncoder,
        reply::error::SessionError,
        state::RespState,
        subscriptions::{BUCKET_CHANNEL, write_confirmation},
    },
};
use kv::{Args, CommandError, CommandSpec, Group, Topic, flag};

pub(super) const PUBSUB: SessionCommand = SessionCommand::new(
    CommandSpec::new("pubsub", Group::Pubsub)
        .arity(-2)
        .since("2.8.0")
        .summary("Commands about channels and their subscribers"),
);

pub(super) const SUBSCRIBE: SessionCommand = SessionCommand::new(
    CommandSpec::new("subscribe", Group::Pubsub)
        .arity(-2)
        .flags(ANY_TIME | flag::PUBSUB)
        .since("2.0.0")
        .syntax("channel [channel ...]")
        .summary("Subscribes to channels; __bucket__:NAME delivers the changes of a bucket"),
)
.allowed_while_subscribed()
.run_async(boxed!(subscribe));
async fn subscribe(Call { state, args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    for channel in args {
        let subscribed = match channel.strip_prefix(BUCKET_CHANNEL) {
            Some(bucket) => subscribe_to_bucket(state, bucket).await,
            None => subscribe_to_topic(state, Topic::Channel(channel)),
        };
        match subscribed {
            Ok(()) => {
                let count = state.subscriptions.count();
                write_confirmation(&mut state.encoder(output), "subscribe", Some(channel), count);
            }
            Err(error) => state.write_error(error, output)?,
        }
    }
    Ok(())
}

async fn subscribe_to_bucket(state: &mut RespState, bucket: &[u8]) -> Result<(), SessionError> {
    let buckets = &state.subscriptions.buckets;
    if buckets.contains_key(bucket) {
        return Ok(());
    }
    if buckets.len() >= SUBSCRIPTIONS {
        return Err(SessionError::reply(format!(
            "ERR one connection may subscribe to {SUBSCRIPTIONS} buckets"
        )));
    }
    let Some(changes) = state.server.cluster.subscribe(bucket).await? else {
        let name = bucket.escape_ascii();
        return Err(SessionError::reply(format!("ERR no such bucket: \"{name}\"; create it first")));
    };
    state.subscriptions.buckets.insert(bucket.into(), changes);
    Ok(())
}

fn subscribe_to_topic(state: &mut RespState, topic: Topic<'_>) -> Result<(), SessionError> {
    let server = &state.server;
    let subscriber =
        state.subscriptions.subscriber.get_or_insert_with(|| Box::new(server.cluster.subscriber()));
    subscriber.subscribe(topic).map_err(|error| SessionError::reply(format!("ERR {error}")))?;
    Ok(())
}

pub(super) const PSUBSCRIBE: SessionCommand = SessionCommand::new(
    CommandSpec::new("psubscribe", Group::Pubsub)
        .arity(-2)
        .flags(ANY_TIME | flag::PUBSUB)
        .since("2.0.0")
        .syntax("pattern [pattern ...]")
        .summary("Subscribes to patterns of channels"),
)
.allowed_while_subscribed()
.run(psubscribe);
fn psubscribe(state: &mut RespState, args: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    for pattern in args {
        match subscribe_to_topic(state, Topic::Pattern(pattern)) {
            Ok(()) => write_confirmation(encoder, "psubscribe", Some(pattern), state.subscriptions.count()),
            Err(error) => error.write(encoder)?,
        }
    }
    Ok(())
}

pub(super) const UNSUBSCRIBE: SessionCommand = SessionCommand::new(
    CommandSpec::new("unsubscribe", Group::Pubsub)
        .arity(-1)
        .flags(ANY_TIME | flag::PUBSUB)
        .since("2.0.0")
        .syntax("[channel [channel ...]]")
        .summary("Unsubscribes from the given channels, or all"),
)
.allowed_while_subscribed()
.run(unsubscribe);
fn unsubscribe(state: &mut RespState, args: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    let all = state.subscriptions.channels();
    unsubscribe_each(state, args, all, "unsubscribe", encoder, |state, channel| {
        match channel.strip_prefix(BUCKET_CHANNEL) {
            Some(bucket) => drop(state.subscriptions.buckets.remove(bucket)),
            None => drop_topic(state, Topic::Channel(channel)),
        }
    });
    Ok(())
}

pub(super) const PUNSUBSCRIBE: SessionCommand = SessionCommand::new(
    CommandSpec::new("punsubscribe", Group::Pubsub)
        .arity(-1)
        .flags(ANY_TIME | flag::PUBSUB)
        .since("2.0.0")
        .syntax("[pattern [pattern ...]]")
        .summary("Unsubscribes from the given patterns, or all"),
)
.allowed_while_subscribed()
.run(punsubscribe);
fn punsubscribe(state: &mut RespState, args: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    let all = state.subscriptions.patterns();
    unsubscribe_each(state, args, all, "punsubscribe", encoder, |state, pattern| {
        drop_topic(state, Topic::Pattern(pattern));
    });
    Ok(())
}

fn drop_topic(state: &RespState, topic: Topic<'_>) {
    if let Some(subscriber) = &state.subscriptions.subscriber {
        subscriber.unsubscribe(topic);
    }
}

/// Ends the subscriptions that `args` name, or all.
fn unsubscribe_each(
    state: &mut RespState,
    args: Args<'_>,
    all: Vec<Box<[u8]>>,
    kind: &str,
    encoder: &mut RespEncoder<'_>,
    unsubscribe: impl Fn(&mut RespState, &[u8]),
) {
    if args.is_empty() && all.is_empty() {
        return write_confirmation(encoder, kind, None, state.subscriptions.count());
    }
    let mut end = |topic: &[u8]| {
        unsubscribe(state, topic);
        write_confirmation(encoder, kind, Some(topic), state.subscriptions.count());
    };
    if args.is_empty() {
        all.iter().for_each(|topic| end(topic));
    } else {
        args.for_each(end);
    }
}

pub(super) const PUBLISH: SessionCommand = SessionCommand::new(
    CommandSpec::new("publish", Group::Pubsub)
        .arity(3)
        .flags(ANY_TIME | flag::PUBSUB)
        .fast()
        .since("2.0.0")
        .syntax("channel message")
        .summary("Publishes a message; returns the number of receivers"),
)
.run_async(boxed!(publish));
async fn publish(Call { state, mut args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let (channel, message) = args.next().zip(args.next()).ok_or(CommandError::Syntax)?;
    let receivers = state.server.cluster.publish(channel, message).await?;
    state.encoder(output).integer(receivers as i64);
    Ok(())
}

pub(super) const PUBSUB_CHANNELS: SessionCommand = SessionCommand::new(
    CommandSpec::new("pubsub|channels", Group::Pubsub)
        .arity(-2)
        .flags(ANY_TIME | flag::PUBSUB)
        .since("2.8.0")
        .syntax("[pattern]")
        .summary("Lists channels that have subscribers"),
)
.run_async(boxed!(channels));
async fn channels(Call { state, mut args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let pattern = args.next();
    if args.next().is_some() {
        return Err(CommandError::Arity("pubsub|channels".into()).into());
    }
    let channels = state.server.cluster.channels(pattern).await?;
    let mut encoder = state.encoder(output);
    encoder.array(channels.len());
    channels.iter().for_each(|channel| encoder.bulk(channel));
    Ok(())
}

pub(super) const PUBSUB_NUMSUB: SessionCommand = SessionCommand::new(
    CommandSpec::new("pubsub|numsub", Group::Pubsub)
        .arity(-2)
        .flags(ANY_TIME | flag::PUBSUB)
        .since("2.8.0")
        .syntax("[channel [channel ...]]")
        .summary("Number of subscribers per channel"),
)
.run_async(boxed!(numsub));
async fn numsub(Call { state, args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let channels: Vec<&[u8]> = args.collect();
    let counts = state.server.cluster.subscriber_counts(&channels).await?;
    let mut encoder = state.encoder(output);
    encoder.array(channels.len() * 2);
    for (channel, count) in channels.iter().zip(counts) {
        encoder.bulk(channel);
        encoder.integer(count as i64);
    }
    Ok(())
}

pub(super) const PUBSUB_NUMPAT: SessionCommand = SessionCommand::new(
    CommandSpec::new("pubsub|numpat", Group::Pubsub)
        .arity(2)
        .flags(ANY_TIME | flag::PUBSUB)
        .since("2.8.0")
        .summary("Number of patterns subscribed to"),
)
.run_async(boxed!(numpat));
async fn numpat(Call { state, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let patterns = state.server.cluster.pattern_count().await?;
    state.encoder(output).integer(patterns as i64);
    Ok(())
}
