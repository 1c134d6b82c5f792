//! Messages to subscribers on all nodes.

use super::*;
use kv::{ChannelSubscriber, Topic};
use tokio_stream::StreamExt;

async fn next(subscriber: &mut ChannelSubscriber) -> String {
    let delivery = soon(subscriber.next()).await.unwrap();
    let pattern = delivery.pattern.map(|pattern| format!("{}: ", String::from_utf8_lossy(&pattern)));
    pattern.unwrap_or_default() + &String::from_utf8_lossy(&delivery.message.payload)
}

async fn publish(node: &Node, channel: &str, payload: &str) -> u64 {
    soon(node.cluster.publish(channel.as_bytes(), payload.as_bytes())).await.unwrap()
}

#[tokio::test]
async fn a_message_is_received_on_every_node_by_channel_and_by_pattern() {
    let (foo, bar) = pair().await;
    let (mut here, mut there) = (foo.cluster.subscriber(&backlog()), bar.cluster.subscriber(&backlog()));
    here.subscribe(Topic::Channel(b"news")).unwrap();
    there.subscribe(Topic::Channel(b"news")).unwrap();
    there.subscribe(Topic::Pattern(b"n?ws")).unwrap();
    assert_eq!(publish(&foo, "weather", "rain").await, 0);
    assert_eq!(publish(&foo, "news", "one").await, 3);
    assert_eq!(publish(&bar, "news", "two").await, 3);
    assert_eq!((next(&mut here).await, next(&mut here).await), ("one".into(), "two".into()));
    let mut received = Vec::new();
    for _ in 0..4 {
        received.push(next(&mut there).await);
    }
    assert_eq!(received, ["one", "n?ws: one", "two", "n?ws: two"]);
}

#[tokio::test]
async fn messages_that_are_sent_together_arrive_in_order() {
    let (foo, bar) = pair().await;
    let mut subscriber = bar.cluster.subscriber(&backlog());
    subscriber.subscribe(Topic::Channel(b"news")).unwrap();
    let sent: Vec<_> =
        (0..1_000).map(|number: u32| foo.cluster.publish(b"news", number.to_string().as_bytes())).collect();
    for (number, receivers) in sent.into_iter().enumerate() {
        assert_eq!(next(&mut subscriber).await, number.to_string());
        assert_eq!(soon(receivers).await, Ok(1));
    }
}

#[tokio::test]
async fn subscribers_are_counted_on_all_nodes_that_are_up() {
    let (foo, bar) = pair().await;
    let (here, there) = (foo.cluster.subscriber(&backlog()), bar.cluster.subscriber(&backlog()));
    for subscriber in [&here, &there] {
        subscriber.subscribe(Topic::Channel(b"news")).unwrap();
        subscriber.subscribe(Topic::Pattern(b"n*")).unwrap();
    }
    there.subscribe(Topic::Channel(b"sport")).unwrap();
    let all = [Box::from(*b"news"), Box::from(*b"sport")];
    assert!(soon(foo.cluster.channels(None)).await.unwrap().iter().eq(&all));
    assert!(soon(foo.cluster.channels(Some(b"s*"))).await.unwrap().iter().eq(&all[1..]));
    assert_eq!(soon(foo.cluster.subscriber_counts(&[b"sport", b"news", b"x"])).await, Ok(vec![1, 2, 0]));
    assert_eq!(soon(foo.cluster.pattern_count()).await, Ok(1));
    tokio::join!(bar.supervisor.stop(), foo.peer_goes_down());
    assert_eq!(soon(foo.cluster.subscriber_counts(&[b"sport", b"news"])).await, Ok(vec![0, 1]));
    assert_eq!(publish(&foo, "news", "alone").await, 2);
}

#[tokio::test]
async fn a_message_that_exceeds_the_link_limit_is_published_nowhere() {
    let (foo, _bar) = pair().await;
    let mut subscriber = foo.cluster.subscriber(&backlog());
    subscriber.subscribe(Topic::Channel(b"news")).unwrap();
    let huge = vec![b'x'; FRAME_BYTES];
    let error = soon(foo.cluster.publish(b"news", &huge)).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    assert_eq!(publish(&foo, "news", "small").await, 1);
    assert_eq!(next(&mut subscriber).await, "small");
}
