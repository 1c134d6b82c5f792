//! Directories, FIFOs, sockets and devices in place of files, files in place of directories, and what cannot
//! be read: the error says which path it is, and what to do.

use super::*;
use crate::error::{unusable, ways_out};
use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::geteuid,
};
use std::{
    io,
    os::unix::fs::{PermissionsExt, symlink},
    sync::mpsc::channel,
    thread,
};
use tokio::time::timeout;

/// A data directory with a range, which has a snapshot and a log behind it.
async fn filled() -> TempDir {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    write(&ranges.all()[0], "SET a 1").await.expect("written");
    ranges.all()[0].take_snapshot().await.expect("taken");
    write(&ranges.all()[0], "SET b 1").await.expect("written");
    ranges.close().await;
    directory
}

/// Why the data directory cannot be opened, or its range has stopped.
async fn refusal(data_dir: &Path) -> String {
    let settings = settings(data_dir);
    let ranges = match in_time(move || Ranges::open(&settings)) {
        Ok(ranges) => ranges,
        Err(error) => return error.to_string(),
    };
    let loaded = timeout(TIMEOUT, ranges.all()[0].wait_until_loaded()).await;
    let state = loaded.expect("it waits for nothing");
    ranges.close().await;
    match state {
        RangeState::Stopped(reason) => reason.to_string(),
        state => panic!("{state:?}"),
    }
}

/// Runs what may wait forever.
fn in_time<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(run()));
    receiver.recv_timeout(TIMEOUT).expect("it waits for nothing")
}

const TIMEOUT: Duration = Duration::from_secs(20);

/// What is at a path instead of what was there.
#[derive(Debug, Clone, Copy)]
enum Instead {
    Directory,
    File,
    /// One that leads nowhere.
    Link,
    Fifo,
    Socket,
    /// By a link, so that anybody may put it there.
    Device,
}
use Instead::{Device, Directory, Fifo, File, Link, Socket};

fn put(instead: Instead, path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).expect("removed"),
        Ok(_) => fs::remove_file(path).expect("removed"),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
    }
    match instead {
        Directory => {
            fs::create_dir(path).expect("made");
            fs::write(path.join("file"), "contents").expect("written");
        }
        File => fs::write(path, "contents").expect("written"),
        Link => symlink(path, path).expect("a link to itself"),
        Fifo => mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("made"),
        Socket => mknodat(CWD, path, FileType::Socket, Mode::RUSR | Mode::WUSR, 0).expect("made"),
        Device => symlink("/dev/zero", path).expect("a link"),
    }
}

const NEWEST: &str = "ranges/1-1/log/r-00_000_000_000_000_999_999.wal";

#[tokio::test]
async fn what_is_in_the_place_of_a_file_or_a_directory_is_named_with_what_to_do() {
    let (file, directory) =
        ("put the file back that was there, or ", "put the directory back that was there, or ");
    for (path, instead, remedy, has_ways_out) in [
        ("node", Directory, "move it elsewhere: only a file may have that name", false),
        ("node", Link, "check what is there, and the disk", false),
        ("lock", Directory, "move it elsewhere: only a file may have that name", false),
        ("ranges", File, "is data_dir the right directory?", false),
        ("ranges/1-1", File, "put the one back that was there, or ", true),
        ("ranges/1-1", Link, "put the one back that was there, or ", true),
        ("ranges/1-1/replica", Directory, "only a file may have that name, or ", true),
        ("ranges/1-1/replica", Link, "check what is there, and the disk, or ", true),
        ("ranges/1-1/skipped", Directory, "only a file may have that name", false),
        ("ranges/1-1/snapshot-9.part", Directory, "only a file may have that name", false),
        ("ranges/1-1/snapshot-9", Directory, "; ", true),
        ("ranges/1-1/snapshot-9", File, "; ", true),
        ("ranges/1-1/log", File, directory, true),
        ("ranges/1-1/log", Link, "; ", true),
        ("ranges/1-1/log.next", File, directory, true),
        ("ranges/1-1/log/LOCK", Directory, file, true),
        (FIRST_LOG, Directory, file, true),
        (FIRST_LOG, Link, "; ", true),
        (NEWEST, Directory, file, true),
    ] {
        let data_dir = filled().await;
        let place = data_dir.path().join(path);
        put(instead, &place);
        let reason = refusal(data_dir.path()).await;
        assert!(reason.contains(&place.display().to_string()), "{path} {instead:?}: {reason}");
        let range = ways_out(&data_dir.path().join("ranges/1-1"));
        let end = format!("{remedy}{}", if has_ways_out { &range } else { "" });
        assert!(reason.ends_with(&end), "{path} {instead:?}: {reason}");
    }
}

#[tokio::test]
async fn what_is_neither_a_file_nor_a_directory_is_named_and_not_waited_for() {
    let elsewhere = "move it elsewhere: only a file may have that name";
    let file = "move it elsewhere and put the file back that was there, or ";
    for (path, remedy, has_ways_out) in [
        ("node", elsewhere, false),
        ("lock", elsewhere, false),
        ("ranges/1-1/replica", "only a file may have that name, or ", true),
        ("ranges/1-1/skipped", elsewhere, false),
        ("ranges/1-1/snapshot-9", file, true),
        ("ranges/1-1/log/LOCK", file, true),
        (FIRST_LOG, file, true),
        (NEWEST, file, true),
    ] {
        for (instead, kind) in [(Fifo, "a FIFO"), (Socket, "a socket"), (Device, "a device")] {
            let data_dir = filled().await;
            let place = data_dir.path().join(path);
            put(instead, &place);
            let reason = refusal(data_dir.path()).await;
            let beginning = format!("{}: {kind} is in its place; ", place.display());
            assert!(reason.starts_with(&beginning), "{path} {instead:?}: {reason}");
            let range = ways_out(&data_dir.path().join("ranges/1-1"));
            let end = format!("{remedy}{}", if has_ways_out { &range } else { "" });
            assert!(reason.ends_with(&end), "{path} {instead:?}: {reason}");
        }
    }
}

#[tokio::test]
async fn a_fifo_in_the_place_of_a_file_does_not_hold_the_running_node_up() {
    for (path, is_made_again) in [("node", true), ("node.part", false), ("lock", false)] {
        let data_dir = filled().await;
        let ranges = open(data_dir.path()).await;
        let (node, place) = (data_dir.path().join("node"), data_dir.path().join(path));
        // The node makes the file again as soon as it sees that it is gone.
        if node != place {
            put(Fifo, &place);
        }
        fs::remove_file(&node).expect("removed");
        if node == place {
            put(Fifo, &place);
        }
        let running = ranges.shared.data_dir.clone();
        assert_eq!(in_time(move || running.keep()).is_ok(), is_made_again, "{path}");
        write(&ranges.all()[0], "SET c 1").await.expect("written");
        timeout(TIMEOUT, ranges.close()).await.expect("it waits for nothing");
    }
    for path in ["reserve", "ranges/1-1/replica", "ranges/1-1/synced", "ranges/1-1/synced.part"] {
        let data_dir = filled().await;
        let ranges = open(data_dir.path()).await;
        put(Fifo, &data_dir.path().join(path));
        write(&ranges.all()[0], "SET c 1").await.expect("written");
        timeout(TIMEOUT, ranges.close()).await.expect("it waits for nothing");
    }
}

#[tokio::test]
async fn what_is_in_the_place_of_a_file_that_is_made_again_stops_nothing() {
    for path in ["reserve", "node.part", "ranges/1-1/synced", "ranges/1-1/log.part", "ranges/1-1/log.failed"]
    {
        for instead in [Directory, File, Link, Fifo, Socket, Device] {
            let data_dir = filled().await;
            put(instead, &data_dir.path().join(path));
            let settings = settings(data_dir.path());
            let ranges = in_time(move || Ranges::open(&settings)).expect("opened");
            let loaded = timeout(TIMEOUT, ranges.all()[0].wait_until_loaded()).await;
            assert_eq!(loaded, Ok(RangeState::Ready), "{path} {instead:?}");
            assert_eq!(read(&ranges.all()[0], "GET b"), "1", "{path} {instead:?}");
            ranges.close().await;
        }
    }
}

#[tokio::test]
async fn what_may_not_be_read_is_named_and_no_data_are_to_be_moved() {
    let remedy = "; the user that runs this must be allowed to read and write it";
    let (range, log) = (Path::new("/data/ranges/1-1"), Path::new("/data/ranges/1-1/log"));
    let error = unusable(range, log, io::ErrorKind::PermissionDenied.into()).to_string();
    assert!(!error.contains("/data"), "it is not the system's: {error}");
    let error = unusable(range, log, io::Error::from_raw_os_error(13)).to_string();
    assert!(error.starts_with("/data/ranges/1-1/log: ") && error.ends_with(remedy), "{error}");
    if geteuid().is_root() {
        return println!("SKIPPED: root may read everything");
    }
    for path in ["node", "lock", "ranges/1-1/log", FIRST_LOG] {
        let data_dir = filled().await;
        let place = data_dir.path().join(path);
        fs::set_permissions(&place, fs::Permissions::from_mode(0o000)).expect("changed");
        let reason = refusal(data_dir.path()).await;
        fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).expect("changed");
        assert!(reason.contains(&place.display().to_string()) && reason.ends_with(remedy), "{reason}");
    }
}

/// The library adds to the number in a file's name, which must not overflow.
#[cfg(debug_assertions)]
#[tokio::test]
async fn a_panic_at_the_files_of_a_range_stops_it_with_its_directory_and_what_to_do() {
    let data_dir = filled().await;
    let file = data_dir.path().join(FIRST_LOG);
    fs::rename(&file, file.with_file_name("r-18_446_744_073_709_551_615.wal")).expect("renamed");
    let range = data_dir.path().join("ranges/1-1");
    let expected = format!(
        "{}: its files cannot be used: a thread panicked at them, and the log says where; {}",
        range.display(),
        ways_out(&range)
    );
    assert_eq!(refusal(data_dir.path()).await, expected);
}
