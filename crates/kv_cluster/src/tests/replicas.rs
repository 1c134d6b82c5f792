//! Three nodes with replicas of all buckets, and a fourth one without.

use super::*;
use crate::error::{RangeFailure, RangeFailureKind};
use kv::{Change, Database, EndReason, ScanFilter};
use std::{net::TcpListener, time::Instant};
use tempfile::TempDir;
use tokio_stream::StreamExt;

const MEMBERS: [&str; 3] = ["foo", "bar", "baz"];
const OUTSIDER: &str = "qux";

/// Nodes with addresses and data directories of their own.
pub(super) struct Nodes {
    addresses: Vec<(NodeName, String)>,
    directories: Vec<TempDir>,
    running: Vec<Option<Node>>,
    confirms_reads: bool,
    /// Whether the members know the outsider from their configuration.
    outsider_is_known: bool,
}

impl Nodes {
    pub(super) async fn start() -> Nodes {
        Nodes::start_with(false).await
    }

    /// The members alone, which do not know the outsider.
    pub(super) async fn start_members() -> Nodes {
        let mut nodes = Nodes { outsider_is_known: false, ..Nodes::reserve(false) };
        for node in 0..MEMBERS.len() {
            nodes.open(node).await;
        }
        nodes
    }

    async fn start_with(confirms_reads: bool) -> Nodes {
        let mut nodes = Nodes::reserve(confirms_reads);
        for node in 0..=MEMBERS.len() {
            nodes.open(node).await;
        }
        nodes
    }

    fn reserve(confirms_reads: bool) -> Nodes {
        let free = |node: &&str| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            (name(node), listener.local_addr().unwrap().to_string())
        };
        let addresses: Vec<_> = MEMBERS.iter().chain(&[OUTSIDER]).map(free).collect();
        let directories = addresses.iter().map(|_| TempDir::new().unwrap()).collect();
        let running = addresses.iter().map(|_| None).collect();
        Nodes { addresses, directories, running, confirms_reads, outsider_is_known: true }
    }

    /// Where a node has its links.
    pub(super) fn address(&self, node: usize) -> &str {
        &self.addresses[node].1
    }

    pub(super) async fn open(&mut self, node: usize) {
        self.open_with(node, true).await;
    }

    pub(super) async fn open_with(&mut self, node: usize, has_data_dir: bool) {
        let settings = self.settings(node);
        let data_dir = settings.data_dir.clone().filter(|_| has_data_dir);
        self.run(node, Settings { data_dir, ..settings }).await;
    }

    /// Starts a node with these settings.
    pub(super) async fn run(&mut self, node: usize, settings: Settings) {
        self.running[node] = Some(Node::start(settings).await);
    }

    /// The settings of a node whose configuration names the row.
    pub(super) fn settings(&self, node: usize) -> Settings {
        let (me, link) = self.addresses[node].clone();
        let known: Vec<_> = self.addresses.iter().map(|(name, _)| name.clone()).collect();
        let nodes = MEMBERS.map(|member| name(member).to_string()).into();
        let confirms_reads = self.confirms_reads;
        let knows = |peer: &NodeName| self.outsider_is_known || *peer != name(OUTSIDER);
        let row = RouteRow { buckets: "..".into(), nodes, durable: true, confirms_reads };
        Settings {
            name: me.clone(),
            link: Some(link),
            peers: self.addresses.iter().filter(|(peer, _)| *peer != me && knows(peer)).cloned().collect(),
            routes: Routes::new(&[row], &known).unwrap(),
            data_dir: Some(self.directories[node].path().into()),
            ..foo_settings()
        }
    }

    /// Has a node that does not run begin with an empty disk.
    pub(super) fn wipe(&mut self, node: usize) {
        self.directories[node] = TempDir::new().unwrap();
    }

    pub(super) async fn stop(&mut self, node: usize) {
        let node = self.running[node].take().unwrap();
        node.supervisor.stop().await;
        let local = node.cluster.local().clone();
        drop(node);
        let ranges = local.range_supervisor(Duration::from_secs(10)).start();
        ranges.stop().await;
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &Node> {
        self.running.iter().flatten()
    }

    pub(super) fn node(&self, node: usize) -> &Node {
        self.running[node].as_ref().unwrap()
    }

    /// Waits until a member leads.
    pub(super) async fn leader(&self) -> usize {
        let leads = |node: &usize| {
            let running = self.running[*node].as_ref();
            running.is_some_and(|node| node.cluster.local().ranges().iter().any(|range| range.is_leader()))
        };
        let began = Instant::now();
        loop {
            if let Some(leader) = (0..self.running.len()).find(leads) {
                return leader;
            }
            assert!(began.elapsed() < SOON, "nobody leads");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until each running node serves what it is asked.
    pub(super) async fn ready(&self) -> usize {
        self.ready_but(usize::MAX).await
    }

    /// The same but for one node.
    pub(super) async fn ready_but(&self, except: usize) -> usize {
        let running = self.running.iter().enumerate().filter(|(node, _)| *node != except);
        for node in running.filter_map(|(_, node)| node.as_ref()) {
            while node.execute("ready", Op::Create).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        self.leader().await
    }
}

pub(super) fn put(value: &str) -> Op<'_> {
    Op::Put { key: b"milk", value: value.as_bytes() }
}

fn no_leader(error: &Error) -> bool {
    matches!(error, Error::Range(RangeFailure { kind: RangeFailureKind::NoLeader, .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_serves_one_store() {
    let nodes = Nodes::start().await;
    nodes.ready().await;
    for (number, writer) in nodes.running().enumerate() {
        let (bucket, value) = (format!("shopping{number}"), number.to_string());
        assert_eq!(writer.execute(&bucket, Op::Create).await.unwrap(), "Done");
        assert_eq!(writer.execute(&bucket, put(&value)).await.unwrap(), "Done");
        for reader in nodes.running() {
            assert_eq!(reader.execute(&bucket, Op::Get { key: b"milk" }).await.unwrap(), value);
        }
    }
}

/// Reads in each way that there is, and compares what is read.
async fn read_in_every_way(node: &Node) {
    let requests = [b"a", b"b"].map(|bucket| Request::new(bucket, Op::Get { key: b"milk" }));
    assert_eq!(node.execute("a", Op::Get { key: b"milk" }).await.unwrap(), "1");
    let mut replies = Vec::new();
    soon(node.cluster.execute_all(&requests, |_, reply| replies.push(format!("{:?}", reply.unwrap())))).await;
    let transacted = node.cluster.transact(&[], &requests, |reply| replies.push(format!("{reply:?}")));
    assert_eq!(soon(transacted).await, Ok(true));
    let (one, other) = (Reply::Value(b"1"), Reply::Value(b"2"));
    let expected =
        [format!("{one:?}"), format!("{other:?}"), format!("Ok({one:?})"), format!("Ok({other:?})")];
    assert_eq!(replies, expected);
    let mut batches = node.cluster.forward(&requests);
    let [batch] = &mut batches[..] else { panic!("one row is one batch") };
    assert_eq!(soon(batch.resolve_next()).await, Ok(one));
    assert_eq!(soon(batch.resolve_next()).await, Ok(other));
    assert_eq!(soon(node.cluster.bucket_counts()).await.unwrap()[0], 3);
    let page = soon(node.cluster.scan(0, &ScanFilter::default())).await.unwrap();
    assert_eq!(page.names.len(), 3);
    assert!(soon(node.cluster.random_name(Database::ZERO)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn confirmed_reads_are_served_at_every_node_without_the_log_while_a_majority_answers() {
    let mut nodes = Nodes::start_with(true).await;
    nodes.ready().await;
    for (bucket, value) in [("a", "1"), ("b", "2")] {
        nodes.node(3).execute(bucket, Op::Create).await.unwrap();
        nodes.node(3).execute(bucket, put(value)).await.unwrap();
    }
    let leader = nodes.leader().await;
    let last_entry = |nodes: &Nodes| nodes.node(leader).cluster.local().ranges()[0].status().applied;
    let before = last_entry(&nodes);
    for node in nodes.running() {
        read_in_every_way(node).await;
    }
    assert_eq!(last_entry(&nodes), before, "only writes are logged");
    nodes.stop((leader + 1) % 3).await;
    for node in nodes.running() {
        read_in_every_way(node).await;
    }
    nodes.stop((leader + 2) % 3).await;
    for node in nodes.running() {
        let began = Instant::now();
        let read = node.execute("a", Op::Get { key: b"milk" }).await.unwrap_err();
        assert!(no_leader(&read), "{read}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        let counts = soon(node.cluster.bucket_counts()).await.unwrap_err();
        assert!(no_leader(&counts), "{counts}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_are_counted_listed_and_flushed_once_whichever_node_is_asked_and_without_one_of_them() {
    let mut nodes = Nodes::start().await;
    let leader = nodes.ready().await;
    for number in 0..50 {
        nodes.node(number % 4).execute(&format!("a{number}"), Op::Create).await.unwrap();
    }
    nodes.stop((leader + 1) % 3).await;
    for node in nodes.running() {
        assert_eq!(soon(node.cluster.bucket_counts()).await.unwrap()[0], 51);
        let (mut names, mut cursor) = (0, 0);
        loop {
            let filter = ScanFilter { count: 7, ..ScanFilter::default() };
            let page = soon(node.cluster.scan(cursor, &filter)).await.unwrap();
            (names, cursor) = (names + page.names.len(), page.next);
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(names, 51);
        assert!(soon(node.cluster.random_name(Database::ZERO)).await.unwrap().is_some());
        let stats = soon(node.cluster.stats()).await;
        let buckets: u64 = stats.iter().map(|(_, stats)| stats.as_ref().unwrap().buckets()).sum();
        assert_eq!(buckets, 51);
    }
    for node in nodes.running() {
        node.execute("again", Op::Create).await.unwrap();
        soon(node.cluster.flush(None)).await.unwrap();
        assert_eq!(soon(node.cluster.bucket_counts()).await.unwrap()[0], 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_is_gone_the_others_go_on_and_it_catches_up_later() {
    let mut nodes = Nodes::start().await;
    let leader = nodes.ready().await;
    let writer = (leader + 1) % 3;
    nodes.node(writer).execute("shopping", Op::Create).await.unwrap();
    nodes.node(writer).execute("shopping", put("before")).await.unwrap();
    nodes.stop(leader).await;
    let began = Instant::now();
    while nodes.node(writer).execute("shopping", put("after")).await.is_err() {
        assert!(began.elapsed() < SOON);
    }
    for node in nodes.running() {
        assert_eq!(node.execute("shopping", Op::Get { key: b"milk" }).await.unwrap(), "after");
    }
    nodes.open(leader).await;
    nodes.ready().await;
    let again = nodes.node(leader).execute("shopping", Op::Get { key: b"milk" }).await;
    assert_eq!(again.unwrap(), "after");
    nodes.stop(writer).await;
    while nodes.node(leader).execute("shopping", put("later")).await.is_err() {}
    let later = nodes.node(leader).execute("shopping", Op::Get { key: b"milk" }).await;
    assert_eq!(later.unwrap(), "later");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_served_and_the_error_names_the_nodes() {
    let mut nodes = Nodes::start().await;
    let leader = nodes.ready().await;
    nodes.stop((leader + 1) % 3).await;
    nodes.stop((leader + 2) % 3).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for node in nodes.running() {
        let began = Instant::now();
        let read = node.execute("ready", Op::Get { key: b"milk" }).await.unwrap_err();
        assert!(no_leader(&read), "{read}");
        let nodes = "(needs 2 of bar@127.0.0.1, baz@127.0.0.1, foo@127.0.0.1)";
        assert!(read.to_string().contains(&format!("range .. has no leader {nodes}")), "{read}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        let written = node.execute("ready", put("1")).await.unwrap_err();
        assert!(no_leader(&written), "{written}");
        let counts = soon(node.cluster.bucket_counts()).await.unwrap_err();
        assert!(no_leader(&counts), "{counts}");
    }
    nodes.open((leader + 1) % 3).await;
    nodes.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_batch_keep_their_order_when_the_leader_changes() {
    let mut nodes = Nodes::start().await;
    let leader = nodes.ready().await;
    let asked = (leader + 1) % 3;
    nodes.node(asked).execute("shopping", Op::Create).await.unwrap();
    nodes.stop(leader).await;
    // Nothing of it has been sent to the node that is gone, so all of it is done.
    let values: Vec<_> = (0..200).map(|number| number.to_string()).collect();
    let requests: Vec<_> = values
        .iter()
        .flat_map(|value| [put(value), Op::Get { key: b"milk" }])
        .map(|op| Request::new(b"shopping", op))
        .collect();
    let mut batches = nodes.node(asked).cluster.forward(&requests);
    let [batch] = &mut batches[..] else { panic!("one row is one batch") };
    for value in &values {
        let written = soon(batch.resolve_next()).await;
        // The election may take longer than a request waits.
        let Ok(written) = written else { return assert!(no_leader(&written.unwrap_err())) };
        assert_eq!(written, Reply::Done);
        assert_eq!(soon(batch.resolve_next()).await, Ok(Reply::Value(value.as_bytes())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_executed_by_the_leader_whichever_node_is_asked() {
    let nodes = Nodes::start().await;
    nodes.ready().await;
    nodes.node(0).execute("shopping", Op::Create).await.unwrap();
    for (number, node) in nodes.running().enumerate() {
        let value = number.to_string();
        let requests = [put(&value), Op::Get { key: b"milk" }].map(|op| Request::new(b"shopping", op));
        let mut replies = Vec::new();
        let transacted = node.cluster.transact(&[], &requests, |reply| replies.push(format!("{reply:?}")));
        assert_eq!(soon(transacted).await, Ok(true));
        assert_eq!(replies.len(), 2);
        let read = node.execute("shopping", Op::Get { key: b"milk" }).await;
        assert_eq!(read.unwrap(), value);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_goes_on_at_the_next_leader_and_the_subscriber_is_notified() {
    let mut nodes = Nodes::start().await;
    let leader = nodes.ready().await;
    let others = [(leader + 1) % 3, 3];
    nodes.node(leader).execute("shopping", Op::Create).await.unwrap();
    let backlog = backlog();
    let mut changes = Vec::new();
    for node in others {
        let subscribed = soon(nodes.node(node).cluster.subscribe(b"shopping", &backlog)).await;
        changes.push(subscribed.unwrap().unwrap());
    }
    let set = |value: &str| Change::Set { key: (*b"milk").into(), value: value.as_bytes().into() };
    nodes.node(3).execute("shopping", put("1")).await.unwrap();
    for changes in &mut changes {
        assert_eq!(soon(changes.next()).await.unwrap().change, set("1"));
    }
    nodes.stop(leader).await;
    for changes in &mut changes {
        assert_eq!(soon(changes.next()).await.unwrap().change, Change::Interrupted);
    }
    while nodes.node(3).execute("shopping", put("2")).await.is_err() {}
    tokio::time::sleep(Duration::from_secs(1)).await;
    nodes.node(3).execute("shopping", put("3")).await.unwrap();
    for changes in &mut changes {
        while soon(changes.next()).await.unwrap().change != set("3") {}
    }
    nodes.node(3).execute("shopping", Op::Drop).await.unwrap();
    for changes in &mut changes {
        assert_eq!(soon(changes.next()).await.unwrap().change, Change::Ended(EndReason::Dropped));
    }
}

#[tokio::test]
async fn a_replica_needs_a_data_directory() {
    let nodes = MEMBERS.map(|member| name(member).to_string()).into();
    let row = RouteRow { buckets: "..".into(), nodes, durable: true, confirms_reads: false };
    let known = MEMBERS.map(name);
    let routes = Routes::new(&[row], &known).unwrap();
    let peers = known[1..].iter().map(|peer| (peer.clone(), "127.0.0.1:1".into())).collect();
    let error = Cluster::new(Settings { routes, peers, ..foo_settings() }).unwrap_err();
    let expected = "node foo@127.0.0.1 has a replica of .., and no data_dir; give it one";
    assert!(error.to_string().starts_with(expected), "{error}");
}
