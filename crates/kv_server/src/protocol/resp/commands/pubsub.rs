//! Commands on channels, which span all nodes; the changes of buckets are messages of channels too.

use super::table::{ANY_TIME, Call, SessionCommand, boxed};
use crate::{
    limits::{ARGUMENTS_AT_ONCE, CHANNEL_NAME_BYTES, SUBSCRIPTIONS},
    pipeline::{buffers::Output, router},
    protocol::resp::{
        reply::error::SessionError,
        session::RespSession,
        subscriptions::{BUCKET_CHANNEL, Subscriptions, write_confirmation},
    },
};
use kv::{CommandError, CommandSpec, Group, Topic, flag, syntax::glob};
use kv_cluster::escape_name;
use std::{io, sync::Arc};
use tokio::task::yield_now;

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
.yields_between_arguments()
.run_async(boxed!(subscribe));
async fn subscribe(Call { session, args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    for (number, channel) in args.enumerate() {
        pause(session, output, number).await?;
        let subscribed = match channel.strip_prefix(BUCKET_CHANNEL) {
            Some(bucket) => subscribe_to_bucket(session, bucket).await,
            None => subscribe_to_topic(session, Topic::Channel(channel)),
        };
        match subscribed {
            Ok(()) => {
                let count = session.subscriptions.count();
                write_confirmation(&mut session.encoder(output), "subscribe", Some(channel), count);
            }
            Err(error) => session.write_error(error, output)?,
        }
    }
    session.subscriptions.charge_names();
    Ok(())
}

/// Called before each of many arguments: now and then, what has been confirmed is written, and other
/// connections of this thread run.
async fn pause(session: &mut RespSession, output: &mut Output<'_>, number: usize) -> io::Result<()> {
    if number > 0 && number.is_multiple_of(ARGUMENTS_AT_ONCE) {
        session.subscriptions.charge_names();
        yield_now().await;
    }
    if output.is_full() {
        output.flush().await?;
    }
    Ok(())
}

async fn subscribe_to_bucket(session: &mut RespSession, bucket: &[u8]) -> Result<(), SessionError> {
    let buckets = &mut session.subscriptions.buckets;
    if buckets.contains(bucket) {
        return Ok(());
    }
    if buckets.is_full() {
        return Err(SessionError::reply(format!(
            "ERR one connection may subscribe to {SUBSCRIPTIONS} buckets"
        )));
    }
    let Some(changes) = router::subscribe(&session.context.cluster, bucket, buckets.backlog()).await? else {
        let name = escape_name(bucket);
        return Err(SessionError::reply(format!("ERR no such bucket: \"{name}\"; create it first")));
    };
    buckets.insert(bucket, changes);
    Ok(())
}

fn subscribe_to_topic(session: &mut RespSession, topic: Topic<'_>) -> Result<(), SessionError> {
    let Subscriptions { subscriber, buckets, .. } = &mut session.subscriptions;
    let cluster = &session.context.cluster;
    let subscriber = subscriber.get_or_insert_with(|| Box::new(cluster.subscriber(buckets.backlog())));
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
.yields_between_arguments()
.run_async(boxed!(psubscribe));
async fn psubscribe(Call { session, args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    for (number, pattern) in args.enumerate() {
        pause(session, output, number).await?;
        let checked = glob::checked(pattern).map_err(SessionError::from);
        match checked.and_then(|pattern| subscribe_to_topic(session, Topic::Pattern(pattern))) {
            Ok(()) => {
                let count = session.subscriptions.count();
                write_confirmation(&mut session.encoder(output), "psubscribe", Some(pattern), count);
            }
            Err(error) => session.write_error(error, output)?,
        }
    }
    session.subscriptions.charge_names();
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
.yields_between_arguments()
.run_async(boxed!(unsubscribe));
async fn unsubscribe(call: Call<'_, '_>) -> Result<(), SessionError> {
    let end = |session: &mut RespSession, channel: &[u8]| match channel.strip_prefix(BUCKET_CHANNEL) {
        Some(bucket) => session.subscriptions.buckets.remove(bucket),
        None => drop_topic(session, Topic::Channel(channel)),
    };
    unsubscribe_each(call, Subscriptions::channels, "unsubscribe", end).await
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
.yields_between_arguments()
.run_async(boxed!(punsubscribe));
async fn punsubscribe(call: Call<'_, '_>) -> Result<(), SessionError> {
    let end = |session: &mut RespSession, pattern: &[u8]| drop_topic(session, Topic::Pattern(pattern));
    unsubscribe_each(call, Subscriptions::patterns, "punsubscribe", end).await
}

fn drop_topic(session: &RespSession, topic: Topic<'_>) {
    if let Some(subscriber) = &session.subscriptions.subscriber {
        subscriber.unsubscribe(topic);
    }
}

/// Ends the subscriptions named in the arguments; without arguments, all: those that `first` lists first.
async fn unsubscribe_each(
    Call { session, args, output, .. }: Call<'_, '_>,
    first: fn(&Subscriptions, usize) -> Vec<Arc<[u8]>>,
    kind: &str,
    unsubscribe: fn(&mut RespSession, &[u8]),
) -> Result<(), SessionError> {
    let end_one = |session: &mut RespSession, output: &mut Output<'_>, topic: &[u8]| {
        unsubscribe(session, topic);
        let count = session.subscriptions.count();
        write_confirmation(&mut session.encoder(output), kind, Some(topic), count);
    };
    for (number, topic) in args.enumerate() {
        pause(session, output, number).await?;
        end_one(session, output, topic);
    }
    if args.is_empty() {
        let mut topics = first(&session.subscriptions, ARGUMENTS_AT_ONCE);
        if topics.is_empty() {
            let count = session.subscriptions.count();
            write_confirmation(&mut session.encoder(output), kind, None, count);
        }
        while !topics.is_empty() {
            topics.iter().for_each(|topic| end_one(session, output, topic));
            pause(session, output, topics.len()).await?;
            topics = first(&session.subscriptions, ARGUMENTS_AT_ONCE);
        }
    }
    session.subscriptions.charge_names();
    Ok(())
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
async fn publish(Call { session, mut args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let (channel, message) = args.next().zip(args.next()).ok_or(CommandError::Syntax)?;
    if channel.len() > CHANNEL_NAME_BYTES {
        return Err(SessionError::reply(format!(
            "ERR channel name too long: it may have {CHANNEL_NAME_BYTES} bytes"
        )));
    }
    let receivers = session.context.cluster.publish(channel, message).await?;
    session.encoder(output).integer(receivers as i64);
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
async fn channels(Call { session, mut args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let pattern = args.next().map(glob::checked).transpose()?;
    if args.next().is_some() {
        return Err(CommandError::Arity("pubsub|channels".into()).into());
    }
    let channels = session.context.cluster.channels(pattern).await?;
    session.encoder(output).array(channels.len());
    for (number, channel) in channels.into_iter().enumerate() {
        pause(session, output, number).await?;
        session.encoder(output).bulk(&channel);
    }
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
async fn numsub(Call { session, args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let channels: Vec<&[u8]> = args.collect();
    let counts = session.context.cluster.subscriber_counts(&channels).await?;
    let mut encoder = session.encoder(output);
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
async fn numpat(Call { session, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let patterns = session.context.cluster.pattern_count().await?;
    session.encoder(output).integer(patterns as i64);
    Ok(())
}
