//! Rows that are split while clients of all nodes use them.

use super::{
    replicas::{Nodes, put},
    *,
};
use crate::error::{RangeFailure, RangeFailureKind};
use kv::{Change, ScanFilter};
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};
use tokio_stream::StreamExt;

/// One bucket of each writer in each part of the names.
const PARTS: [&str; 4] = ["a", "e", "k", "t"];

impl Nodes {
    /// Has a row split, and waits until all nodes know that this is done, and have no others than these.
    async fn split(&self, asked: usize, buckets: &str, at: &str, rows: &[&str]) {
        once_linked(async || self.node(asked).cluster.split(buckets, at.as_bytes()).await).await;
        let is_done = |node: &Node| {
            let placed = node.cluster.placements();
            placed[1..].iter().map(|row| row.buckets()).eq(rows.iter().copied())
                && placed.iter().all(|row| !row.is_moving)
        };
        let began = Instant::now();
        while !self.running().all(is_done) {
            assert!(began.elapsed() < SOON, "{:?}", self.node(asked).cluster.placements());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn names_at(&self, node: usize) -> BTreeSet<String> {
        let (cluster, mut cursor, mut names) = (&self.node(node).cluster, 0, BTreeSet::new());
        loop {
            let page =
                soon(cluster.scan(cursor, &ScanFilter { count: 3, ..ScanFilter::default() })).await.unwrap();
            names.extend(page.names.iter().map(|name| String::from_utf8_lossy(name).into_owned()));
            cursor = page.next;
            if cursor == 0 {
                return names;
            }
        }
    }
}

/// Writes and reads at a node until it is over: single requests, several at once, and transactions. All of
/// them succeed, and read what was written last. Returns how often it has written.
async fn write_at(nodes: Arc<Nodes>, node: usize, is_over: Arc<AtomicBool>) -> (u64, Duration) {
    let cluster = nodes.node(node).cluster.clone();
    let buckets = PARTS.map(|part| format!("{part}{node}"));
    for bucket in &buckets {
        nodes.node(node).execute(bucket, Op::Create).await.unwrap();
    }
    let (mut written, mut longest) = (0, Duration::ZERO);
    while !is_over.load(Relaxed) {
        written += 1;
        let (value, began) = (written.to_string(), Instant::now());
        let requests: Vec<_> =
            (0..40).map(|index| Request::new(buckets[index % PARTS.len()].as_bytes(), put(&value))).collect();
        let mut replies = 0;
        cluster
            .execute_all(&requests, |_, reply| {
                assert_eq!(reply.map(|reply| format!("{reply:?}")), Ok("Done".into()));
                replies += 1;
            })
            .await;
        assert_eq!(replies, requests.len());
        for bucket in &buckets {
            let read = nodes.node(node).execute(bucket, Op::Get { key: b"milk" }).await;
            assert_eq!(read, Ok(value.clone()), "{bucket} at node {node}");
            let requests =
                [put(&value), Op::Get { key: b"milk" }].map(|op| Request::new(bucket.as_bytes(), op));
            let executed =
                cluster.transact(&[], &requests, |reply| assert!(reply.is_ok(), "{reply:?}")).await;
            assert_eq!(executed, Ok(true), "{bucket} at node {node}");
        }
        longest = longest.max(began.elapsed());
    }
    (written, longest)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_split_while_clients_of_all_nodes_use_them_and_nothing_fails() {
    let mut nodes = Arc::new(Nodes::start().await);
    nodes.ready().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..4).map(|node| tokio::spawn(write_at(nodes.clone(), node, is_over.clone()))).collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    nodes.split(3, "..", "k", &["..j", "k.."]).await;
    nodes.split(0, "k..", "m", &["..j", "k..l", "m.."]).await;
    nodes.place(1, "m..", &[0, 1, 3]).await;
    nodes.split(2, "..j", "b", &["..a", "b..j", "k..l", "m.."]).await;
    nodes.place(1, "..a", &[3]).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    is_over.store(true, Relaxed);
    let mut counts = Vec::new();
    for writer in writers {
        let (written, longest) = writer.await.unwrap();
        assert!(written > 3, "{written}");
        assert!(longest < Duration::from_secs(4), "{longest:?}");
        counts.push(written);
    }
    let of_writers = (0..4).flat_map(|node| PARTS.map(|part| format!("{part}{node}")));
    let expected: BTreeSet<_> = of_writers.chain(["ready".to_owned()]).collect();
    for round in 0..2 {
        for node in 0..4 {
            assert_eq!(nodes.names_at(node).await, expected, "at node {node}");
            // What a range has split off is removed when it has begun again.
            let began = Instant::now();
            while soon(nodes.node(node).cluster.bucket_counts()).await.unwrap()[0] != expected.len() as u64 {
                assert!(began.elapsed() < SOON, "at node {node}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            for (writer, written) in counts.iter().enumerate() {
                for part in PARTS {
                    let read = Op::Get { key: b"milk" };
                    let read = nodes.node(node).execute(&format!("{part}{writer}"), read).await;
                    assert_eq!(read, Ok(written.to_string()));
                }
            }
        }
        if round == 0 {
            let nodes = Arc::get_mut(&mut nodes).expect("no writer");
            for node in 0..4 {
                nodes.stop(node).await;
            }
            for node in 0..4 {
                nodes.open(node).await;
            }
            nodes.ready().await;
        }
    }
}

/// A node without a replica learns of a split a moment later.
#[tokio::test(flavor = "multi_thread")]
async fn all_names_are_listed_at_any_moment_of_a_split() {
    let nodes = Nodes::start().await;
    nodes.ready().await;
    let expected: BTreeSet<_> = ["apples", "ready", "shopping"].map(str::to_owned).into();
    for bucket in &expected {
        nodes.node(0).execute(bucket, Op::Create).await.unwrap();
    }
    let list = async {
        let began = Instant::now();
        while nodes.node(3).cluster.placements().len() < 3 || began.elapsed() < Duration::from_secs(1) {
            assert_eq!(nodes.names_at(3).await, expected);
            let (mut pages, mut names) = (nodes.node(3).cluster.buckets(), BTreeSet::new());
            while let Some(page) = soon(pages.next()).await {
                names.extend(page.unwrap().iter().map(|name| String::from_utf8_lossy(name).into_owned()));
            }
            assert_eq!(names, expected);
            assert!(soon(nodes.node(3).cluster.bucket_counts()).await.unwrap()[0] >= expected.len() as u64);
        }
    };
    tokio::join!(list, nodes.split(0, "..", "m", &["..l", "m.."]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_goes_on_in_the_part_that_has_its_bucket() {
    let nodes = Nodes::start().await;
    nodes.ready().await;
    let mut subscriptions = Vec::new();
    for node in 0..4 {
        for bucket in ["apples", "shopping"] {
            nodes.node(0).execute(bucket, Op::Create).await.unwrap();
            let backlog = kv::Backlog::new(1 << 20, |_, _| {});
            let subscribed = nodes.node(node).cluster.subscribe(bucket.as_bytes(), &backlog);
            subscriptions.push((bucket, soon(subscribed).await.unwrap().expect("a bucket")));
        }
    }
    nodes.split(1, "..", "m", &["..l", "m.."]).await;
    for bucket in ["apples", "shopping"] {
        nodes.node(2).execute(bucket, put("after")).await.unwrap();
    }
    for (bucket, mut subscription) in subscriptions {
        let (mut was_interrupted, began) = (false, Instant::now());
        loop {
            let event = soon(subscription.next()).await.expect("it goes on");
            match &event.change {
                Change::Interrupted => was_interrupted = true,
                Change::Set { value, .. } if **value == *b"after" => break,
                change => panic!("{bucket}: {change:?}"),
            }
            // It may have begun again after that was written.
            if was_interrupted && began.elapsed() < SOON {
                nodes.node(2).execute(bucket, put("after")).await.unwrap();
            }
        }
        assert_eq!(was_interrupted, bucket == "shopping");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_two_parts_now_is_refused_as_in_two_rows_and_watches_of_it_end() {
    let nodes = Nodes::start().await;
    nodes.ready().await;
    let (cluster, watcher) = (&nodes.node(3).cluster, Cluster::watcher(1));
    let mut watched = Vec::new();
    for bucket in ["apples", "shopping"] {
        nodes.node(3).execute(bucket, Op::Create).await.unwrap();
        let version = nodes.node(3).execute(bucket, Op::Watch { watcher }).await.unwrap();
        let version: u64 = version.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        watched.push((kv::FullName::new(bucket.as_bytes()), version));
    }
    nodes.split(3, "..", "m", &["..l", "m.."]).await;
    let transact = async |watched: &[_], buckets: &[&str]| {
        let requests: Vec<_> = buckets.iter().map(|name| Request::new(name.as_bytes(), put("1"))).collect();
        soon(cluster.transact(watched, &requests, |_| {})).await
    };
    assert_eq!(transact(&watched[..1], &["apples"]).await, Ok(true));
    assert_eq!(transact(&watched[1..], &["shopping"]).await, Ok(false), "it may have changed");
    let several = Error::SeveralRanges { one: "..l".into(), other: "m..".into() };
    assert_eq!(transact(&[], &["apples", "shopping"]).await, Err(several));
    let refused = async |buckets: &str, at: &str, problem: &str| {
        let Err(Error::Range(RangeFailure { kind: RangeFailureKind::Invalid, message, .. })) =
            soon(cluster.split(buckets, at.as_bytes())).await
        else {
            panic!("it is split at {at}")
        };
        assert!(message.contains(problem), "{message}");
    };
    refused("..l", "shopping", "..l cannot be split at \"shopping\": name the first bucket of the second")
        .await;
    refused("..", "m", "no row with replicas is \"..\": there are meta, ..l, m..").await;
    refused("meta", "m", "meta has no buckets").await;
    refused("m..", "m", "cannot be split at \"m\"").await;
    refused("m..", "n\0", "choose a name of letters and digits").await;
}
