//! Two nodes in one process, over real sockets, and peers that violate the protocol.

mod channels;
mod close;
mod disputes;
mod durable;
mod forwarding;
mod hostile;
mod keyspace;
mod links;
mod memory;
mod nodes;
mod placement;
mod replicas;
mod split;
mod subscriptions;
mod transactions;
mod versions;

use crate::{
    cluster::{Cluster, Owner, Settings},
    cookie::Cookie,
    error::Error,
    events::NodeEvent,
    forward::Target,
    limits::FRAME_BYTES,
    link::{
        buffers::ReadBuffer,
        codec::{self, ForwardedReply, Message, SubscribeResult, TransactionResult},
        node_query::NodeReply,
        replies::CallReplies,
        send_queue::{MessageWriter, SendQueue},
    },
    local::{LinkSettings, LocalNode, MemoryBudgets, Scope, StoreSettings},
    node_name::NodeName,
    peer::{
        Peer,
        handshake::{self, Identity},
        versions::Versions,
    },
    routing::{RouteRow, Routes, table::RoutingTable},
};
use kv::{Backlog, Op, Reply, Request};
use otp::SupervisorHandle;
use serde::Serialize;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longer than anything in these tests takes.
const SOON: Duration = Duration::from_secs(60);

fn name(name: &str) -> NodeName {
    format!("{name}@127.0.0.1").parse().unwrap()
}

fn row(buckets: &str, node: &str) -> RouteRow {
    RouteRow {
        buckets: buckets.into(),
        nodes: vec![name(node).to_string()],
        durable: true,
        confirms_reads: false,
    }
}

fn routes(rows: &[RouteRow]) -> Routes {
    Routes::new(rows, &[name("foo"), name("bar")]).unwrap()
}

/// The settings of `foo` or `bar` with the other as its peer. `bar` has the lower name, and dials.
fn settings(me: &str, peer: &str, peer_address: String) -> Settings {
    Settings {
        name: name(me),
        link: Some("127.0.0.1:0".into()),
        peers: vec![(name(peer), peer_address)],
        routes: routes(&[row("a..m", "foo"), row("n..z", "bar")]),
        cookie: Cookie::new("weknoweachother"),
        links: LinkSettings::default(),
        store: StoreSettings::default(),
        data_dir: None,
        joined: None,
        logs: Default::default(),
    }
}

fn foo_settings() -> Settings {
    settings("foo", "bar", "not dialed by foo".into())
}

fn bar_settings(foo: SocketAddr) -> Settings {
    settings("bar", "foo", foo.to_string())
}

/// Heartbeats at this interval, of which a number may be missed.
fn heartbeat(interval_ms: u64, missed_heartbeats: u32) -> LinkSettings {
    LinkSettings {
        heartbeat: Duration::from_millis(interval_ms),
        missed_heartbeats,
        ..LinkSettings::default()
    }
}

/// A node that owns every bucket, without links.
pub(crate) fn local_node() -> Arc<LocalNode> {
    let table =
        RoutingTable::new(Routes::all(name("foo")), &name("foo"), [], false, &Default::default()).unwrap();
    let cookie = Cookie::new("weknoweachother");
    let (links, store) = (LinkSettings::default(), StoreSettings::default());
    let budgets = MemoryBudgets::new(&store);
    Arc::new(LocalNode::new(name("foo"), cookie, links, (table, Default::default()), store, budgets, None))
}

struct Node {
    cluster: Cluster,
    supervisor: SupervisorHandle,
}

impl Node {
    async fn start(settings: Settings) -> Node {
        let cluster = Cluster::new(settings).unwrap();
        cluster.bind().await.unwrap();
        let supervisor = cluster.supervisor().start();
        Node { cluster, supervisor }
    }

    fn address(&self) -> SocketAddr {
        self.cluster.link_address().unwrap()
    }

    fn peer(&self) -> &Peer {
        let bucket: &[u8] = if *self.cluster.node_name() == name("foo") { b"shopping" } else { b"apples" };
        let Owner::Later(Target::Peer(peer)) = self.cluster.owner(bucket) else {
            panic!("there is one peer")
        };
        peer
    }

    async fn execute(&self, bucket: &str, op: Op<'_>) -> Result<String, Error> {
        let request = Request::new(bucket.as_bytes(), op);
        soon(self.cluster.execute(request, |reply| match reply {
            Reply::Value(value) => String::from_utf8_lossy(value).into_owned(),
            other => format!("{other:?}"),
        }))
        .await
    }

    /// The names of the buckets on this node.
    fn own_buckets(&self) -> Vec<String> {
        let (mut names, mut cursor) = (Vec::new(), 0);
        loop {
            let (filter, now_ms) = (kv::ScanFilter::default(), kv::time::now_ms());
            let page = self.cluster.local().scan(Scope::All, cursor, &filter, now_ms).unwrap();
            names.extend(page.names.iter().map(|name| String::from_utf8_lossy(name).into_owned()));
            cursor = page.next;
            if cursor == 0 {
                return names;
            }
        }
    }

    /// Waits until the peer goes down. Returns the reason.
    async fn peer_goes_down(&self) -> String {
        let mut events = self.cluster.events();
        loop {
            match soon(events.recv()).await.unwrap() {
                NodeEvent::Down { reason, .. } => return reason.to_string(),
                NodeEvent::Up(_) => {}
            }
        }
    }
}

/// What a subscriber of these tests has queued, of at most 8 MiB.
fn backlog() -> Arc<Backlog> {
    Backlog::new(8 * 1024 * 1024, |_, _| {})
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(SOON, work).await.expect("timed out")
}

/// Repeats what is refused while a link is down.
async fn once_linked<T>(attempt: impl AsyncFn() -> Result<T, Error>) -> T {
    let began = Instant::now();
    loop {
        match soon(attempt()).await {
            Ok(done) => return done,
            Err(error) => {
                assert!(error.to_string().contains(" is down") && began.elapsed() < SOON, "{error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// `foo` and `bar`, linked.
async fn pair() -> (Node, Node) {
    let foo = Node::start(foo_settings()).await;
    let bar = Node::start(bar_settings(foo.address())).await;
    assert!(foo.cluster.connect(&name("bar")).await);
    assert!(bar.cluster.connect(&name("foo")).await);
    (foo, bar)
}

/// A `bar` that sends only what the test sends.
struct FakeBar {
    stream: TcpStream,
    input: ReadBuffer,
}

impl FakeBar {
    async fn link_to(foo: &Node) -> FakeBar {
        let mut stream = TcpStream::connect(foo.address()).await.unwrap();
        let (bar, cookie) = (name("bar"), Cookie::new("weknoweachother"));
        let me = Identity { name: &bar, cookie: &cookie, routes: foo.cluster.routes(), cluster: 0 };
        handshake::dial(&mut stream, Versions::OWN, me, &name("foo")).await.unwrap();
        FakeBar { stream, input: ReadBuffer::default() }
    }

    async fn send<T: Serialize>(&mut self, message: Message<'_>, items: &[T]) {
        let mut queue = SendQueue::default();
        let mut frame = MessageWriter::begin(&mut queue, &message);
        items.iter().for_each(|item| assert!(frame.push_item_within(FRAME_BYTES, item)));
        frame.finish();
        self.stream.write_all(&queue.frames).await.unwrap();
    }

    /// The next frame other than a heartbeat.
    async fn receive(&mut self) -> Vec<u8> {
        loop {
            while let Some(frame) = self.input.next_frame().unwrap() {
                if codec::decode_frame(frame).unwrap().0 != Message::Heartbeat {
                    return frame.to_vec();
                }
            }
            assert!(soon(self.stream.read_buf(self.input.reserve())).await.unwrap() > 0, "the link ended");
        }
    }

    /// Waits until the other side has closed the link.
    async fn wait_closed(&mut self) {
        let mut bytes = [0; 1024];
        while let Ok(1..) = soon(self.stream.read(&mut bytes)).await {}
    }
}
