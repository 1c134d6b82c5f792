//! Channels of all nodes, and buckets whose changes are heard as messages.

use super::other;
use crate::{
    limits::SUBSCRIPTIONS,
    pipeline::buffers::Output,
    protocol::resp::{
        session::{Session, Trouble},
        topics::{BUCKET_CHANNEL, confirm},
        write::Writer,
    },
};
use kv::{Args, ChannelSubscriber, CommandError, Topic};

/// `SUBSCRIBE channel [channel ...]`
pub(in super::super) async fn subscribe(
    session: &mut Session,
    args: Args<'_>,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    for channel in args {
        let subscribed = match channel.strip_prefix(BUCKET_CHANNEL) {
            Some(bucket) => subscribe_to_bucket(session, bucket).await,
            None => listen(session, Topic::Channel(channel)).map_err(Trouble::from),
        };
        match subscribed {
            Ok(()) => {
                let count = session.topics.count();
                confirm(&mut session.writer(output), "subscribe", Some(channel), count);
            }
            Err(trouble) => session.complain(trouble, output)?,
        }
    }
    Ok(())
}

async fn subscribe_to_bucket(session: &mut Session, bucket: &[u8]) -> Result<(), Trouble> {
    let buckets = &session.topics.buckets;
    if buckets.contains_key(bucket) {
        return Ok(());
    }
    if buckets.len() >= SUBSCRIPTIONS {
        return Err(other(&format!("ERR one connection may subscribe to {SUBSCRIPTIONS} buckets")).into());
    }
    let Some(changes) = session.server.cluster.subscribe(bucket).await? else {
        let name = bucket.escape_ascii();
        return Err(other(&format!("ERR no such bucket to hear of: \"{name}\"; create it first")).into());
    };
    session.topics.buckets.insert(bucket.into(), changes);
    Ok(())
}

fn listen(session: &mut Session, topic: Topic<'_>) -> Result<(), CommandError> {
    let server = &session.server;
    let listener = session.topics.listener.get_or_insert_with(|| Box::new(server.cluster.subscriber()));
    listener.subscribe(topic).map_err(|error| other(&format!("ERR {error}")))?;
    Ok(())
}

/// `PSUBSCRIBE pattern [pattern ...]`
pub(in super::super) fn psubscribe(
    session: &mut Session,
    args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    for pattern in args {
        match listen(session, Topic::Pattern(pattern)) {
            Ok(()) => confirm(writer, "psubscribe", Some(pattern), session.topics.count()),
            Err(refusal) => writer.error(&refusal.to_string()),
        }
    }
    Ok(())
}

/// `UNSUBSCRIBE [channel [channel ...]]`; without names, from all channels.
pub(in super::super) fn unsubscribe(
    session: &mut Session,
    args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    let all = session.topics.channels();
    leave(session, args, all, "unsubscribe", writer, |session, channel| {
        match channel.strip_prefix(BUCKET_CHANNEL) {
            Some(bucket) => drop(session.topics.buckets.remove(bucket)),
            None => ignore(session, Topic::Channel(channel)),
        }
    });
    Ok(())
}

/// `PUNSUBSCRIBE [pattern [pattern ...]]`; without names, from all patterns.
pub(in super::super) fn punsubscribe(
    session: &mut Session,
    args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    let all = session.topics.patterns();
    leave(session, args, all, "punsubscribe", writer, |session, pattern| {
        ignore(session, Topic::Pattern(pattern));
    });
    Ok(())
}

fn ignore(session: &Session, topic: Topic<'_>) {
    session.topics.listener.as_deref().map(|listener: &ChannelSubscriber| listener.unsubscribe(topic));
}

/// Leaves the named topics, or all.
fn leave(
    session: &mut Session,
    args: Args<'_>,
    all: Vec<Box<[u8]>>,
    what: &str,
    writer: &mut Writer<'_>,
    forget: impl Fn(&mut Session, &[u8]),
) {
    if args.is_empty() && all.is_empty() {
        return confirm(writer, what, None, session.topics.count());
    }
    let mut leave = |topic: &[u8]| {
        forget(session, topic);
        confirm(writer, what, Some(topic), session.topics.count());
    };
    if args.is_empty() {
        all.iter().for_each(|topic| leave(topic));
    } else {
        args.for_each(leave);
    }
}

/// `PUBLISH channel message`
pub(in super::super) async fn publish(
    session: &mut Session,
    mut args: Args<'_>,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    let (channel, message) = args.next().zip(args.next()).ok_or(CommandError::Syntax)?;
    let heard = session.server.cluster.publish(channel, message).await?;
    session.writer(output).number(heard as i64);
    Ok(())
}

/// `PUBSUB CHANNELS [pattern]`
pub(in super::super) async fn channels(
    session: &mut Session,
    mut args: Args<'_>,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    let pattern = args.next();
    if args.next().is_some() {
        return Err(CommandError::Arity("pubsub|channels".into()).into());
    }
    let channels = session.server.cluster.channels(pattern).await?;
    let mut writer = session.writer(output);
    writer.list(channels.len());
    channels.iter().for_each(|channel| writer.bulk(channel));
    Ok(())
}

/// `PUBSUB NUMSUB [channel [channel ...]]`
pub(in super::super) async fn numsub(
    session: &mut Session,
    args: Args<'_>,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    let channels: Vec<&[u8]> = args.collect();
    let counts = session.server.cluster.subscriber_counts(&channels).await?;
    let mut writer = session.writer(output);
    writer.list(channels.len() * 2);
    for (channel, count) in channels.iter().zip(counts) {
        writer.bulk(channel);
        writer.number(count as i64);
    }
    Ok(())
}

/// `PUBSUB NUMPAT`
pub(in super::super) async fn numpat(
    session: &mut Session,
    _: Args<'_>,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    let patterns = session.server.cluster.pattern_count().await?;
    session.writer(output).number(patterns as i64);
    Ok(())
}
