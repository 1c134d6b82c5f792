//! A disk without space, and a range that has stopped: nothing is filled, nobody waits forever, and watches
//! do not stay.

use super::*;
use crate::identity::Owner;
use crate::{
    limits::{SNAPSHOT_RETRY_PAUSE, SNAPSHOT_RETRY_PAUSE_LIMIT},
    snapshot::{encode_store, files},
};
use std::time::Instant;

#[tokio::test]
async fn a_snapshot_without_space_is_not_begun_and_not_soon_tried_again() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    write(range, "SET a 1").await.expect("written");
    let disk = &range.snapshots.disk;
    let reserve = disk.reserve();
    disk.set_reserve(u64::MAX);
    for _ in 0..2 {
        let refused = range.take_snapshot().await.expect_err("there is no space");
        assert!(refused.contains(" B are to be written, and only"), "{refused}");
    }
    let (status, now) = (range.status().snapshot, Instant::now());
    assert_eq!((status.failures, status.written), (2, 0));
    assert!(status.is_held_back(now + SNAPSHOT_RETRY_PAUSE), "it doubles");
    assert!(!status.is_held_back(now + 2 * SNAPSHOT_RETRY_PAUSE));
    let mut often = status;
    often.failures = u64::MAX;
    assert!(!often.is_held_back(now + SNAPSHOT_RETRY_PAUSE_LIMIT));
    disk.set_reserve(reserve);
    range.take_snapshot().await.expect("there is space, and it was asked for");
    assert!(!range.status().snapshot.is_held_back(Instant::now()));
    ranges.close().await;
}

#[tokio::test]
async fn a_snapshot_is_given_up_before_it_takes_the_reserve() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    write(range, "SET a 1").await.expect("written");
    let mut frozen = range.freeze().expect("no other copy");
    let (position, replica) =
        (range.progress.position().expect("an entry"), directory.path().join("ranges/1-1"));
    let header = files::header(&position, Owner::default(), 0, &range.store);
    let disk = &range.snapshots.disk;
    disk.set_reserve(u64::MAX);
    let written = files::write(&replica, &ranges.shared.data_dir, disk, &position, &header, |encoder| {
        encode_store(&mut frozen, encoder)
    });
    let error = written.expect_err("no space");
    assert!(matches!(error, files::NotWritten::NoSpace(_)), "{error}");
    let left = fs::read_dir(&replica).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with("snapshot")));
    drop(frozen);
    ranges.close().await;
}

#[tokio::test]
async fn waits_for_a_range_that_stops_end() {
    let directory = TempDir::new().expect("a directory");
    let logs = synced_at(Duration::from_secs(3_600));
    let ranges = Ranges::open(&RangesSettings { logs, ..settings(directory.path()) }).expect("opened");
    let range = &ranges.all()[0];
    assert_eq!(range.wait_until_loaded().await, RangeState::Ready);
    write(range, "SET a 1").await.expect("written");
    // The first sync is at once, the next one in an hour.
    while range.status().unsynced == 0 {
        write(range, "SET a 1").await.expect("written");
    }
    ranges.close().await;
    // Nobody takes it any more.
    let taken = range.take_snapshot();
    let stop = async { range.stop("the disk is gone") };
    let (taken, (), synced, ()) =
        tokio::join!(taken, range.wait_until_written(), range.wait_until_synced(), stop);
    assert_eq!(taken.expect_err("it has stopped"), "the disk is gone".into());
    assert!(matches!(synced, Err(RangeError::Stopped { .. })), "{synced:?}");
}

const WATCHER: Watcher = Watcher { link: 0, connection: 1 };
const WATCHED: FullName<'_> = FullName { database: Database::ZERO, name: b"a" };

/// Watches a bucket, and returns its version.
async fn watch(range: &Range) -> u64 {
    let request = Request::new(WATCHED.name, Op::Watch { watcher: WATCHER });
    let (_, ticket) = range.propose(&[request]).expect("proposed");
    match ticket.await.expect("written").next_reply() {
        Some(RangeReply::Reply(Reply::Number(version))) => version as u64,
        _ => panic!("not a version"),
    }
}

/// Whether the watch has ended.
async fn has_ended(range: &Range, version: u64) -> bool {
    let line = Line::new("SET b 1");
    let ticket = range.transact(&[(WATCHED, version)], &[line.request()]).expect("proposed");
    *ticket.await.expect("written").outcome() == ProposalOutcome::Aborted
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_end_although_the_range_refuses_writes() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    let unwatch = [Request::new(WATCHED.name, Op::Unwatch { watcher: WATCHER })];
    let disk = &range.snapshots.disk;
    let set_reserve = |reserve| {
        disk.set_reserve(reserve);
        disk.refresh().expect("a disk");
    };
    let version = watch(range).await;
    assert!(!has_ended(range, version).await);
    let reserve = disk.reserve();
    set_reserve(u64::MAX);
    assert!(matches!(write(range, "SET b 2").await, Err(RangeError::CannotWrite { .. })));
    let (_, ticket) = range.propose(&unwatch).expect("watches end on a full disk");
    ticket.await.expect("written");
    set_reserve(reserve);
    assert!(has_ended(range, version).await);

    // While the log is written again nothing can be proposed: all watches end with that.
    let version = watch(range).await;
    range.fail_log("a test");
    assert!(range.propose(&unwatch).is_err());
    range.proposals.accept();
    assert!(has_ended(range, version).await);
    // What was not refused ends nothing else.
    let version = watch(range).await;
    range.proposals.fail(&RangeError::Loading { range: "..".into(), percent: 0 });
    range.proposals.accept();
    assert!(!has_ended(range, version).await);
    ranges.close().await;
}
