//! How a link comes up, is lost, and comes up again.

use super::*;
use crate::limits::LATE_CALLS;
use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;

#[tokio::test]
async fn both_nodes_see_each_other_and_the_tree_shows_the_link() {
    let (foo, bar) = pair().await;
    for node in [&foo, &bar] {
        let status = &node.cluster.nodes()[0];
        assert!(status.up && status.reason.is_none(), "{status:?}");
        let tree = node.supervisor.tree(10).to_string();
        assert!(tree.contains("link up"), "{tree}");
    }
    assert!(foo.cluster.connect(&name("foo")).await, "a node is connected to itself");
    assert!(!foo.cluster.connect(&name("baz")).await, "an unknown node");
}

#[tokio::test]
async fn an_absent_node_is_down_at_once_with_the_reason() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let bar = Node::start(bar_settings(unused)).await;
    assert!(!soon(bar.cluster.connect(&name("foo"))).await);
    let error = bar.execute("apples", Op::Create).await.unwrap_err().to_string();
    assert!(error.starts_with("node foo@127.0.0.1 is down: cannot reach"), "{error}");
}

#[tokio::test]
async fn a_node_that_dials_is_linked_again_after_a_restart() {
    let (foo, bar) = pair().await;
    tokio::join!(bar.supervisor.stop(), foo.peer_goes_down());
    assert!(matches!(foo.execute("shopping", Op::Create).await, Err(Error::NodeDown { .. })));
    let _bar = Node::start(bar_settings(foo.address())).await;
    assert!(soon(foo.cluster.connect(&name("bar"))).await);
    assert_eq!(foo.execute("shopping", Op::Create).await.unwrap(), "Done");
}

#[tokio::test]
async fn a_node_that_is_dialed_is_linked_again_after_a_restart() {
    let (foo, bar) = pair().await;
    let link = Some(foo.address().to_string());
    tokio::join!(foo.supervisor.stop(), bar.peer_goes_down());
    drop(foo);
    let foo = Node::start(Settings { link, ..foo_settings() }).await;
    assert!(soon(foo.cluster.connect(&name("bar"))).await, "bar dials again on its own");
}

#[tokio::test]
async fn a_call_whose_link_is_cut_has_an_unknown_outcome() {
    let foo = Node::start(foo_settings()).await;
    let mut bar = FakeBar::link_to(&foo).await;
    assert!(foo.cluster.connect(&name("bar")).await);
    let cut = async {
        bar.receive().await;
        drop(bar);
    };
    let (result, ()) = tokio::join!(foo.execute("shopping", Op::Create), cut);
    let error = result.unwrap_err();
    assert_eq!(error, Error::LinkLost { node: name("bar").shared() });
    assert!(error.to_string().starts_with("outcome unknown"), "{error}");
}

#[tokio::test]
async fn a_silent_node_is_detected_as_dead() {
    let links = heartbeat(20, 5);
    let foo = Node::start(Settings { links, ..foo_settings() }).await;
    let (_bar, reason) = tokio::join!(FakeBar::link_to(&foo), foo.peer_goes_down());
    assert!(reason.contains("heartbeat timeout"), "{reason}");
}

/// `foo` with `links`, and a `bar` that sends these bytes and then heartbeats. Returns why the link
/// goes down, and what the request that waits meanwhile gets.
async fn stuck_after(links: LinkSettings, bytes: &[u8]) -> (String, Result<String, Error>) {
    let foo = Node::start(Settings { links, ..foo_settings() }).await;
    let mut bar = FakeBar::link_to(&foo).await;
    assert!(foo.cluster.connect(&name("bar")).await);
    let went_down = foo.peer_goes_down();
    let beating = async {
        bar.receive().await;
        bar.stream.write_all(bytes).await.unwrap();
        let mut beat = tokio::time::interval(links.heartbeat);
        let heartbeat = encoded(&Message::Heartbeat);
        while bar.stream.write_all(&heartbeat).await.is_ok() {
            beat.tick().await;
        }
    };
    let (reason, result, ()) = tokio::join!(went_down, foo.execute("shopping", Op::Create), beating);
    (reason, result)
}

/// The frame of a message.
fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut queue = SendQueue::default();
    MessageWriter::begin(&mut queue, message).finish();
    queue.frames
}

#[tokio::test]
async fn a_frame_that_announces_more_than_arrives_ends_the_link() {
    let links = LinkSettings { call_timeout: SOON, ..heartbeat(20, 50) };
    let announced = [&[0; 4], &(FRAME_BYTES as u32).to_le_bytes()[..]].concat();
    let (reason, result) = stuck_after(links, &announced).await;
    assert_eq!(reason, "a message stopped arriving before its end");
    assert_eq!(result, Err(Error::LinkLost { node: name("bar").shared() }));
}

#[tokio::test]
async fn a_large_message_that_announces_more_than_arrives_ends_the_link() {
    let links = LinkSettings { call_timeout: Duration::from_millis(100), ..heartbeat(20, 1_000) };
    let (reason, result) =
        stuck_after(links, &encoded(&Message::Fragment { remaining: 9, bytes: b"x" })).await;
    assert_eq!(reason, "a message stopped arriving before its end");
    assert!(result.unwrap_err().to_string().starts_with("outcome unknown: "));
}

#[tokio::test]
async fn a_flipped_bit_ends_the_link_and_is_never_taken_for_a_reply() {
    let foo = Node::start(foo_settings()).await;
    let mut bar = FakeBar::link_to(&foo).await;
    assert!(foo.cluster.connect(&name("bar")).await);
    let (went_down, get) = (foo.peer_goes_down(), foo.execute("shopping", Op::Get { key: b"milk" }));
    let damage = async {
        bar.receive().await;
        let mut queue = SendQueue::default();
        let mut frame = MessageWriter::begin(&mut queue, &Message::Replies { id: 0 });
        assert!(frame.push_item_within(FRAME_BYTES, &ForwardedReply::Reply(Reply::Value(b"1"))));
        frame.finish();
        *queue.frames.last_mut().unwrap() ^= 1;
        bar.stream.write_all(&queue.frames).await.unwrap();
    };
    let (reason, result, ()) = tokio::join!(went_down, get, damage);
    assert!(reason.contains("wrong checksum"), "{reason}");
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), "node bar@127.0.0.1 is down: its link was lost", "a read changes nothing");
}

#[tokio::test]
async fn a_call_without_a_reply_ends_and_its_late_reply_is_ignored() {
    let links = LinkSettings { call_timeout: Duration::from_millis(50), ..heartbeat(20, 1_000) };
    let foo = Node::start(Settings { links, ..foo_settings() }).await;
    let mut bar = FakeBar::link_to(&foo).await;
    assert!(foo.cluster.connect(&name("bar")).await);
    let error = foo.execute("shopping", Op::Create).await.unwrap_err();
    assert_eq!(error, Error::NoReply { node: name("bar").shared() });
    let error = foo.execute("shopping", Op::Get { key: b"milk" }).await.unwrap_err();
    assert!(matches!(error, Error::NodeDown { .. }), "a read changes nothing: {error}");
    assert!(matches!(foo.cluster.subscribe(b"shopping", &backlog()).await, Err(Error::NodeDown { .. })));
    let done = [ForwardedReply::Reply(Reply::Done)];
    bar.send(Message::Replies { id: 0 }, &done).await;
    bar.send::<()>(Message::Subscribed { id: 2, result: SubscribeResult::Subscribed }, &[]).await;
    let reply = async {
        loop {
            let frame = bar.receive().await;
            match codec::decode_frame(&frame).unwrap().0 {
                Message::Unsubscribe { .. } => break,
                Message::Call { .. } | Message::Subscribe { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    };
    soon(reply).await;
    assert!(foo.cluster.nodes()[0].up, "the link stays up");
}

#[tokio::test]
async fn a_peer_that_owes_too_many_replies_loses_its_link() {
    let links = LinkSettings { call_timeout: Duration::from_millis(50), ..heartbeat(20, 1_000) };
    let foo = Node::start(Settings { links, ..foo_settings() }).await;
    let _bar = FakeBar::link_to(&foo).await;
    assert!(foo.cluster.connect(&name("bar")).await);
    let went_down = foo.peer_goes_down();
    let create = Request::new(b"shopping", Op::Create);
    let calls: Vec<_> = (0..=LATE_CALLS).map(|_| foo.peer().call(&[create]).unwrap()).collect();
    assert_eq!(went_down.await, format!("{} calls got no reply within links.call_timeout_ms", calls.len()));
}

#[tokio::test]
async fn heartbeats_keep_an_idle_link_alive() {
    let links = heartbeat(20, 50);
    let foo = Node::start(Settings { links, ..foo_settings() }).await;
    let mut bar = FakeBar::link_to(&foo).await;
    let went_down = foo.peer_goes_down();
    let beating = async {
        let mut beat = tokio::time::interval(links.heartbeat);
        for _ in 0..75 {
            beat.tick().await;
            bar.send::<()>(Message::Heartbeat, &[]).await;
        }
        bar.send::<()>(Message::Replies { id: 7 }, &[]).await;
        std::future::pending().await
    };
    let reason = tokio::select! { reason = went_down => reason, () = beating => unreachable!() };
    assert!(reason.contains("link protocol error"), "it is up until it violates the protocol: {reason}");
}

#[tokio::test]
async fn a_newer_link_of_a_node_replaces_the_older_one() {
    let foo = Node::start(foo_settings()).await;
    let mut older = FakeBar::link_to(&foo).await;
    assert!(foo.cluster.connect(&name("bar")).await);
    let mut newer = FakeBar::link_to(&foo).await;
    older.wait_closed().await;
    assert!(foo.cluster.connect(&name("bar")).await);
    tokio::select! {
        reply = foo.execute("shopping", Op::Create) => panic!("no node replies: {reply:?}"),
        _ = newer.receive() => {}
    }
}

#[tokio::test]
async fn a_wrong_cookie_is_refused_and_both_nodes_log_it() {
    let log = Log::default();
    let _guard = log.install();
    let foo = Node::start(foo_settings()).await;
    let cookie = Cookie::new("another");
    let bar = Node::start(Settings { cookie, ..bar_settings(foo.address()) }).await;
    assert!(!soon(bar.cluster.connect(&name("foo"))).await);
    assert!(!foo.cluster.nodes()[0].up);
    let log = log.text();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("wrong cookie")).collect();
    let logged = |by: &str| lines.iter().any(|line| line.contains(by));
    assert!(logged("kv_cluster::peer::dialer") && logged("node=foo@127.0.0.1"), "{log}");
    assert!(logged("kv_cluster::peer::listener") && logged("claimed_name=\"bar@127.0.0.1\""), "{log}");
    assert!(!log.contains("weknoweachother") && !log.contains("another"), "{log}");
}

/// The log of a test.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Collects what this thread logs, until the guard is dropped.
    pub(super) fn install(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
