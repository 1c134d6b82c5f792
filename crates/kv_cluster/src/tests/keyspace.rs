//! The buckets of all nodes.

use super::*;
use crate::{error::Outcome, local::Scope};
use kv::Database;
use kv::{Kind, ScanFilter};

/// `foo` and `bar` with 300 buckets each.
async fn full_pair() -> (Node, Node) {
    let (foo, bar) = pair().await;
    for (node, letter) in [(&foo, 'a'), (&bar, 's')] {
        for number in 0..300 {
            let bucket = format!("{letter}{number}");
            node.execute(&bucket, Op::Create).await.unwrap();
        }
    }
    (foo, bar)
}

async fn scan(node: &Node, filter: ScanFilter<'_>) -> Result<Vec<String>, Error> {
    let (mut names, mut cursor) = (Vec::new(), 0);
    loop {
        let page = soon(node.cluster.scan(cursor, &filter)).await?;
        names.extend(page.names.iter().map(|name| String::from_utf8_lossy(name).into_owned()));
        cursor = page.next;
        if cursor == 0 {
            names.sort_unstable();
            return Ok(names);
        }
    }
}

#[tokio::test]
async fn a_scan_lists_each_bucket_of_all_nodes_once_and_filters_on_the_owner() {
    let (foo, bar) = full_pair().await;
    for count in [1, 10, usize::MAX] {
        let mut names = scan(&foo, ScanFilter { count, ..ScanFilter::default() }).await.unwrap();
        names.dedup();
        assert_eq!(names.len(), 600, "{count}");
    }
    let tens = ScanFilter { pattern: Some(b"?10"), ..ScanFilter::default() };
    assert_eq!(scan(&bar, tens).await.unwrap(), ["a10", "s10"]);
    assert_eq!(scan(&bar, ScanFilter { kind: Some(Kind::Map), ..tens }).await.unwrap().len(), 2);
    assert!(scan(&bar, ScanFilter { kind: Some(Kind::Str), ..tens }).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cursor_is_valid_on_every_node() {
    let (foo, bar) = full_pair().await;
    let (mut names, mut cursor) = (Vec::new(), 0);
    for node in [&foo, &bar].into_iter().cycle() {
        let page = soon(node.cluster.scan(cursor, &ScanFilter { count: 20, ..ScanFilter::default() }))
            .await
            .unwrap();
        names.extend(page.names);
        cursor = page.next;
        if cursor == 0 {
            break;
        }
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 600);
}

#[tokio::test]
async fn a_page_that_one_node_does_not_fill_goes_on_with_the_next() {
    let (foo, bar) = pair().await;
    for number in 0..5 {
        foo.execute(&format!("a{number}"), Op::Create).await.unwrap();
    }
    // bar is scanned first, and has nothing.
    let page =
        soon(bar.cluster.scan(0, &ScanFilter { count: 1_000, ..ScanFilter::default() })).await.unwrap();
    assert_eq!((page.names.len(), page.next), (5, 0));
    bar.execute("salt", Op::Create).await.unwrap();
    let page =
        soon(foo.cluster.scan(0, &ScanFilter { count: 1_000, ..ScanFilter::default() })).await.unwrap();
    assert_eq!((page.names.len(), page.next), (6, 0), "the names of both");
    tokio::join!(foo.supervisor.stop(), bar.peer_goes_down());
    let page = soon(bar.cluster.scan(0, &ScanFilter::default())).await.unwrap();
    assert_eq!(page.names, [Box::from(*b"salt")], "what is there is not lost to an error");
    assert!(matches!(
        soon(bar.cluster.scan(page.next, &ScanFilter::default())).await,
        Err(Error::NodeDown { .. })
    ));
}

#[tokio::test]
async fn any_cursor_is_harmless() {
    let (foo, _bar) = full_pair().await;
    for cursor in [1, 2, 3, 12_345, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
        soon(foo.cluster.scan(cursor, &ScanFilter::default())).await.unwrap();
    }
}

#[tokio::test]
async fn buckets_are_counted_and_chosen_at_random_on_all_nodes() {
    let (foo, _bar) = pair().await;
    assert_eq!(soon(foo.cluster.random_name(Database::ZERO)).await, Ok(None));
    assert_eq!(soon(foo.cluster.bucket_counts()).await.map(|counts| counts[0]), Ok(0));
    for bucket in ["apples", "shopping"] {
        foo.execute(bucket, Op::Create).await.unwrap();
    }
    assert_eq!(soon(foo.cluster.bucket_counts()).await.map(|counts| counts[0]), Ok(2));
    let mut expected = vec!["apples", "shopping"];
    while !expected.is_empty() {
        let key = soon(foo.cluster.random_name(Database::ZERO)).await.unwrap().unwrap();
        expected.retain(|name| name.as_bytes() != &*key);
    }
    let stats = soon(foo.cluster.stats()).await;
    let nodes: Vec<_> = stats.iter().map(|(node, _)| node.clone()).collect();
    assert_eq!(nodes, [name("foo"), name("bar")]);
    assert!(stats.iter().all(|(_, stats)| stats.as_ref().is_ok_and(|stats| stats.buckets() == 1)));
}

#[tokio::test]
async fn a_flush_ends_the_buckets_of_all_nodes() {
    let (foo, bar) = full_pair().await;
    soon(bar.cluster.flush(None)).await.unwrap();
    assert_eq!(soon(foo.cluster.bucket_counts()).await.map(|counts| counts[0]), Ok(0));
    assert_eq!(foo.execute("shopping", Op::Create).await.unwrap(), "Done");
}

#[tokio::test]
async fn a_node_that_is_down_is_named_and_nothing_is_flushed() {
    let (foo, bar) = full_pair().await;
    tokio::join!(bar.supervisor.stop(), foo.peer_goes_down());
    let down = |error: Error| assert!(error.to_string().starts_with("node bar@127.0.0.1 is down"), "{error}");
    down(scan(&foo, ScanFilter::default()).await.unwrap_err());
    down(soon(foo.cluster.random_name(Database::ZERO)).await.unwrap_err());
    down(soon(foo.cluster.bucket_counts()).await.unwrap_err());
    down(soon(foo.cluster.flush(None)).await.unwrap_err());
    assert_eq!(foo.cluster.local().bucket_counts(Scope::All)[0], 300);
    let stats = soon(foo.cluster.stats()).await;
    assert!(stats[0].1.is_ok() && stats[1].1.is_err());
}

#[tokio::test]
async fn a_flush_that_not_all_nodes_acknowledge_says_which_did() {
    let foo = Node::start(foo_settings()).await;
    foo.execute("apples", Op::Create).await.unwrap();
    let mut bar = FakeBar::link_to(&foo).await;
    assert!(foo.cluster.connect(&name("bar")).await);
    let lose = async {
        bar.receive().await;
        drop(bar);
    };
    let (result, ()) = tokio::join!(soon(foo.cluster.flush(None)), lose);
    let error = result.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(
        error.to_string(),
        "not all nodes were flushed: outcome unknown: the link to bar@127.0.0.1 was lost before the reply; the \
         request may have been applied; flushed: foo@127.0.0.1"
    );
}

#[tokio::test]
async fn a_reply_of_another_kind_is_an_error() {
    let foo = Node::start(foo_settings()).await;
    let mut bar = FakeBar::link_to(&foo).await;
    assert!(foo.cluster.connect(&name("bar")).await);
    for reply in [NodeReply::Done, NodeReply::Counts(vec![1, 2])] {
        let lie = async {
            bar.receive().await;
            bar.send::<()>(Message::NodeReply { id: 0, reply }, &[]).await;
        };
        let (count, ()) = tokio::join!(soon(foo.cluster.bucket_counts()), lie);
        assert_eq!(count, Err(Error::UnexpectedNodeReply { node: name("bar").shared() }));
    }
}
