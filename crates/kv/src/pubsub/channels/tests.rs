//! Who hears what.

use super::*;
use tokio_stream::StreamExt;

fn channels() -> Arc<Channels> {
    Arc::default()
}

async fn next(listener: &mut ChannelSubscriber) -> Option<(Option<String>, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let heard = listener.next().await?;
    Some((heard.pattern.as_deref().map(text), text(&heard.message.payload)))
}

#[tokio::test]
async fn a_listener_hears_its_channels_and_patterns_in_order_and_nothing_else() {
    let channels = channels();
    let mut listener = channels.listen();
    assert_eq!(listener.subscribe(Topic::Channel(b"news")), Ok(true));
    assert_eq!(listener.subscribe(Topic::Channel(b"news")), Ok(false));
    assert_eq!(listener.subscribe(Topic::Pattern(b"n*")), Ok(true));
    assert_eq!(listener.count(), 2);
    assert_eq!(channels.publish(b"weather", b"rain"), 0);
    assert_eq!(channels.publish(b"news", b"one"), 2, "once for the channel, once for the pattern");
    assert_eq!(channels.publish(b"night", b"two"), 1);
    assert!(listener.unsubscribe(Topic::Pattern(b"n*")));
    assert!(!listener.unsubscribe(Topic::Pattern(b"n*")));
    assert_eq!(channels.publish(b"news", b"three"), 1);
    assert_eq!(next(&mut listener).await, Some((None, "one".into())));
    assert_eq!(next(&mut listener).await, Some((Some("n*".into()), "one".into())));
    assert_eq!(next(&mut listener).await, Some((Some("n*".into()), "two".into())));
    assert_eq!(next(&mut listener).await, Some((None, "three".into())));
}

#[test]
fn what_nobody_listens_to_any_more_is_forgotten() {
    let channels = channels();
    let (one, other) = (channels.listen(), channels.listen());
    for listener in [&one, &other] {
        listener.subscribe(Topic::Channel(b"news")).unwrap();
        listener.subscribe(Topic::Pattern(b"*")).unwrap();
    }
    one.subscribe(Topic::Channel(b"sport")).unwrap();
    assert_eq!((channels.listeners(b"news"), channels.patterns().len()), (2, 1));
    assert_eq!(channels.names(Some(b"s*")), [Box::from(*b"sport")]);
    drop(one);
    assert_eq!(channels.names(None), [Box::from(*b"news")]);
    assert_eq!((channels.listeners(b"news"), channels.listeners(b"sport")), (1, 0));
    drop(other);
    assert!(channels.names(None).is_empty() && channels.patterns().is_empty());
    assert!(channels.read().members.is_empty());
}

#[tokio::test]
async fn a_listener_that_falls_behind_is_dropped_and_its_stream_ends() {
    let channels = channels();
    let mut listener = channels.listen();
    listener.subscribe(Topic::Channel(b"news")).unwrap();
    let heard = (0..2 * CHANNEL_MESSAGES).take_while(|_| channels.publish(b"news", b"x") == 1).count();
    assert_eq!(heard, CHANNEL_MESSAGES);
    assert_eq!((listener.count(), channels.listeners(b"news")), (0, 0));
    for _ in 0..heard {
        assert!(next(&mut listener).await.is_some());
    }
    assert_eq!(next(&mut listener).await, None);
}

#[test]
fn waiting_messages_are_bounded_in_bytes_and_so_are_subscriptions() {
    let channels = channels();
    let listener = channels.listen();
    listener.subscribe(Topic::Channel(b"news")).unwrap();
    let megabyte = vec![b'x'; 1024 * 1024];
    let heard = (0..CHANNEL_MESSAGES).take_while(|_| channels.publish(b"news", &megabyte) == 1).count();
    assert_eq!(heard, CHANNEL_BYTES / megabyte.len() - 1);
    let listener = channels.listen();
    let topics = (0..1_000_u32).map(|number| [&megabyte[..], &number.to_le_bytes()].concat());
    let taken = topics.take_while(|name| listener.subscribe(Topic::Channel(name)).is_ok()).count();
    assert_eq!(taken, TOPIC_NAME_BYTES / megabyte.len() - 1);
}
