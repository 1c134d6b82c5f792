//! Directories of which a file was lost or damaged: none is taken for a new one.

use super::*;
use crate::{
    ranges::{restore::Restore, skip::SkippableEntry},
    replica::renew::begin_log,
};

const REPLICA: &str = "ranges/2-2/replica";

fn two_ranges(data_dir: &Path) -> RangesSettings {
    RangesSettings { spans: vec![span("", Some("n")), span("n", None)], ..settings(data_dir) }
}

/// A data directory with two ranges, each with a bucket.
async fn filled() -> TempDir {
    let directory = TempDir::new().expect("a directory");
    let ranges = Ranges::open(&two_ranges(directory.path())).expect("opened");
    for (range, line) in ranges.all().iter().zip(["SET a 1", "SET x 1"]) {
        assert_eq!(range.wait_until_loaded().await, RangeState::Ready);
        write(range, line).await.expect("written");
    }
    ranges.close().await;
    directory
}

/// What became of the second range; the first one is ready.
async fn second(settings: &RangesSettings) -> RangeState {
    let ranges = Ranges::open(settings).expect("opened");
    assert_eq!(ranges.all()[0].wait_until_loaded().await, RangeState::Ready);
    assert_eq!(read(&ranges.all()[0], "GET a"), "1");
    let state = ranges.all()[1].wait_until_loaded().await;
    ranges.close().await;
    state
}

#[tokio::test]
async fn without_its_replica_file_a_range_stops_and_no_other_takes_its_place() {
    let directory = filled().await;
    let replica = directory.path().join(REPLICA);
    let bytes = fs::read(&replica).expect("the file");
    let range = replica.parent().expect("a directory").display().to_string();
    for (damaged, problem) in [(None, "is missing"), (Some(&bytes[1..]), "is damaged")] {
        match damaged {
            None => fs::remove_file(&replica).expect("removed"),
            Some(bytes) => fs::write(&replica, bytes).expect("written"),
        }
        let expected = format!(
            "{} {problem}; restore its directory from a backup, or move {range} elsewhere to start without its \
             data",
            replica.display()
        );
        let RangeState::Stopped(reason) = second(&two_ranges(directory.path())).await else {
            panic!("not stopped: {problem}")
        };
        assert_eq!(*reason, *expected);
        assert_eq!(fs::read_dir(directory.path().join("ranges")).expect("a directory").count(), 2);
        // Without a row that might be its, it is kept, and no row to write back is known.
        let first = RangesSettings { spans: vec![span("", Some("n"))], ..settings(directory.path()) };
        let ranges = Ranges::open(&first).expect("opened");
        assert_eq!(ranges.all()[0].wait_until_loaded().await, RangeState::Ready);
        assert!(ranges.left_over().is_empty());
        ranges.close().await;
        assert!(Path::new(&range).join("log").exists());
    }
    fs::write(&replica, bytes).expect("written");
    assert_eq!(second(&two_ranges(directory.path())).await, RangeState::Ready);
}

#[tokio::test]
async fn what_a_kill_leaves_while_a_replica_is_made_is_no_replica_and_ids_are_used_once() {
    let directory = filled().await;
    let ranges = directory.path().join("ranges");
    fs::rename(ranges.join("2-2"), ranges.join("7-9")).expect("renamed");
    fs::create_dir_all(ranges.join("10-10.part/log")).expect("made");
    fs::write(ranges.join("10-10.part/replica.part"), b"KVDB").expect("written");
    fs::create_dir(ranges.join("lost+found")).expect("made");
    let mut settings = two_ranges(directory.path());
    settings.spans[1] = span("n", Some("p"));
    Ranges::open(&settings).expect_err("another span");
    settings.spans[1] = span("n", None);
    fs::remove_dir_all(ranges.join("7-9/log")).expect("removed");
    let RangeState::Stopped(reason) = second(&settings).await else { panic!("not stopped") };
    assert!(reason.ends_with("log is missing; restore the range from a backup"), "{reason}");
    // Moved away by the operator, but for its name.
    fs::remove_file(ranges.join("7-9/replica")).expect("removed");
    assert_eq!(second(&settings).await, RangeState::Ready);
    assert!(ranges.join("10-10/replica").exists() && !ranges.join("10-10.part").exists());
}

#[tokio::test]
async fn the_ids_of_a_directory_that_was_moved_away_are_not_used_again() {
    let directory = filled().await;
    let ranges = directory.path().join("ranges");
    let elsewhere = TempDir::new().expect("a directory");
    fs::rename(ranges.join("2-2"), elsewhere.path().join("2-2")).expect("moved");
    assert_eq!(second(&two_ranges(directory.path())).await, RangeState::Ready);
    assert!(ranges.join("3-3").exists() && !ranges.join("2-2").exists());
    // Nor by a restore into what is left.
    fs::rename(&ranges, elsewhere.path().join("ranges")).expect("moved");
    let spans = [span("", None)];
    let restore = Restore::begin(directory.path(), "foo@127.0.0.1", &spans, 1, 1).expect("begun");
    restore.finish().expect("finished");
    assert!(ranges.join("4-4/replica").exists());
}

/// With syncs at intervals a loss of power leaves less of a log that has failed than its snapshot has.
#[tokio::test]
async fn a_log_that_ends_before_its_snapshot_gives_way_to_the_next_one() {
    let directory = TempDir::new().expect("a directory");
    let settings = settings(directory.path());
    let ranges = open_with(&settings).await;
    let range = &ranges.all()[0];
    write(range, "SET a 1").await.expect("written");
    let short = killed(directory.path());
    write(range, "SET b 1").await.expect("written");
    range.take_snapshot().await.expect("taken");
    let position = range.progress.position().expect("entries");
    ranges.close().await;
    let [snapshot] = &snapshots(directory.path())[..] else { panic!("a snapshot") };
    let in_short = short.path().join("ranges/1-1");
    fs::copy(snapshot, in_short.join(snapshot.file_name().expect("a name"))).expect("copied");
    begin_log(&in_short.join("log.next"), 1 << 20, Fsync::Always, position.last).expect("begun");
    let ranges = open(short.path()).await;
    let range = &ranges.all()[0];
    assert_eq!([read(range, "GET a"), read(range, "GET b")], ["1", "1"]);
    write(range, "SET c 1").await.expect("written");
    ranges.close().await;
}

#[tokio::test]
async fn to_leave_an_entry_out_makes_no_log_and_takes_none_away() {
    let directory = filled().await;
    let (log, next) = (directory.path().join("ranges/1-1/log"), directory.path().join("ranges/1-1/log.next"));
    let find = |index| SkippableEntry::find(directory.path(), "1-1", index);
    // A process was killed between the two renames of a log that is written again.
    fs::rename(&log, &next).expect("renamed");
    find(1_000).expect_err("no such entry");
    assert!(log.exists() && !next.exists());
    assert_eq!(second(&two_ranges(directory.path())).await, RangeState::Ready);
    fs::remove_dir_all(&log).expect("removed");
    let error = find(1).expect_err("no log").to_string();
    assert!(error.ends_with("log is missing; restore the range from a backup"), "{error}");
    assert!(!log.exists());
}
