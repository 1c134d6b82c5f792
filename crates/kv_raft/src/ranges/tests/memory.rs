//! The memory of ranges, which is that of their node.

use super::*;
use crate::limits::LOG_CACHE_LEAST;

#[tokio::test]
async fn without_memory_writes_that_need_some_are_refused_and_not_logged() {
    let directory = TempDir::new().expect("a directory");
    let settings = settings(directory.path());
    let ranges = open_with(&settings).await;
    let range = &ranges.all()[0];
    write(range, "SET a 1; SET b 2").await.expect("written");
    settings.budget.set_limit(Some(1));
    let lines = ["DEL a", "SET c 1", "DEL b"].map(Line::new);
    let requests = lines.each_ref().map(Line::request);
    let (count, ticket) = range.propose(&requests).expect("proposed");
    assert_eq!((count, texts(ticket.await.expect("written"))), (1, vec!["Number(1)".to_owned()]));
    let (count, ticket) = range.propose(&requests[1..]).expect("proposed");
    assert_eq!((count, texts(ticket.await.expect("refused"))), (1, vec!["Error(OutOfMemory)".to_owned()]));
    let transaction = range.transact(&[], &requests).expect("proposed").await.expect("refused");
    assert_eq!(transaction.outcome(), &ProposalOutcome::Refused(kv::CommandError::OutOfMemory));
    ranges.close().await;
}

#[tokio::test]
async fn all_ranges_of_a_node_share_its_memory() {
    let directory = TempDir::new().expect("a directory");
    let spans = alone(&[span("", Some("m")), span("m", None)]);
    let settings = RangesSettings { spans, ..settings(directory.path()) };
    let ranges = open_with(&settings).await;
    let [one, other] = &ranges.all()[..] else { panic!("two ranges") };
    let before = settings.budget.used();
    write(one, &format!("SET a {}", "x".repeat(100_000))).await.expect("written");
    assert!(settings.budget.used() >= before + 100_000);
    settings.budget.set_limit(Some(before + 50_000));
    assert_eq!(write(other, "SET z 1").await, Ok(vec!["Error(OutOfMemory)".to_owned()]));
    write(one, "DEL a").await.expect("written");
    assert_eq!(write(other, "SET z 1").await, Ok(vec!["Done".to_owned()]));
    ranges.close().await;
}

#[tokio::test]
async fn all_ranges_of_a_node_share_the_cache_of_their_logs() {
    for (cache_bytes, of_each) in [(8 << 20, 3 << 20), (1, LOG_CACHE_LEAST / 4 * 3)] {
        let directory = TempDir::new().expect("a directory");
        let spans = alone(&[span("", Some("m")), span("m", None)]);
        let logs = LogOptions { cache_bytes, ..LogOptions::default() };
        let ranges = open_with(&RangesSettings { spans, logs, ..settings(directory.path()) }).await;
        for range in ranges.all() {
            assert_eq!(range.status().log.cache_limit, of_each as u64);
        }
        ranges.close().await;
    }
}

#[tokio::test]
async fn a_snapshot_that_has_to_keep_too_much_is_given_up_and_taken_later() {
    let directory = TempDir::new().expect("a directory");
    let settings = settings(directory.path());
    let ranges = open_with(&settings).await;
    let range = &ranges.all()[0];
    write(range, "HSET list milk 1").await.expect("written");
    settings.freeze_budget.set_memory_limit(Some(0));
    let taking = range.snapshots.begin(&range.store, &range.progress).expect("entries");
    assert_eq!(write(range, "HSET list milk 2").await, Ok(vec!["Number(0)".to_owned()]));
    assert_eq!(taking.finish().await, None);
    let failure = range.status().snapshot.failure.expect("given up");
    assert!(failure.contains("too much was written"), "{failure}");
    assert_eq!(snapshots(directory.path()), Vec::<PathBuf>::new());
    settings.freeze_budget.set_memory_limit(None);
    range.take_snapshot().await.expect("taken");
    assert_eq!(snapshots(directory.path()).len(), 1);
    assert_eq!(settings.freeze_budget.kept(), 0);
    ranges.close().await;
}
