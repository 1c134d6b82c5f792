//! Directories of which a file was lost or damaged: none is taken for a new one.

use super::*;
use crate::{
    error::ways_out,
    identity::{Identity, read_replica, read_synced, write_replica},
    limits::LOG_FILE_BYTES,
    log::LogSettings,
    ranges::{restore::Restore, skip::SkippableEntry},
    replica::renew::begin_log,
};

use std::{collections::BTreeSet, os::unix::fs::symlink};

const REPLICA: &str = "ranges/2-2/replica";

fn two_ranges(data_dir: &Path) -> RangesSettings {
    RangesSettings { spans: alone(&[span("", Some("n")), span("n", None)]), ..settings(data_dir) }
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
        let ways_out = ways_out(Path::new(&range));
        let expected = format!("{} {problem}; put it back from a copy, or {ways_out}", replica.display());
        let RangeState::Stopped(reason) = second(&two_ranges(directory.path())).await else {
            panic!("not stopped: {problem}")
        };
        assert_eq!(*reason, *expected);
        assert_eq!(fs::read_dir(directory.path().join("ranges")).expect("a directory").count(), 2);
        // Without a row that might be its, it is kept, and no row to write back is known.
        let first = RangesSettings { spans: alone(&[span("", Some("n"))]), ..settings(directory.path()) };
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
async fn where_a_directory_has_the_replica_of_another_nothing_is_made_in_its_place() {
    let directory = filled().await;
    let replica = |range: &str| directory.path().join("ranges").join(range).join("replica");
    fs::copy(replica("1-1"), replica("2-2")).expect("copied");
    let ranges = Ranges::open(&two_ranges(directory.path())).expect("opened");
    let problems =
        ["hold data of the same range", "2-2/replica is that of another range; put the right one back"];
    for (range, problem) in ranges.all().iter().zip(problems) {
        let RangeState::Stopped(reason) = range.wait_until_loaded().await else { panic!("not stopped") };
        assert!(reason.contains(problem), "{reason}");
    }
    ranges.close().await;
}

#[tokio::test]
async fn what_a_kill_leaves_while_a_replica_is_made_is_no_replica_and_ids_are_used_once() {
    let directory = filled().await;
    let ranges = directory.path().join("ranges");
    let identity = Identity { range: 7, ..read_replica(&ranges.join("2-2")).expect("read").expect("one") };
    fs::rename(ranges.join("2-2"), ranges.join("7-7")).expect("renamed");
    write_replica(&ranges.join("7-7"), &identity).expect("written");
    fs::create_dir_all(ranges.join("3-3.part/log")).expect("made");
    fs::write(ranges.join("3-3.part/replica.part"), b"KVDB").expect("written");
    fs::create_dir(ranges.join("lost+found")).expect("made");
    fs::write(ranges.join("dump-20261126.tgz"), "an operator's").expect("written");
    let mut settings = two_ranges(directory.path());
    settings.spans[1] = ReplicaSpan::alone(span("n", Some("p")));
    Ranges::open(&settings).expect_err("another span");
    settings.spans[1] = ReplicaSpan::alone(span("n", None));
    fs::remove_dir_all(ranges.join("7-7/log")).expect("removed");
    let RangeState::Stopped(reason) = second(&settings).await else { panic!("not stopped") };
    assert!(reason.ends_with(&format!("log is missing; {}", ways_out(&ranges.join("7-7")))), "{reason}");
    // As the place looks where a disk is mounted, when it is not.
    for file in ["replica", "synced"] {
        fs::remove_file(ranges.join("7-7").join(file)).expect("removed");
    }
    let RangeState::Stopped(reason) = second(&settings).await else { panic!("not stopped") };
    assert!(reason.contains("7-7 is empty; mount the disk that it is on"), "{reason}");
    fs::remove_dir(ranges.join("7-7")).expect("empty");
    assert_eq!(second(&settings).await, RangeState::Ready);
    assert!(ranges.join("3-3/replica").exists() && !ranges.join("3-3.part").exists());
}

/// A link to a disk that is not mounted, or a file: nothing is made in the place of what may be elsewhere.
#[tokio::test]
async fn a_range_whose_directory_is_a_link_to_nowhere_or_a_file_stops() {
    let directory = filled().await;
    let (elsewhere, path) = (TempDir::new().expect("a directory"), directory.path().join("ranges/2-2"));
    let moved = elsewhere.path().join("2-2");
    fs::rename(&path, &moved).expect("moved");
    let expected = format!(
        "{} is not a directory; put the one back that was there, or {}",
        path.display(),
        ways_out(&path)
    );
    let put: [fn(&Path); 2] =
        [|path| symlink("/nowhere", path).expect("made"), |path| fs::write(path, "").expect("written")];
    for put in put {
        put(&path);
        let RangeState::Stopped(reason) = second(&two_ranges(directory.path())).await else {
            panic!("not stopped")
        };
        assert_eq!(*reason, *expected);
        fs::remove_file(&path).expect("removed");
    }
    symlink(moved, &path).expect("made");
    fs::write(directory.path().join("ranges/notes"), "").expect("written");
    assert_eq!(second(&two_ranges(directory.path())).await, RangeState::Ready);
}

/// While the node ran, it was renamed, and the node has written it again; or an old copy was put in.
#[tokio::test]
async fn of_two_directories_of_a_range_none_is_taken_for_the_newer_one() {
    let directory = filled().await;
    let ranges = directory.path().join("ranges");
    let [own, other] = ["2-2", "10-2"].map(|name| ranges.join(name));
    assert!(process::Command::new("cp").arg("-r").args([&own, &other]).status().expect("cp").success());
    let RangeState::Stopped(reason) = second(&two_ranges(directory.path())).await else {
        panic!("not stopped")
    };
    let expected = format!(
        "{} and {} hold data of the same range, n.., and which are newer is not guessed: move the older out of {}",
        other.display(),
        own.display(),
        ranges.display()
    );
    assert_eq!(*reason, *expected);
    let skipped = SkippableEntry::find(directory.path(), "n..", 1).expect_err("not guessed").to_string();
    assert_eq!(skipped, expected);
    // Without its row, both are kept.
    let first = RangesSettings { spans: alone(&[span("", Some("n"))]), ..settings(directory.path()) };
    let opened = Ranges::open(&first).expect("opened");
    assert_eq!(opened.left_over(), [&*other, &*own]);
    opened.close().await;
    drop(opened);
    // Nor is the one that is left, under another name.
    fs::remove_dir_all(&own).expect("removed");
    let RangeState::Stopped(reason) = second(&two_ranges(directory.path())).await else {
        panic!("not stopped")
    };
    let expected = format!(
        "{} holds the data of 2-2: if they are the newest of them, rename it to 2-2, or {}",
        other.display(),
        ways_out(&other)
    );
    assert_eq!(*reason, *expected);
    fs::rename(&other, &own).expect("renamed");
    assert_eq!(second(&two_ranges(directory.path())).await, RangeState::Ready);
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
    let owner = read_replica(&in_short).expect("read").expect("a replica").owner();
    let next = in_short.join("log.next");
    begin_log(LogSettings::new(&next, owner, 1 << 20, Fsync::Always), position.last).expect("begun");
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
    let range = directory.path().join("ranges/1-1");
    assert!(error.ends_with(&format!("log is missing; {}", ways_out(&range))), "{error}");
    assert!(!log.exists());
}

/// A data directory with a log of three files, of which the last one has the last write, and no snapshot.
async fn filled_log() -> TempDir {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let large = format!("SET large {}", "x".repeat(LOG_FILE_BYTES));
    for line in [&large, &large, "SET a 1"] {
        write(&ranges.all()[0], line).await.expect("written");
    }
    ranges.close().await;
    directory
}

/// Why the only range of a data directory has stopped.
async fn stopped(data_dir: &Path) -> String {
    let ranges = Ranges::open(&settings(data_dir)).expect("opened");
    let state = ranges.all()[0].wait_until_loaded().await;
    ranges.close().await;
    match state {
        RangeState::Stopped(reason) => reason.to_string(),
        state => panic!("{state:?}"),
    }
}

#[tokio::test]
async fn a_log_without_its_newest_file_is_not_taken_for_all_there_was() {
    let directory = filled_log().await;
    let log = directory.path().join("ranges/1-1/log");
    let files = log_files(directory.path());
    assert_eq!(files.len(), 3);
    let newest = fs::read(&files[2]).expect("the newest");
    fs::remove_file(&files[2]).expect("removed");
    let reason = stopped(directory.path()).await;
    let expected = format!("{}: the log ends at entry ", log.display());
    assert!(reason.starts_with(&expected), "{reason}");
    let range = directory.path().join("ranges/1-1");
    assert!(reason.ends_with(&format!("put it back, or {}", ways_out(&range))), "{reason}");
    // Nothing was changed by that.
    fs::write(&files[2], newest).expect("put back");
    let ranges = open(directory.path()).await;
    assert_eq!(read(&ranges.all()[0], "GET a"), "1");
    ranges.close().await;
}

/// What a loss of power leaves looks the same, and is cut off.
#[tokio::test]
async fn a_torn_end_that_was_on_disk_is_named_and_nothing_is_cut_off() {
    let directory = filled_log().await;
    let file = &log_files(directory.path())[2];
    let whole = fs::read(file).expect("the newest");
    let entry = whole.windows(3).position(|bytes| bytes == b"set").expect("the write");
    for (damaged, is_first) in [
        (whole[..entry].to_vec(), false),
        ([&whole[..entry], &vec![0; whole.len() - entry]].concat(), false),
        (whole[..7].to_vec(), true),
        (vec![0; whole.len()], true),
        (Vec::new(), true),
    ] {
        fs::write(file, &damaged).expect("written");
        let reason = stopped(directory.path()).await;
        let expected = format!("{} is damaged at offset ", file.display());
        let rest = reason.strip_prefix(&expected).unwrap_or_else(|| panic!("{reason}"));
        assert_eq!(rest.starts_with("0: "), is_first, "{reason}");
        assert!(rest.contains(" was on disk, says `synced` beside it; put the file back"), "{reason}");
        assert!(reason.ends_with(&ways_out(&directory.path().join("ranges/1-1"))), "{reason}");
        assert!(fs::read(file).expect("a file") == damaged, "it was changed");
    }
    fs::write(file, whole).expect("put back");
    let ranges = open(directory.path()).await;
    assert_eq!(read(&ranges.all()[0], "GET a"), "1");
    ranges.close().await;
}

#[tokio::test]
async fn a_torn_end_is_not_cut_off_while_a_file_before_it_is_damaged() {
    let directory = filled_log().await;
    fs::remove_file(directory.path().join("ranges/1-1/synced")).expect("removed");
    let files = log_files(directory.path());
    let mut middle = fs::read(&files[1]).expect("a file");
    *middle.last_mut().expect("bytes") ^= 1;
    fs::write(&files[1], middle).expect("written");
    let newest = fs::read(&files[2]).expect("the newest");
    for torn in [&newest[..newest.len() - 1], &newest[..7], &[]] {
        fs::write(&files[2], torn).expect("written");
        let reason = stopped(directory.path()).await;
        assert!(reason.starts_with(&format!("{} is damaged at offset ", files[1].display())), "{reason}");
        assert!(fs::read(&files[2]).expect("a file") == torn, "it was changed");
    }
}

#[tokio::test]
async fn an_empty_file_among_those_of_a_log_is_named() {
    let directory = filled_log().await;
    let file = &log_files(directory.path())[1];
    fs::write(file, "").expect("emptied");
    let reason = stopped(directory.path()).await;
    let expected = format!("{} is damaged at offset 0; ", file.display());
    assert!(reason.starts_with(&expected), "{reason}");
}

#[tokio::test]
async fn how_far_a_log_is_on_disk_is_noted_when_a_file_begins() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    let large = format!("SET large {}", "x".repeat(LOG_FILE_BYTES));
    for line in [&large, "SET a 1", &large] {
        write(range, line).await.expect("written");
    }
    let entry = range.status().applied;
    while read_synced(&directory.path().join("ranges/1-1")).expect("read") < entry {
        tokio::task::yield_now().await;
    }
    let killed = killed(directory.path());
    let files = log_files(killed.path());
    files[1..].iter().for_each(|file| fs::remove_file(file).expect("removed"));
    let reason = stopped(killed.path()).await;
    assert!(reason.contains(&format!(", and entry {entry} was on disk, ")), "{reason}");
    ranges.close().await;
}

/// Others may join a replica that is alone now. It must not be taken for one that has promised something.
#[tokio::test]
async fn a_replica_that_takes_the_place_of_a_lost_one_has_another_id() {
    let directories = [(); 3].map(|()| TempDir::new().expect("a directory"));
    let [first, second, restored] = directories.each_ref().map(TempDir::path);
    let restore = Restore::begin(restored, "foo@127.0.0.1", &[span("", None)], 1, 0).expect("begun");
    restore.finish().expect("restored");
    for directory in [first, second, restored] {
        open(directory).await.close().await;
    }
    let replica = |directory: &Path| read_replica(&directory.join("ranges/1-1")).expect("read").expect("one");
    let ids = BTreeSet::from([first, second, restored].map(|directory| replica(directory).replica));
    assert_eq!(ids.len(), 3, "{ids:?}");
}

/// The files have the names of those whose places they take, and whole records.
#[tokio::test]
async fn a_file_of_another_log_is_refused() {
    let (directory, other) = (filled_log().await, filled_log().await);
    let replica = read_replica(&other.path().join("ranges/1-1")).expect("read").expect("one").replica;
    for (file, from) in log_files(directory.path()).into_iter().zip(log_files(other.path())) {
        let bytes = fs::read(&file).expect("a file");
        fs::copy(from, &file).expect("replaced");
        let reason = stopped(directory.path()).await;
        let expected = format!(
            "{} is a file of the log of another replica, 1-{replica}; put the one back",
            file.display()
        );
        assert!(reason.starts_with(&expected), "{reason}");
        fs::write(&file, bytes).expect("put back");
    }
    let ranges = open(directory.path()).await;
    assert_eq!(read(&ranges.all()[0], "GET a"), "1");
    ranges.close().await;
}

#[tokio::test]
async fn a_damaged_log_stops_its_range_alone_with_file_and_offset() {
    let directory = TempDir::new().expect("a directory");
    let settings = RangesSettings {
        spans: alone(&[span("", Some("n")), span("n", None)]),
        ..settings(directory.path())
    };
    let ranges = Ranges::open(&settings).expect("opened");
    for (range, line) in ranges.all().iter().zip(["SET a 1; SET b 1", "SET x 1"]) {
        assert_eq!(range.wait_until_loaded().await, RangeState::Ready);
        write(range, line).await.expect("written");
    }
    ranges.close().await;
    drop(ranges);
    let log = directory.path().join(FIRST_LOG);
    let mut bytes = fs::read(&log).expect("the log");
    let place = bytes.windows(3).position(|bytes| bytes == b"set").expect("the write");
    bytes[place] ^= 1;
    fs::write(&log, bytes).expect("written");
    let ranges = Ranges::open(&settings).expect("opened");
    let RangeState::Stopped(reason) = ranges.all()[0].wait_until_loaded().await else {
        panic!("it has not stopped")
    };
    assert!(reason.starts_with(&format!("{} is damaged at offset ", log.display())), "{reason}");
    let refused = write(&ranges.all()[0], "SET a 2").await;
    assert!(matches!(refused, Err(RangeError::Stopped { .. })), "{refused:?}");
    assert_eq!(ranges.all()[1].wait_until_loaded().await, RangeState::Ready);
    assert_eq!(read(&ranges.all()[1], "GET x"), "1");
    ranges.close().await;
}

#[tokio::test]
async fn without_its_snapshot_a_log_is_not_taken_for_all_there_was() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    write(&ranges.all()[0], "SET a 1; SET b 1").await.expect("written");
    ranges.all()[0].take_snapshot().await.expect("taken");
    // The log is cut behind the snapshot, which an entry after that shows.
    while ranges.all()[0].status().log.entries > 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    write(&ranges.all()[0], "SET c 1").await.expect("written");
    ranges.close().await;
    drop(ranges);
    let [snapshot] = &snapshots(directory.path())[..] else { panic!("a snapshot") };
    let bytes = fs::read(snapshot).expect("the snapshot");
    let stopped = || async {
        let ranges = Ranges::open(&settings(directory.path())).expect("opened");
        let state = ranges.all()[0].wait_until_loaded().await;
        ranges.close().await;
        match state {
            RangeState::Stopped(reason) => reason.to_string(),
            state => panic!("{state:?}"),
        }
    };
    for place in [6, bytes.len() / 2, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        fs::write(snapshot, damaged).expect("written");
        let reason = stopped().await;
        assert!(reason.starts_with(&*snapshot.to_string_lossy()), "{reason}");
        assert!(reason.contains("damaged in the block behind byte"), "{reason}");
        assert!(reason.contains("; with the node stopped, move "), "{reason}");
    }
    let data_dir = directory.path().display();
    let ways_out = format!(
        "; with the node stopped, move {data_dir} elsewhere, to start empty and `restore` a backup, or \
         {data_dir}/ranges/1-1 elsewhere, to start without these buckets"
    );
    let check =
        |reason: String, problem| assert!(reason.ends_with(&format!("{problem}{ways_out}")), "{reason}");
    fs::remove_file(snapshot).expect("removed");
    check(stopped().await, "the log does not go on from the snapshot");
    fs::write(snapshot, bytes).expect("written");
    let log = directory.path().join("ranges/1-1/log");
    for file in fs::read_dir(&log).expect("a directory") {
        fs::remove_file(file.expect("a file").path()).expect("removed");
    }
    check(stopped().await, "log is empty");
    // Nor without a snapshot, which would be a range without buckets.
    fs::remove_file(snapshot).expect("removed");
    check(stopped().await, "log is empty");
    fs::remove_dir_all(&log).expect("removed");
    check(stopped().await, "log is missing");
}
