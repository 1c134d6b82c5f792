//! Transactions behind a snapshot, whose watches are from before it.

use super::*;

/// What an acknowledged transaction, or one that was aborted, has left in a range that was loaded again.
async fn check_again(data_dir: &Path, expected: [&str; 2]) {
    let ranges = open(data_dir).await;
    let range = &ranges.all()[0];
    assert_eq!([read(range, "GET a"), read(range, "GET b")], expected);
    ranges.close().await;
}

async fn executes(range: &Range, watched: (FullName<'_>, u64), lines: &str) {
    assert_eq!(transact(range, watched, lines).await.outcome(), &ProposalOutcome::Executed);
}

async fn aborts(range: &Range, watched: (FullName<'_>, u64), lines: &str) {
    assert_eq!(transact(range, watched, lines).await.outcome(), &ProposalOutcome::Aborted);
}

async fn unwatch(range: &Range, name: &str) {
    let request = Request::new(name.as_bytes(), Op::Unwatch { watcher: WATCHER });
    range.propose(&[request]).expect("proposed").1.await.expect("written");
}

#[tokio::test]
async fn versions_go_on_behind_a_snapshot() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    watch(range, "a").await;
    unwatch(range, "a").await;
    range.take_snapshot().await.expect("taken");
    executes(range, watch(range, "a").await, "SET a 1; SET b 1").await;
    let killed = killed(directory.path());
    ranges.close().await;
    drop(ranges);
    check_again(killed.path(), ["1", "1"]).await;
    check_again(directory.path(), ["1", "1"]).await;
}

#[tokio::test]
async fn what_is_watched_during_a_snapshot_is_watched_behind_it() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    write(range, "SET a 0; SET b 0; SET c 0").await.expect("written");
    let (a, b) = (watch(range, "a").await, watch(range, "b").await);
    let c = watch(range, "c").await;
    write(range, "SET c 1").await.expect("written");
    range.take_snapshot().await.expect("taken");
    aborts(range, c, "SET a 2; SET b 2").await;
    write(range, "SET b 1").await.expect("written");
    aborts(range, b, "SET a 3; SET b 3").await;
    executes(range, a, "SET a 4").await;
    let killed = killed(directory.path());
    // A second snapshot has what was loaded from the first.
    range.take_snapshot().await.expect("taken");
    executes(range, watch(range, "a").await, "INCR a").await;
    ranges.close().await;
    drop(ranges);
    check_again(killed.path(), ["4", "1"]).await;
    check_again(directory.path(), ["5", "1"]).await;
}

#[tokio::test]
async fn a_transaction_behind_a_snapshot_survives_a_crash_of_the_range() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    let (a, b) = (watch(range, "a").await, watch(range, "b").await);
    range.take_snapshot().await.expect("taken");
    executes(range, a, "SET a 1").await;
    let (_, ticket) = range.propose(&[Request::new(b"a", Op::Crash)]).expect("proposed");
    assert!(matches!(ticket.await, Err(RangeError::Unknown { .. })));
    while write(range, "SET c 1").await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(read(range, "GET a"), "1");
    // The process has not ended, nor has the watch.
    executes(range, b, "SET b 1").await;
    ranges.close().await;
    drop(ranges);
    check_again(directory.path(), ["1", "1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_behind_a_log_that_was_written_again_is_there_after_a_restart() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    let a = watch(range, "a").await;
    fs::remove_dir_all(directory.path().join("ranges/1-1/log")).expect("removed");
    let value = format!("SET large {}", "x".repeat(1024 * 1024));
    while write(range, &value).await.is_ok() {}
    while write(range, "SET b 1").await.is_err() {
        tokio::task::yield_now().await;
    }
    executes(range, a, "SET a 1").await;
    ranges.close().await;
    drop(ranges);
    check_again(directory.path(), ["1", "1"]).await;
}

#[tokio::test]
async fn a_watch_of_what_expires_ends_by_the_time_of_the_range() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    write(range, "HSET list stays 1; HSETEX list PX 1000 FIELDS 1 goes 1").await.expect("written");
    write(range, "SET soon 1 PX 1000; SET a 0; SET b 0").await.expect("written");
    let (list, soon) = (watch(range, "list").await, watch(range, "soon").await);
    range.take_snapshot().await.expect("taken");
    // The sweeper removes both after a second, and leaves nothing of that in the log.
    while range.store().bucket_counts()[0] > 3 || read(range, "HLEN list") != "Number(1)" {
        tokio::task::yield_now().await;
    }
    while range.store().stats().expired_entries == 0 {
        tokio::task::yield_now().await;
    }
    aborts(range, list, "SET a 1").await;
    aborts(range, soon, "SET b 1").await;
    ranges.close().await;
    drop(ranges);
    check_again(directory.path(), ["0", "0"]).await;
}
