//! How a link comes up, is lost, and comes up again.

use super::*;
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
    let heartbeat = Heartbeat { every: Duration::from_millis(20), missed: 5 };
    let foo = Node::start(Settings { heartbeat, ..foo_settings() }).await;
    let (_bar, reason) = tokio::join!(FakeBar::link_to(&foo), foo.peer_goes_down());
    assert!(reason.contains("heartbeat timeout"), "{reason}");
}

#[tokio::test]
async fn heartbeats_keep_an_idle_link_alive() {
    let heartbeat = Heartbeat { every: Duration::from_millis(20), missed: 50 };
    let foo = Node::start(Settings { heartbeat, ..foo_settings() }).await;
    let mut bar = FakeBar::link_to(&foo).await;
    let went_down = foo.peer_goes_down();
    let beating = async {
        let mut beat = tokio::time::interval(heartbeat.every);
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
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let foo = Node::start(foo_settings()).await;
    let cookie = Cookie::new("another");
    let bar = Node::start(Settings { cookie, ..bar_settings(foo.address()) }).await;
    assert!(!soon(bar.cluster.connect(&name("foo"))).await);
    assert!(!foo.cluster.nodes()[0].up);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("wrong cookie")).collect();
    let logged = |by: &str| lines.iter().any(|line| line.contains(by));
    assert!(logged("kv_cluster::peer::dialer") && logged("node=foo@127.0.0.1"), "{log}");
    assert!(logged("kv_cluster::peer::listener") && logged("claimed_name=\"bar@127.0.0.1\""), "{log}");
    assert!(!log.contains("weknoweachother") && !log.contains("another"), "{log}");
}

/// The log of a test.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
