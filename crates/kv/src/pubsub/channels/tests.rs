//! Tests of channels: which subscriber receives which message.

use super::*;
use crate::pubsub::publication::Publication;
use std::iter::repeat_with;
use tokio_stream::StreamExt;

const MIB: usize = 1024 * 1024;

fn new_subscriber(channels: &Arc<Channels>) -> ChannelSubscriber {
    channels.subscriber(&Backlog::new(32 * MIB, |_, _| {}))
}

fn channels() -> Arc<Channels> {
    Arc::default()
}

/// Publishes in one go.
fn publish(channels: &Arc<Channels>, channel: &[u8], payload: &[u8]) -> usize {
    let mut publication = Publication::new(channels, channel, payload);
    repeat_with(|| publication.step()).find_map(|delivered| delivered).unwrap()
}

/// The first page of channels that match a pattern.
fn names(channels: &Channels, matching: Option<&[u8]>) -> Vec<Box<[u8]>> {
    channels.page(TopicKind::Channel, None, matching).names
}

async fn next(subscriber: &mut ChannelSubscriber) -> Option<(Option<String>, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let delivered = subscriber.next().await?;
    Some((delivered.pattern.as_deref().map(text), text(&delivered.message.payload)))
}

#[tokio::test]
async fn a_subscriber_receives_its_channels_and_patterns_in_order_and_nothing_else() {
    let channels = channels();
    let mut subscriber = new_subscriber(&channels);
    assert_eq!(subscriber.subscribe(Topic::Channel(b"news")), Ok(true));
    assert_eq!(subscriber.subscribe(Topic::Channel(b"news")), Ok(false));
    assert_eq!(subscriber.subscribe(Topic::Pattern(b"n*")), Ok(true));
    assert_eq!((subscriber.counts(), channels.counts()), ((1, 1), (1, 1)));
    assert_eq!(publish(&channels, b"weather", b"rain"), 0);
    assert_eq!(publish(&channels, b"news", b"one"), 2, "once for the channel, once for the pattern");
    assert_eq!(publish(&channels, b"night", b"two"), 1);
    assert!(subscriber.unsubscribe(Topic::Pattern(b"n*")));
    assert!(!subscriber.unsubscribe(Topic::Pattern(b"n*")));
    assert_eq!(publish(&channels, b"news", b"three"), 1);
    assert_eq!(next(&mut subscriber).await, Some((None, "one".into())));
    assert_eq!(next(&mut subscriber).await, Some((Some("n*".into()), "one".into())));
    assert_eq!(next(&mut subscriber).await, Some((Some("n*".into()), "two".into())));
    assert_eq!(next(&mut subscriber).await, Some((None, "three".into())));
}

#[test]
fn topics_without_subscribers_are_removed() {
    let channels = channels();
    let (one, other) = (new_subscriber(&channels), new_subscriber(&channels));
    for subscriber in [&one, &other] {
        subscriber.subscribe(Topic::Channel(b"news")).unwrap();
        subscriber.subscribe(Topic::Pattern(b"*")).unwrap();
    }
    one.subscribe(Topic::Channel(b"sport")).unwrap();
    assert_eq!((channels.subscriber_count(b"news"), channels.counts().1), (2, 1));
    assert_eq!(names(&channels, Some(b"s*")), [Box::from(*b"sport")]);
    drop(one);
    assert_eq!(names(&channels, None), [Box::from(*b"news")]);
    assert_eq!((channels.subscriber_count(b"news"), channels.subscriber_count(b"sport")), (1, 0));
    drop(other);
    assert!(names(&channels, None).is_empty() && channels.counts().1 == 0);
    assert!(channels.read().subscribers.is_empty());
}

#[tokio::test]
async fn a_subscriber_that_falls_behind_is_dropped_and_its_stream_ends() {
    let channels = channels();
    let mut subscriber = new_subscriber(&channels);
    subscriber.subscribe(Topic::Channel(b"news")).unwrap();
    let delivered = (0..2 * CHANNEL_MESSAGES).take_while(|_| publish(&channels, b"news", b"x") == 1).count();
    assert_eq!(delivered, CHANNEL_MESSAGES);
    assert_eq!((subscriber.counts(), channels.subscriber_count(b"news")), ((0, 0), 0));
    for _ in 0..delivered {
        assert!(next(&mut subscriber).await.is_some());
    }
    assert_eq!(next(&mut subscriber).await, None);
}

#[test]
fn queued_messages_are_bounded_in_bytes_and_so_are_subscriptions() {
    let channels = channels();
    let subscriber = new_subscriber(&channels);
    subscriber.subscribe(Topic::Channel(b"news")).unwrap();
    let megabyte = vec![b'x'; MIB];
    let delivered = (0..CHANNEL_MESSAGES).take_while(|_| publish(&channels, b"news", &megabyte) == 1).count();
    assert_eq!(delivered, 31);
    let subscriber = new_subscriber(&channels);
    let topics = (0..1_000_u32).map(|number| [&megabyte[..], &number.to_le_bytes()].concat());
    let taken = topics.take_while(|name| subscriber.subscribe(Topic::Channel(name)).is_ok()).count();
    assert_eq!(taken, TOPIC_NAME_BYTES / megabyte.len() - 1);
}

#[test]
fn the_patterns_of_a_subscriber_are_limited_and_a_new_one_counts_at_once() {
    let channels = channels();
    let subscriber = new_subscriber(&channels);
    assert_eq!(publish(&channels, b"news", b"none"), 0);
    for number in 0..SUBSCRIBED_PATTERNS {
        let pattern = format!("{number}*");
        assert_eq!(subscriber.subscribe(Topic::Pattern(pattern.as_bytes())), Ok(true));
        assert_eq!(
            publish(&channels, pattern.as_bytes(), b"one"),
            1 + number.checked_ilog10().unwrap_or(0) as usize
        );
    }
    assert_eq!(subscriber.subscribe(Topic::Pattern(b"x*")), Err(TooManyTopics));
    assert_eq!(subscriber.subscribe(Topic::Channel(b"x")), Ok(true));
    assert!(subscriber.unsubscribe(Topic::Pattern(b"7*")));
    assert_eq!(publish(&channels, b"7", b"two"), 0);
    assert_eq!(subscriber.subscribe(Topic::Pattern(b"x*")), Ok(true));
    drop(subscriber);
    // A thread of its own removes them.
    while channels.counts().1 > 0 {
        thread::yield_now();
    }
}

#[test]
fn channels_are_listed_in_pages() {
    let channels = channels();
    let subscriber = new_subscriber(&channels);
    let all: Vec<_> = (0..2 * PAGE_NAMES + 1).map(|number| format!("{number:05}").into_bytes()).collect();
    all.iter().for_each(|name| assert_eq!(subscriber.subscribe(Topic::Channel(name)), Ok(true)));
    for (matching, step) in [(None, 1), (Some(b"*5".as_slice()), 10)] {
        let (mut listed, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = channels.page(TopicKind::Channel, after.as_deref(), matching);
            assert!(page.names.len() <= PAGE_NAMES);
            listed.extend(page.names.into_iter().map(Vec::from));
            (after, pages) = (page.next, pages + 1);
            if after.is_none() {
                break;
            }
        }
        let wanted: Vec<_> = all.iter().skip(step / 2).step_by(step).cloned().collect();
        assert_eq!((listed, pages), (wanted, 3));
    }
    drop(subscriber);
    while channels.counts().0 > 0 {
        thread::yield_now();
    }
}
