//! Files that others remove, replace or cut while the node runs: nothing that was acknowledged is lost.

use super::*;
use crate::{
    identity::{data_dir::lock, read_synced},
    limits::{LOG_CHECK_PAUSE, LOG_FILE_BYTES},
    snapshot::{encode_store, files},
};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::io::Write;

/// What others do to a data directory with one range.
type Harm = fn(&Path);

/// Whether that is mended.
type IsMended = fn(&Path) -> bool;

/// A range with a snapshot and a log of two files behind it, of which one is large.
async fn filled(data_dir: &Path) -> Ranges {
    let ranges = open(data_dir).await;
    let range = &ranges.all()[0];
    write(range, "SET a 1").await.expect("written");
    range.take_snapshot().await.expect("taken");
    let large = format!("SET large {}", "x".repeat(LOG_FILE_BYTES));
    write(range, &large).await.expect("written");
    write(range, "SET b 1").await.expect("written");
    ranges
}

/// Waits until a range has what was acknowledged on disk again, and writes more. What a kill leaves then has
/// all of it.
async fn survives(harm: Harm, is_mended: IsMended) {
    let directory = TempDir::new().expect("a directory");
    let ranges = filled(directory.path()).await;
    let range = &ranges.all()[0];
    // Another file in the place of one that the node has not looked at yet is not noticed.
    tokio::time::sleep(3 * LOG_CHECK_PAUSE).await;
    harm(directory.path());
    // The file that was cut grows beyond what it was.
    let is_acknowledged = write(range, "SET d 1").await.is_ok();
    while !is_mended(directory.path()) {
        assert_eq!(read(range, "GET b"), "1", "reads go on");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while write(range, "SET c 1").await.is_err() {
        tokio::task::yield_now().await;
    }
    range.wait_until_written().await;
    let killed = killed(directory.path());
    ranges.close().await;
    let ranges = open(killed.path()).await;
    let found = ["a", "b", "c"].map(|name| read(&ranges.all()[0], &format!("GET {name}")));
    assert_eq!(found, ["1", "1", "1"]);
    assert!(!is_acknowledged || read(&ranges.all()[0], "GET d") == "1");
    assert_eq!(read(&ranges.all()[0], "STRLEN large"), format!("Number({LOG_FILE_BYTES})"));
    ranges.close().await;
}

fn remove(path: &Path) {
    // At once: the node might make something again among what is being removed.
    let gone = path.with_extension("gone");
    fs::rename(path, &gone).expect("renamed");
    match gone.is_dir() {
        true => fs::remove_dir_all(gone).expect("removed"),
        false => fs::remove_file(gone).expect("removed"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_others_take_from_a_running_node_are_made_again() {
    // The log that takes the place of another one is there as a whole.
    let log_made: IsMended = |data_dir| {
        ["log", "log.next"].map(|log| data_dir.join("ranges/1-1").join(log).exists()) == [true, false]
    };
    let log_renewed: IsMended = |data_dir| data_dir.join("ranges/1-1/log.failed").exists();
    let harms: [(Harm, IsMended); 12] = [
        (|data_dir| remove(&log_files(data_dir)[0]), log_renewed),
        (|data_dir| remove(&log_files(data_dir)[1]), log_renewed),
        (|data_dir| remove(&data_dir.join("ranges/1-1/log")), log_made),
        (|data_dir| remove(&data_dir.join("ranges/1-1")), log_made),
        (remove, log_made),
        (
            |data_dir| {
                let file = &log_files(data_dir)[0];
                fs::copy(file, file.with_extension("copy")).expect("copied");
                fs::rename(file.with_extension("copy"), file).expect("replaced");
            },
            log_renewed,
        ),
        (
            |data_dir| {
                let file = &log_files(data_dir)[0];
                fs::File::options().write(true).open(file).expect("opened").set_len(10).expect("cut");
            },
            log_renewed,
        ),
        (
            |data_dir| {
                let file = fs::File::options().write(true).open(&log_files(data_dir)[1]).expect("opened");
                file.set_len(file.metadata().expect("a file").len() - 1).expect("cut");
            },
            log_renewed,
        ),
        (
            |data_dir| {
                let mut file =
                    fs::File::options().append(true).open(&log_files(data_dir)[1]).expect("opened");
                file.write_all(b"x").expect("written");
            },
            log_renewed,
        ),
        (
            |data_dir| remove(&data_dir.join("ranges/1-1/replica")),
            |data_dir| data_dir.join("ranges/1-1/replica").exists(),
        ),
        (
            |data_dir| snapshots(data_dir).iter().for_each(|path| remove(path)),
            |data_dir| snapshots(data_dir).iter().any(|path| path.extension().is_none()),
        ),
        (
            |data_dir| ["lock", "node"].iter().for_each(|name| remove(&data_dir.join(name))),
            |data_dir| ["lock", "node"].iter().all(|name| data_dir.join(name).exists()),
        ),
    ];
    let tasks: Vec<_> = harms.map(|(harm, is_mended)| tokio::spawn(survives(harm, is_mended))).into();
    for (number, task) in tasks.into_iter().enumerate() {
        let ended = tokio::time::timeout(Duration::from_secs(60), task).await;
        ended.unwrap_or_else(|_| panic!("harm {number} is not noticed")).expect("no panic");
    }
}

/// What waits for the disk gets an error at once while the log cannot be written again.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_a_snapshot_or_a_sync_while_the_log_cannot_be_written_again() {
    let parent = TempDir::new().expect("a directory");
    let (data_dir, file) = (parent.path().join("data"), parent.path().join("file"));
    let ranges = open(&data_dir).await;
    let range = &ranges.all()[0];
    write(range, "SET a 1").await.expect("written");
    range.wait_until_synced().await.expect("synced");
    fs::write(&file, "").expect("written");
    // At once: the node might make the directory again in between.
    renameat_with(CWD, &file, CWD, &data_dir, RenameFlags::EXCHANGE).expect("exchanged");
    let why = || range.status().cannot_write.filter(|reason| reason.contains("File exists"));
    while why().is_none() {
        assert_eq!(read(range, "GET a"), "1", "reads go on");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    range.check_log().expect_err("in memory alone");
    for _ in 0..2 {
        let reason = range.take_snapshot().await.expect_err("no log");
        assert!(reason.contains("File exists"), "{reason}");
        range.wait_until_written().await;
    }
    let synced = tokio::time::timeout(Duration::from_millis(1), range.wait_until_synced()).await;
    synced.expect_err("it is in memory alone");
    fs::remove_file(&data_dir).expect("removed");
    range.wait_until_synced().await.expect("synced");
    range.take_snapshot().await.expect("taken");
    range.check_log().expect("on disk");
    ranges.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_stops_when_another_process_takes_its_data_directory() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    write(range, "SET a 1").await.expect("written");
    range.take_snapshot().await.expect("taken");
    write(range, "SET a 1").await.expect("written");
    let copy = range.freeze().expect("no other copy");
    fs::remove_file(directory.path().join("lock")).expect("removed");
    let other = lock(directory.path()).expect("not locked");
    while !matches!(range.status().state, RangeState::Stopped(_)) {
        drop(write(range, "SET a 1").await);
        tokio::task::yield_now().await;
    }
    write(range, "SET a 1").await.expect_err("stopped");
    let refused = range.may_read().expect_err("stopped").to_string();
    let has_stopped = refused.starts_with("range .. has stopped: ");
    assert!(has_stopped && refused.contains(" is in use by another process (pid "), "{refused}");
    assert!(!range.store.is_frozen(), "what a snapshot is written from is given up");
    drop(copy);
    // What the other one has is left as it is, even after its end.
    drop(other);
    let replica = directory.path().join("ranges/1-1");
    let position = range.progress.position().expect("entries");
    let header = files::header(&position, Owner::default(), 0, &range.store);
    let mut whole = range.freeze().expect("no other copy");
    let before = snapshots(directory.path());
    let disk = &range.snapshots.disk;
    let written = files::write(&replica, &ranges.shared.data_dir, disk, &position, &header, |encoder| {
        encode_store(&mut whole, encoder)
    });
    assert!(matches!(written, Err(files::NotWritten::Files(_))), "{written:?}");
    assert_eq!(snapshots(directory.path()), before);
    ranges.close().await;
    range.check_log().expect("another's");
    assert_eq!(read_synced(&replica).expect("none"), 0);
}

#[tokio::test]
async fn a_range_that_is_given_up_while_it_loads_serves_nothing() {
    let directory = TempDir::new().expect("a directory");
    let ranges = Ranges::open(&settings(directory.path())).expect("opened");
    let range = &ranges.all()[0];
    range.give_up("others have its files");
    ranges.close().await;
    let refused = range.may_read().expect_err("stopped").to_string();
    assert_eq!(refused, "range .. has stopped: others have its files");
}
