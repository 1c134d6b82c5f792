//! Bytes that no honest node sends end their own link and nothing else.

use super::*;
use crate::{
    limits::{CALL_REQUESTS, LINK_VERSION},
    link::codec::{Answer, Verdict},
};
use proptest::prelude::*;

/// What a stranger hears back, until the connection is closed.
async fn answer_to(foo: &Node, bytes: &[u8]) -> Vec<u8> {
    let mut stranger = TcpStream::connect(foo.address()).await.unwrap();
    stranger.write_all(bytes).await.unwrap();
    stranger.shutdown().await.unwrap();
    let mut heard = Vec::new();
    // A reset is an answer too.
    let _ = soon(stranger.read_to_end(&mut heard)).await;
    heard
}

#[tokio::test]
async fn strangers_get_no_link_and_the_node_goes_on() {
    let foo = Node::start(foo_settings()).await;
    for length in 0..100 {
        let mut noise = vec![0; length];
        getrandom::fill(&mut noise).unwrap();
        answer_to(&foo, &noise).await;
        answer_to(&foo, &[&[LINK_VERSION, 40, 0], &*noise].concat()).await;
    }
    assert!(!foo.cluster.nodes()[0].up);
    let _bar = Node::start(bar_settings(foo.address())).await;
    assert!(soon(foo.cluster.connect(&name("bar"))).await);
}

#[tokio::test]
async fn another_version_is_refused_with_ours_named() {
    let foo = Node::start(foo_settings()).await;
    let heard = answer_to(&foo, &[LINK_VERSION + 1, 0, 0]).await;
    assert_eq!(heard.first(), Some(&LINK_VERSION));
}

#[tokio::test]
async fn a_node_that_is_unknown_or_mistaken_gets_no_link() {
    let foo = Node::start(foo_settings()).await;
    let cookie = Cookie::new("weknoweachother");
    for (me, peer, reason) in [("baz", "foo", "not in the other's"), ("bar", "baz", "another name")] {
        let mut stream = TcpStream::connect(foo.address()).await.unwrap();
        let (me, peer) = (name(me), name(peer));
        let dialled = handshake::dial(&mut stream, &me, &peer, &cookie);
        let error = soon(dialled).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn a_linked_peer_that_sends_nonsense_loses_its_link_alone() {
    let foo = Node::start(foo_settings()).await;
    let bytes: [&[u8]; 5] = [
        &[0, 0, 0, 0],                 // an empty frame
        &[255, 255, 255, 255, 0],      // one of 4 GiB
        &[2, 0, 0, 0, 99, 0],          // no such message
        &[2, 0, 0, 0, 0, 0],           // bytes after a heartbeat
        &[4, 0, 0, 0, 1, 0, 251, 255], // a call that breaks off
    ];
    for bytes in bytes {
        let mut bar = FakeBar::link_to(&foo).await;
        bar.stream.write_all(bytes).await.unwrap();
        bar.hear_the_end().await;
    }
    let nobody_asked = [Message::Answers { id: 0 }, Message::Transacted { id: 3, verdict: Verdict::Done }];
    for message in nobody_asked {
        let mut bar = FakeBar::link_to(&foo).await;
        bar.say(message, &[Answer::NotOwner]).await;
        bar.hear_the_end().await;
    }
    let mut heartbeat_in_a_part = Vec::new();
    crate::link::codec::encode(&mut heartbeat_in_a_part, &Message::Part { left: 0, bytes: &[0] });
    for (left, bytes) in [(u32::MAX, &b"too large"[..]), (9, b""), (0, &heartbeat_in_a_part)] {
        let mut bar = FakeBar::link_to(&foo).await;
        bar.say::<()>(Message::Part { left, bytes }, &[]).await;
        bar.hear_the_end().await;
    }
    let mut bar = FakeBar::link_to(&foo).await;
    let change = std::borrow::Cow::Owned(kv::Change::Deleted { key: (*b"milk").into() });
    bar.say::<()>(Message::Changed { subscription: 9, change }, &[]).await;
    bar.say::<()>(Message::Unsubscribe { subscription: 9 }, &[]).await;
    bar.say(Message::Call { id: 1 }, &[Request { bucket: b"apples", op: Op::Create }]).await;
    bar.hear().await;
    assert_eq!(foo.own_buckets(), ["apples"], "changes that nobody waits for do no harm");
}

#[test]
fn no_bytes_make_the_decoder_panic_or_loop() {
    proptest!(|(bytes in prop::collection::vec(any::<u8>(), 0..256))| {
        if let Ok((_, items)) = crate::link::codec::read(&bytes) {
            let _ = crate::link::codec::requests(items, CALL_REQUESTS);
            let _ = crate::link::replies::Replies::read(items);
        }
    });
}

#[test]
fn a_call_holds_no_more_requests_than_allowed() {
    let request = Request { bucket: b"", op: Op::Create };
    let mut items = Vec::new();
    (0..CALL_REQUESTS).for_each(|_| crate::link::codec::encode(&mut items, &request));
    assert!(crate::link::codec::requests(&items, CALL_REQUESTS).is_ok());
    crate::link::codec::encode(&mut items, &request);
    assert!(crate::link::codec::requests(&items, CALL_REQUESTS).is_err());
}

#[test]
fn lists_within_lists_do_not_exhaust_the_stack() {
    let (list, mut items) = (Reply::List(vec![Reply::List(vec![])]), Vec::new());
    crate::link::codec::encode(&mut items, &Answer::Reply(list));
    let one_deeper = items[1..3].to_vec();
    items.splice(1..1, one_deeper.repeat(1_000_000));
    assert!(crate::link::replies::Replies::read(&items).is_err());
    let mut honest = Vec::new();
    (0..2).for_each(|_| {
        crate::link::codec::encode(&mut honest, &Answer::Reply(Reply::List(vec![Reply::Done])))
    });
    assert_eq!(
        crate::link::replies::Replies::read(&honest).unwrap().len(),
        2,
        "what was refused leaves no trace"
    );
}
