//! Transactions on the node that owns their buckets.

use super::*;
use crate::limits::{COPY_BYTES, MESSAGE_BYTES, TRANSACTION_REQUESTS};
use kv::{FullName, TransactionLimits};
use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

fn put<'a>(bucket: &'a str, value: &'a [u8]) -> Request<'a> {
    Request::new(bucket.as_bytes(), Op::Put { key: b"milk", value })
}

fn get(bucket: &str) -> Request<'_> {
    Request::new(bucket.as_bytes(), Op::Get { key: b"milk" })
}

/// The result, and the replies in words.
async fn transact(
    node: &Node,
    watched: &[(FullName<'_>, u64)],
    requests: &[Request<'_>],
) -> (Result<bool, Error>, Vec<String>) {
    let mut replies = Vec::new();
    let take = |reply: Result<Reply<'_>, Error>| {
        replies.push(match reply {
            Ok(Reply::Value(value)) => String::from_utf8_lossy(value).into_owned(),
            Ok(Reply::OwnedValue(value)) => String::from_utf8_lossy(&Box::<[u8]>::from(value)).into_owned(),
            other => format!("{other:?}"),
        });
    };
    (soon(node.cluster.transact(watched, requests, take)).await, replies)
}

async fn watch(node: &Node, bucket: &str) -> u64 {
    let request = Request::new(bucket.as_bytes(), Op::Watch { watcher: Cluster::watcher(1) });
    let version = |reply: Reply<'_>| if let Reply::Number(number) = reply { number as u64 } else { 0 };
    soon(node.cluster.execute(request, version)).await.unwrap()
}

#[tokio::test]
async fn a_transaction_is_executed_by_the_owner_unless_a_watched_bucket_has_changed() {
    let (foo, bar) = pair().await;
    for bucket in ["apples", "shopping"] {
        foo.execute(bucket, Op::Create).await.unwrap();
        let version = watch(&foo, bucket).await;
        let requests = [put(bucket, b"1"), get(bucket)];
        let watched = [(FullName::new(bucket.as_bytes()), version)];
        let (done, replies) = transact(&foo, &watched, &requests).await;
        assert_eq!((done, replies), (Ok(true), vec!["Ok(Done)".into(), "1".into()]));
        let version = watch(&foo, bucket).await;
        bar.execute(bucket, Op::Put { key: b"milk", value: b"2" }).await.unwrap();
        let (done, replies) = transact(&foo, &[(FullName::new(bucket.as_bytes()), version)], &requests).await;
        assert_eq!((done, replies), (Ok(false), vec![]));
        assert_eq!(foo.execute(bucket, Op::Get { key: b"milk" }).await.unwrap(), "2");
    }
}

#[tokio::test]
async fn a_transaction_that_only_watches_returns_whether_anything_has_changed() {
    let (foo, _bar) = pair().await;
    assert_eq!(transact(&foo, &[], &[]).await.0, Ok(true));
    let version = watch(&foo, "shopping").await;
    assert_eq!(transact(&foo, &[(FullName::new(b"shopping"), version)], &[]).await.0, Ok(true));
    foo.execute("shopping", Op::Create).await.unwrap();
    assert_eq!(transact(&foo, &[(FullName::new(b"shopping"), version)], &[]).await.0, Ok(false));
}

#[tokio::test]
async fn buckets_of_several_nodes_are_refused_and_the_nodes_are_named() {
    let (foo, _bar) = pair().await;
    let (done, _) = transact(&foo, &[(FullName::new(b"apples"), 1)], &[get("shopping")]).await;
    let error = done.unwrap_err();
    let (one, other) = (name("foo").shared(), name("bar").shared());
    assert_eq!(error, Error::SeveralNodes { one, other });
    assert!(error.to_string().contains("foo@127.0.0.1 and bar@127.0.0.1"), "{error}");
    assert!(matches!(transact(&foo, &[], &[get("1abc")]).await.0, Err(Error::NoRoute { .. })));
}

#[tokio::test]
async fn a_transaction_that_exceeds_the_link_limit_is_not_executed() {
    let (foo, bar) = pair().await;
    let limits = TransactionLimits { entries: TRANSACTION_REQUESTS, bytes: MESSAGE_BYTES };
    bar.cluster.local().set_transaction_limits(limits);
    foo.execute("shopping", Op::Create).await.unwrap();
    // The kernel provides zeroed pages when they are first read, and nothing reads these.
    let huge = vec![0; MESSAGE_BYTES];
    for requests in [vec![put("shopping", &huge)], vec![get("shopping"); TRANSACTION_REQUESTS + 1]] {
        let (done, _) = transact(&foo, &[], &requests).await;
        assert!(matches!(done, Err(Error::TransactionTooLarge { .. })), "{done:?}");
    }
    assert_eq!(foo.execute("shopping", Op::Get { key: b"milk" }).await.unwrap(), "NoKey");
    let most = vec![get("shopping"); TRANSACTION_REQUESTS];
    assert_eq!(transact(&foo, &[], &most).await.1.len(), TRANSACTION_REQUESTS);
}

#[tokio::test]
async fn a_transaction_and_its_replies_may_exceed_a_frame() {
    let (foo, bar) = pair().await;
    let most = TransactionLimits { entries: TRANSACTION_REQUESTS, bytes: MESSAGE_BYTES };
    bar.cluster.local().set_transaction_limits(most);
    foo.execute("shopping", Op::Create).await.unwrap();
    let values: Vec<_> = (b'a'..=b't').map(|letter| vec![letter; 1024 * 1024]).collect();
    let requests: Vec<_> =
        values.iter().flat_map(|value| [put("shopping", value), get("shopping")]).collect();
    let (done, replies) = transact(&foo, &[], &requests).await;
    assert_eq!(done, Ok(true));
    let got = replies.chunks(2).map(|replies| replies[1].as_bytes());
    assert!(got.eq(values.iter().map(Vec::as_slice)));
}

#[tokio::test]
async fn a_reply_that_exceeds_the_link_limit_is_an_error_and_the_others_arrive() {
    let foo = Node::start(foo_settings()).await;
    let mut bar = FakeBar::link_to(&foo).await;
    assert!(foo.cluster.connect(&name("bar")).await);
    let reply = async {
        bar.receive().await;
        let replies = [ForwardedReply::TooLarge, ForwardedReply::Reply(Reply::Value(b"1"))];
        bar.send(Message::Transacted { id: 0, result: TransactionResult::Executed }, &replies).await;
    };
    let requests = [get("shopping"); 2];
    let ((done, replies), ()) = tokio::join!(transact(&foo, &[], &requests), reply);
    assert_eq!((done, &*replies[1]), (Ok(true), "1"));
    assert!(replies[0].contains("ReplyTooLarge"), "{replies:?}");
}

#[tokio::test]
async fn a_transaction_whose_link_is_cut_has_an_unknown_outcome() {
    let foo = Node::start(foo_settings()).await;
    for (request, unknown) in [(put("shopping", b"1"), true), (get("shopping"), false)] {
        let mut bar = FakeBar::link_to(&foo).await;
        assert!(foo.cluster.connect(&name("bar")).await);
        let down = foo.peer_goes_down();
        let cut = async {
            bar.receive().await;
            drop(bar);
        };
        let requests = [request];
        let (result, (), _) = tokio::join!(transact(&foo, &[], &requests), cut, down);
        assert_eq!(matches!(result.0, Err(Error::LinkLost { .. })), unknown, "{result:?}");
    }
}

#[tokio::test]
async fn a_result_that_does_not_fit_ends_the_link() {
    let foo = Node::start(foo_settings()).await;
    let mut bar = FakeBar::link_to(&foo).await;
    assert!(foo.cluster.connect(&name("bar")).await);
    let lie = async {
        bar.receive().await;
        bar.send::<()>(Message::Transacted { id: 0, result: TransactionResult::Executed }, &[]).await;
        bar.wait_closed().await;
    };
    let requests = [put("shopping", b"1")];
    let (result, ()) = tokio::join!(transact(&foo, &[], &requests), lie);
    assert!(matches!(result.0, Err(Error::LinkLost { .. })), "{result:?}");
}

#[tokio::test]
async fn watches_of_a_peer_end_with_unwatch_and_with_its_link() {
    let (foo, bar) = pair().await;
    let held = || bar.cluster.local().stats().bytes;
    let before = held();
    let version = watch(&foo, "shopping").await;
    assert!(held() > before);
    // An unwatch of another connection changes nothing.
    for (connection, is_watched) in [(2, true), (1, false)] {
        foo.cluster.unwatch(Cluster::watcher(connection), [FullName::new(b"shopping")]);
        let (done, _) = transact(&foo, &[(FullName::new(b"shopping"), version)], &[]).await;
        assert_eq!((done, held() > before), (Ok(is_watched), is_watched));
    }
    watch(&foo, "shopping").await;
    watch(&bar, "shopping").await;
    let down = bar.peer_goes_down();
    let Node { cluster: _cluster, supervisor } = foo;
    let ((), _) = tokio::join!(async { drop(supervisor) }, down);
    assert!(held() > before, "bar watches too");
    bar.cluster.unwatch(Cluster::watcher(1), [FullName::new(b"shopping")]);
    assert_eq!(held(), before);
}

#[tokio::test]
async fn others_go_on_while_the_values_of_a_large_transaction_are_copied() {
    let (foo, _bar) = pair().await;
    foo.execute("apples", Op::Create).await.unwrap();
    let value = vec![b'x'; 3 * COPY_BYTES];
    let requests = [put("apples", &value), get("apples"), put("apples", b"1"), put("apples", &value)];
    let mut replies = 0;
    let mut transacting = pin!(foo.cluster.transact(&[], &requests, |_| replies += 1));
    let mut context = Context::from_waker(Waker::noop());
    let mut steps = 0;
    let executed = loop {
        if let Poll::Ready(executed) = transacting.as_mut().poll(&mut context) {
            break executed;
        }
        assert_eq!(foo.execute("apples", Op::Get { key: b"milk" }).await, Ok("NoKey".into()));
        steps += 1;
    };
    assert_eq!((executed, steps), (Ok(true), 2 * 4));
    let (_, read) = transact(&foo, &[], &[get("apples")]).await;
    assert!(read[0].as_bytes() == value);
}
