//! Bytes that violate the protocol close their own link and affect nothing else.

use super::*;
use crate::{
    limits::{CALL_REQUESTS, LINK_VERSION},
    link::codec::{FrameHeader, HEADER_BYTES},
};
use proptest::prelude::*;

/// Sends bytes to the link port. Returns what comes back until the socket is closed.
async fn response_to(foo: &Node, bytes: &[u8]) -> Vec<u8> {
    let mut client = TcpStream::connect(foo.address()).await.unwrap();
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let mut response = Vec::new();
    // A reset is a response too.
    let _ = soon(client.read_to_end(&mut response)).await;
    response
}

#[tokio::test]
async fn random_bytes_get_no_link_and_the_node_stays_up() {
    let foo = Node::start(foo_settings()).await;
    for length in 0..100 {
        let mut noise = vec![0; length];
        getrandom::fill(&mut noise).unwrap();
        response_to(&foo, &noise).await;
        response_to(&foo, &[&[LINK_VERSION], &*frame(&noise)].concat()).await;
    }
    assert!(!foo.cluster.nodes()[0].up);
    let _bar = Node::start(bar_settings(foo.address())).await;
    assert!(soon(foo.cluster.connect(&name("bar"))).await);
}

#[tokio::test]
async fn another_version_is_refused_with_this_one_named() {
    let foo = Node::start(foo_settings()).await;
    let response = response_to(&foo, &[LINK_VERSION + 1, 0, 0]).await;
    assert_eq!(response.first(), Some(&LINK_VERSION));
}

#[tokio::test]
async fn a_node_with_an_unknown_or_mismatched_name_gets_no_link() {
    let foo = Node::start(foo_settings()).await;
    let cookie = Cookie::new("weknoweachother");
    for (me, peer, reason) in [("baz", "foo", "not one of the other's"), ("bar", "baz", "different name")] {
        let mut stream = TcpStream::connect(foo.address()).await.unwrap();
        let (me, peer) = (name(me), name(peer));
        let me = Identity { name: &me, cookie: &cookie, routes: foo.cluster.routes(), cluster: 0 };
        let dialed = handshake::dial(&mut stream, Versions::OWN, me, &peer);
        let error = soon(dialed).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn a_linked_peer_that_violates_the_protocol_loses_only_its_own_link() {
    let foo = Node::start(foo_settings()).await;
    let frames: [&[u8]; 4] = [
        &[],               // an empty frame
        &[99, 0],          // no such message
        &[0, 0],           // bytes after a heartbeat
        &[1, 0, 251, 255], // a truncated call
    ];
    let of_4_gib = vec![u8::MAX; HEADER_BYTES + 1];
    for bytes in frames.into_iter().map(frame).chain([of_4_gib]) {
        let mut bar = FakeBar::link_to(&foo).await;
        bar.stream.write_all(&bytes).await.unwrap();
        bar.wait_closed().await;
    }
    let unexpected =
        [Message::Replies { id: 0 }, Message::Transacted { id: 3, result: TransactionResult::Executed }];
    for message in unexpected {
        let mut bar = FakeBar::link_to(&foo).await;
        bar.send(message, &[ForwardedReply::NotOwner]).await;
        bar.wait_closed().await;
    }
    let mut heartbeat_fragment = Vec::new();
    codec::encode(&mut heartbeat_fragment, &Message::Fragment { remaining: 0, bytes: &[0] });
    for (remaining, bytes) in [(u32::MAX, &b"too large"[..]), (9, b""), (0, &heartbeat_fragment)] {
        let mut bar = FakeBar::link_to(&foo).await;
        bar.send::<()>(Message::Fragment { remaining, bytes }, &[]).await;
        bar.wait_closed().await;
    }
    let mut bar = FakeBar::link_to(&foo).await;
    let change = std::borrow::Cow::Owned(kv::Change::Deleted { key: (*b"milk").into() });
    bar.send::<()>(Message::Changed { subscription: 9, change }, &[]).await;
    bar.send::<()>(Message::Unsubscribe { subscription: 9 }, &[]).await;
    bar.send(Message::Call { id: 1 }, &[Request::new(b"apples", Op::Create)]).await;
    bar.receive().await;
    assert_eq!(foo.own_buckets(), ["apples"], "unexpected changes do no harm");
}

/// A frame of these bytes.
fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = [&[0; HEADER_BYTES], bytes].concat();
    FrameHeader::write(&mut frame);
    frame
}

#[test]
fn no_bytes_make_the_decoder_panic_or_loop() {
    proptest!(|(bytes in prop::collection::vec(any::<u8>(), 0..256))| {
        if let Ok((_, items)) = codec::decode_frame(&bytes) {
            let _ = codec::decode_requests(items, CALL_REQUESTS);
            let _ = CallReplies::decode(items);
        }
    });
}

#[test]
fn a_call_with_more_requests_than_allowed_is_refused() {
    let request = Request::new(b"", Op::Create);
    let mut items = Vec::new();
    (0..CALL_REQUESTS).for_each(|_| codec::encode(&mut items, &request));
    assert!(codec::decode_requests(&items, CALL_REQUESTS).is_ok());
    codec::encode(&mut items, &request);
    assert!(codec::decode_requests(&items, CALL_REQUESTS).is_err());
}

#[test]
fn lists_within_lists_do_not_exhaust_the_stack() {
    let (list, mut items) = (Reply::List(vec![Reply::List(vec![])]), Vec::new());
    codec::encode(&mut items, &ForwardedReply::Reply(list));
    let one_deeper = items[1..3].to_vec();
    items.splice(1..1, one_deeper.repeat(1_000_000));
    assert!(CallReplies::decode(&items).is_err());
    let mut honest = Vec::new();
    (0..2).for_each(|_| codec::encode(&mut honest, &ForwardedReply::Reply(Reply::List(vec![Reply::Done]))));
    assert_eq!(CallReplies::decode(&honest).unwrap().len(), 2, "a refused item leaves no trace");
}
