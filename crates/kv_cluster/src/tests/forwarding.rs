//! Requests that another node executes.

use super::*;
use crate::{
    error::{RangeFailure, RangeFailureKind},
    limits::{CALL_REQUESTS, MESSAGE_BYTES, STEP_REQUESTS},
};
use tempfile::TempDir;
use tokio::task::JoinSet;

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_request_is_executed_by_the_owner_of_its_bucket_whichever_node_it_reaches() {
    let (foo, bar) = pair().await;
    for bucket in ["apples", "shopping"] {
        foo.execute(bucket, Op::Create).await.unwrap();
        bar.execute(bucket, Op::Put { key: b"eggs", value: b"3" }).await.unwrap();
        assert_eq!(foo.execute(bucket, Op::Get { key: b"eggs" }).await.unwrap(), "3");
        assert_eq!(bar.execute(bucket, Op::Get { key: b"milk" }).await.unwrap(), "NoKey");
    }
    assert_eq!(foo.own_buckets(), ["apples"]);
    assert_eq!(bar.own_buckets(), ["shopping"]);
}

#[tokio::test]
async fn a_bucket_without_a_route_is_an_error_that_names_it() {
    let (foo, _bar) = pair().await;
    let error = foo.execute("1abc", Op::Create).await.unwrap_err();
    assert_eq!(error.to_string(), "no route for bucket \"1abc\"");
}

#[tokio::test]
async fn what_is_in_the_way_of_one_request_is_found_before_any_is_executed() {
    let (foo, bar) = pair().await;
    let huge = bulk(&vec![0; MESSAGE_BYTES]);
    let ahead = |buckets: &[&'static [u8]]| {
        foo.cluster.look_ahead(buckets.iter().map(|bucket| Request::new(bucket, Op::Create)))
    };
    assert_eq!(ahead(&[b"apples", b"shopping"]), Ok(()));
    assert_eq!(ahead(&[b"apples", b"1abc"]), Err(Error::no_route(b"1abc")));
    let too_large = foo.cluster.look_ahead([command(b"salt", "set", b""), command(b"sugar", "set", &huge)]);
    assert!(matches!(too_large, Err(Error::TooLarge { .. })), "{too_large:?}");
    tokio::join!(bar.supervisor.stop(), foo.peer_goes_down());
    assert!(matches!(ahead(&[b"apples", b"shopping"]), Err(Error::NodeDown { .. })));
}

#[tokio::test]
async fn replies_arrive_in_the_order_of_the_requests() {
    let (foo, bar) = pair().await;
    bar.execute("shopping", Op::Create).await.unwrap();
    let keys: Vec<String> = (0..STEP_REQUESTS).map(|n| n.to_string()).collect();
    let puts: Vec<_> = keys
        .iter()
        .map(|key| Op::Put { key: key.as_bytes(), value: key.as_bytes() })
        .map(|op| Request::new(b"shopping", op))
        .collect();
    let call = foo.peer().call(&puts).unwrap();
    assert_eq!(call.request_count(), puts.len());
    call.await.unwrap();
    let gets: Vec<_> =
        keys.iter().map(|key| Request::new(b"shopping", Op::Get { key: key.as_bytes() })).collect();
    let mut replies = foo.peer().call(&gets).unwrap().await.unwrap();
    for key in keys {
        assert_eq!(replies.next(), Some(ForwardedReply::Reply(Reply::Value(key.as_bytes()))));
    }
    assert!(replies.is_empty());
}

#[tokio::test]
async fn a_call_and_a_frame_of_replies_take_only_what_fits() {
    let (foo, bar) = pair().await;
    bar.execute("shopping", Op::Create).await.unwrap();
    let value = vec![b'x'; MIB];
    let put = Request::new(b"shopping", Op::Put { key: b"milk", value: &value });
    let call = foo.peer().call(&[put; 64]).unwrap();
    assert!((1..64).contains(&call.request_count()), "{}", call.request_count());
    let sent = call.request_count();
    assert_eq!(call.await.unwrap().len(), sent);
    let get = Request::new(b"shopping", Op::Get { key: b"milk" });
    let call = foo.peer().call(&[get; 64]).unwrap();
    assert_eq!(call.request_count(), 64);
    let replies = call.await.unwrap().len();
    assert!((1..64).contains(&replies), "{replies}");
}

/// The peer syncs once for each call.
#[tokio::test]
async fn what_waits_together_for_a_durable_peer_is_few_calls() {
    const REQUESTS: usize = 10_000;
    let directory = TempDir::new().unwrap();
    let foo = Node::start(foo_settings()).await;
    let data_dir = Some(directory.path().into());
    let bar = Node::start(Settings { data_dir, ..bar_settings(foo.address()) }).await;
    assert!(foo.cluster.connect(&name("bar")).await);
    let range = &bar.cluster.local().ranges()[0];
    soon(range.wait_until_loaded()).await;
    let keys: Vec<String> = (0..REQUESTS).map(|number| number.to_string()).collect();
    let puts = keys.iter().map(|key| Op::Put { key: key.as_bytes(), value: b"1" });
    let mut requests = vec![Request::new(b"shopping", Op::Create)];
    requests.extend(puts.map(|op| Request::new(b"shopping", op)));
    let before = range.status().applied;
    let mut batches = foo.cluster.forward(&requests);
    for request in &requests {
        assert!(matches!(soon(batches[0].resolve_next()).await, Ok(Reply::Done)), "{request:?}");
    }
    let entries = range.status().applied - before;
    assert_eq!(entries, requests.len().div_ceil(CALL_REQUESTS) as u64);
}

#[tokio::test]
async fn a_range_of_a_peer_that_fails_leaves_writes_alone_unknown() {
    let foo = Node::start(foo_settings()).await;
    let mut bar = FakeBar::link_to(&foo).await;
    let ops = [Op::Get { key: b"milk" }, Op::Delete { key: b"milk" }];
    let mut batches = foo.cluster.forward(&ops.map(|op| Request::new(b"shopping", op)));
    let frame = bar.receive().await;
    assert_eq!(codec::decode_frame(&frame).unwrap().0, Message::Call { id: 0 });
    let failed = || {
        let message = "outcome unknown";
        ForwardedReply::Failed(RangeFailure::new(RangeFailureKind::Unknown, message))
    };
    bar.send(Message::Replies { id: 0 }, &[failed(), failed()]).await;
    for (kind, message) in [
        (RangeFailureKind::Behind, "the range failed before the reply; retry (node bar@127.0.0.1)"),
        (RangeFailureKind::Unknown, "outcome unknown (node bar@127.0.0.1)"),
    ] {
        let error = soon(batches[0].resolve_next()).await.unwrap_err();
        assert_eq!(error, Error::Range(RangeFailure::new(kind, message)));
    }
}

#[tokio::test]
async fn what_exceeds_a_message_is_refused_and_the_link_stays_up() {
    let (foo, bar) = pair().await;
    bar.execute("shopping", Op::Create).await.unwrap();
    // The kernel provides zeroed pages when they are first read, and nothing reads these.
    let huge = vec![0; MESSAGE_BYTES];
    let error = foo.execute("shopping", Op::Put { key: b"milk", value: &huge }).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    assert_eq!(foo.execute("shopping", Op::Get { key: b"eggs" }).await.unwrap(), "NoKey");
}

fn command<'a>(bucket: &'a [u8], name: &str, args: &'a [u8]) -> Request<'a> {
    let command = kv::Command::find(&name.to_lowercase()).unwrap();
    Request::new(bucket, Op::Command { command, args: kv::Args::new(args) })
}

fn bulk(argument: &[u8]) -> Vec<u8> {
    let mut bulks = Vec::new();
    kv::args::push(&mut bulks, argument);
    bulks
}

/// Forwards the requests from `node`. Returns the length of each value.
async fn lengths(node: &Node, requests: &[Request<'_>]) -> Vec<Result<usize, Error>> {
    let mut batch = node.cluster.forward_to(Target::Peer(node.peer()), requests);
    let mut lengths = Vec::new();
    let length = |reply: Reply<'_>| match reply {
        Reply::Value(value) => value.len(),
        Reply::OwnedValue(kv::OwnedValue::Bytes(value)) => value.len(),
        _ => 0,
    };
    for _ in requests {
        let reply = soon(batch.resolve_next()).await;
        lengths.push(reply.map(length));
    }
    lengths
}

#[tokio::test]
async fn a_write_with_a_long_reply_is_executed_once_and_its_reply_arrives() {
    let (foo, _bar) = pair().await;
    let (short, long) = (MIB / 5, FRAME_BYTES - 1_000);
    let (some, much) = (bulk(&vec![b'x'; short]), bulk(&vec![b'x'; long]));
    let sets = [command(b"salt", "set", &some), command(b"sugar", "set", &much)];
    assert_eq!(lengths(&foo, &sets).await, [Ok(0), Ok(0)]);
    let takes = [command(b"salt", "get", b""), command(b"sugar", "getdel", b"")];
    assert_eq!(lengths(&foo, &takes).await, [Ok(short), Ok(long)]);
}

#[tokio::test]
async fn what_exceeds_a_frame_crosses_in_fragments_among_other_requests() {
    let (foo, _bar) = pair().await;
    let long = 3 * FRAME_BYTES;
    let (some, much) = (bulk(b"some"), bulk(&vec![b'x'; long]));
    let (set, set_much) = (command(b"salt", "set", &some), command(b"sugar", "set", &much));
    assert_eq!(lengths(&foo, &[set, set_much, set, set_much]).await, vec![Ok(0); 4]);
    let (get, get_much) = (command(b"salt", "get", b""), command(b"sugar", "get", b""));
    let take_much = command(b"sugar", "getdel", b"");
    let requests = [get, get_much, get_much, get, take_much, get_much, get];
    assert_eq!(
        lengths(&foo, &requests).await,
        [4, long, long, 4, long, 0, 4].map(Ok),
        "GETDEL is executed once"
    );
}

#[tokio::test]
async fn small_requests_do_not_wait_for_a_large_one() {
    let foo = Node::start(foo_settings()).await;
    let mut bar = FakeBar::link_to(&foo).await;
    assert!(foo.cluster.connect(&name("bar")).await);
    let value = vec![b'x'; 4 * FRAME_BYTES];
    let large = foo.execute("sugar", Op::Put { key: b"milk", value: &value });
    let serve = async {
        let first = bar.receive().await;
        assert!(matches!(codec::decode_frame(&first).unwrap().0, Message::Fragment { .. }));
        let small = foo.execute("salt", Op::Create);
        let reply = async {
            loop {
                let frame = bar.receive().await;
                match codec::decode_frame(&frame).unwrap().0 {
                    Message::Fragment { remaining, .. } => {
                        assert!(remaining > 0, "the large request arrived first");
                    }
                    Message::Call { id } => {
                        let done = [ForwardedReply::Reply(Reply::Done)];
                        return bar.send(Message::Replies { id }, &done).await;
                    }
                    other => panic!("{other:?}"),
                }
            }
        };
        assert_eq!(tokio::join!(small, reply).0.unwrap(), "Done");
        drop(bar);
    };
    let (result, ()) = tokio::join!(large, serve);
    assert_eq!(result.unwrap_err(), Error::LinkLost { node: name("bar").shared() });
}

#[tokio::test]
async fn a_reply_of_a_million_values_arrives() {
    let (foo, bar) = pair().await;
    bar.execute("shopping", Op::Create).await.unwrap();
    bar.execute("shopping", Op::Put { key: b"milk", value: b"1234567" }).await.unwrap();
    let fields = bulk(b"milk").repeat(1_000_000);
    let request = command(b"shopping", "hmget", &fields);
    let count = |reply: Reply<'_>| if let Reply::List(items) = reply { items.len() } else { 0 };
    assert_eq!(soon(foo.cluster.execute(request, count)).await, Ok(1_000_000));
}

#[tokio::test]
async fn a_request_that_reaches_the_wrong_node_is_refused_and_takes_no_second_hop() {
    let foo = Node::start(foo_settings()).await;
    let mut bar = FakeBar::link_to(&foo).await;
    let create = |bucket| Request::new(bucket, Op::Create);
    bar.send(Message::Call { id: 1 }, &[create(b"shopping"), create(b"apples")]).await;
    let frame = bar.receive().await;
    let (message, items) = codec::decode_frame(&frame).unwrap();
    assert_eq!(message, Message::Replies { id: 1 });
    let mut replies = CallReplies::decode(items).unwrap();
    assert_eq!(replies.next(), Some(ForwardedReply::NotOwner));
    assert_eq!(replies.next(), Some(ForwardedReply::Reply(Reply::Done)));
    let message = Message::Transact { id: 2, watched: Vec::new() };
    bar.send(message, &[create(b"bananas"), create(b"shopping")]).await;
    let frame = bar.receive().await;
    let refused = Message::Transacted { id: 2, result: TransactionResult::NotOwner };
    assert_eq!(codec::decode_frame(&frame).unwrap().0, refused);
    assert_eq!(foo.own_buckets(), ["apples"], "nothing of the transaction was done");
    let refuse = async {
        bar.receive().await;
        bar.send(Message::Replies { id: 0 }, &[ForwardedReply::NotOwner]).await;
    };
    let (refused, ()) = tokio::join!(foo.execute("shopping", Op::Create), refuse);
    assert_eq!(refused, Err(Error::NotOwner { node: name("bar").shared() }));
}

#[tokio::test]
async fn two_nodes_that_flood_each_other_both_get_their_replies() {
    let (foo, bar) = pair().await;
    let value = vec![b'x'; MIB];
    for bucket in ["apples", "shopping"] {
        foo.execute(bucket, Op::Create).await.unwrap();
        foo.execute(bucket, Op::Put { key: b"milk", value: &value }).await.unwrap();
    }
    let mut requests = JoinSet::new();
    for (node, bucket) in [(&foo, "shopping"), (&bar, "apples")] {
        for _ in 0..100 {
            let (cluster, op) = (node.cluster.clone(), Op::Get { key: b"milk" });
            let request = Request::new(bucket.as_bytes(), op);
            let bytes = |reply: Reply<'_>| if let Reply::Value(value) = reply { value.len() } else { 0 };
            requests.spawn(async move { cluster.execute(request, bytes).await });
        }
    }
    let replies = soon(requests.join_all()).await;
    assert!(replies.iter().all(|reply| *reply == Ok(MIB)), "{replies:?}");
}

#[tokio::test]
async fn the_names_of_all_buckets_come_page_by_page_and_a_missing_node_is_named() {
    let (foo, bar) = pair().await;
    for bucket in ["apples", "bread", "shopping"] {
        foo.execute(bucket, Op::Create).await.unwrap();
    }
    assert_eq!(all_names(&foo).await, Ok(vec!["apples".into(), "bread".into(), "shopping".into()]));
    let went_down = foo.peer_goes_down();
    tokio::join!(bar.supervisor.stop(), went_down);
    let down = all_names(&foo).await.unwrap_err();
    assert!(down.to_string().starts_with("node bar@127.0.0.1 is down"), "{down}");
}

async fn all_names(node: &Node) -> Result<Vec<String>, Error> {
    let (mut names, mut buckets) = (Vec::new(), node.cluster.buckets());
    while let Some(page) = soon(buckets.next()).await {
        names.extend(page?.iter().map(|name| String::from_utf8_lossy(name).into_owned()));
    }
    names.sort();
    Ok(names)
}
