//! Subscriptions to buckets of another node.

use super::*;
use kv::{Change, EndReason, Subscription};
use tokio_stream::StreamExt;

async fn next(changes: &mut Subscription) -> Option<Change> {
    soon(changes.next()).await.map(|event| event.change.clone())
}

#[tokio::test]
async fn changes_arrive_from_the_other_node_until_the_bucket_is_dropped() {
    let (foo, bar) = pair().await;
    assert!(
        soon(foo.cluster.subscribe(b"shopping", &backlog())).await.unwrap().is_none(),
        "there is no such bucket"
    );
    bar.execute("shopping", Op::Create).await.unwrap();
    let mut changes = soon(foo.cluster.subscribe(b"shopping", &backlog())).await.unwrap().unwrap();
    bar.execute("shopping", Op::Put { key: b"milk", value: b"1" }).await.unwrap();
    bar.execute("shopping", Op::Delete { key: b"milk" }).await.unwrap();
    bar.execute("shopping", Op::Drop).await.unwrap();
    let (key, value) = (|| b"milk".as_slice().into(), b"1".as_slice().into());
    assert_eq!(next(&mut changes).await, Some(Change::Set { key: key(), value }));
    assert_eq!(next(&mut changes).await, Some(Change::Deleted { key: key() }));
    assert_eq!(next(&mut changes).await, Some(Change::Ended(EndReason::Dropped)));
    assert_eq!(next(&mut changes).await, None);
}

#[tokio::test]
async fn a_subscription_ends_when_its_node_goes_down() {
    let (foo, bar) = pair().await;
    bar.execute("shopping", Op::Create).await.unwrap();
    let mut changes = soon(foo.cluster.subscribe(b"shopping", &backlog())).await.unwrap().unwrap();
    bar.supervisor.stop().await;
    assert_eq!(next(&mut changes).await, Some(Change::Ended(EndReason::NodeDown)));
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_dropped_and_the_writer_goes_on() {
    let (foo, bar) = pair().await;
    bar.execute("shopping", Op::Create).await.unwrap();
    let mut changes = soon(foo.cluster.subscribe(b"shopping", &backlog())).await.unwrap().unwrap();
    for n in 0..20_000 {
        let value = n.to_string();
        foo.execute("shopping", Op::Put { key: b"milk", value: value.as_bytes() }).await.unwrap();
    }
    let mut last = None;
    while let Some(change) = next(&mut changes).await {
        last = Some(change);
    }
    assert_eq!(last, Some(Change::Ended(EndReason::FellBehind)));
}

#[tokio::test]
async fn a_subscriber_that_is_dropped_is_unsubscribed_from_the_other_node() {
    let links = heartbeat(50, 100);
    let foo = Node::start(Settings { links, ..foo_settings() }).await;
    let mut bar = FakeBar::link_to(&foo).await;
    assert!(foo.cluster.connect(&name("bar")).await);
    let reply = async {
        let frame = bar.receive().await;
        let (Message::Subscribe { id, subscription, bucket }, _) = codec::decode_frame(&frame).unwrap()
        else {
            panic!()
        };
        assert_eq!(bucket, b"shopping");
        bar.send::<()>(Message::Subscribed { id, result: SubscribeResult::Subscribed }, &[]).await;
        subscription
    };
    let backlog = backlog();
    let (changes, subscription) = tokio::join!(foo.cluster.subscribe(b"shopping", &backlog), reply);
    drop(changes.unwrap().unwrap());
    let frame = bar.receive().await;
    assert_eq!(codec::decode_frame(&frame).unwrap().0, Message::Unsubscribe { subscription });
}
