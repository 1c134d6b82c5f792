//! What a log keeps over a restart, and what it makes of damaged files.

use super::*;
use std::{fs, path::PathBuf, sync::mpsc::channel};
use tempfile::TempDir;

const FIRST_FILE: &str = "r-00_000_000_000_000_000_000.wal";

const VOTE: Vote = Vote { term: 1, replica: 1, is_committed: true };

fn open(directory: &TempDir) -> io::Result<Log> {
    Log::open(LogSettings { directory: directory.path(), cache_bytes: 1_000, file_bytes: 4_096 })
}

fn id(index: u64) -> LogId {
    LogId { term: 1, leader: 1, index }
}

fn group(index: u64) -> Payload {
    Payload::Group(vec![index as u8; 300].into())
}

/// Waits until what `write` writes is on disk.
fn sync(write: impl FnOnce(Done) -> io::Result<()>) {
    let (sender, receiver) = channel();
    write(Done(Box::new(move |result| sender.send(result).expect("the test waits")))).expect("written");
    receiver.recv().expect("a result").expect("on disk");
}

/// A log of these entries, as it was left by a process that ended.
fn written(indices: Range<u64>) -> TempDir {
    let directory = TempDir::new().expect("a directory");
    let mut log = open(&directory).expect("a log");
    sync(|done| log.save_vote(VOTE, done));
    for index in indices {
        sync(|done| log.append([(id(index), group(index))], done));
    }
    directory
}

/// The files of a log, in order.
fn files(directory: &TempDir) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(directory.path()).expect("a directory").map(|entry| entry.expect("one").path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|wal| wal == "wal")).collect();
    files.sort_unstable();
    files
}

#[test]
fn everything_is_there_again_after_a_restart() {
    let directory = written(0..40);
    let mut log = open(&directory).expect("a log");
    let members = Payload::Members { voters: vec![vec![1, 2, 3], vec![3, 4]], learners: vec![7] };
    sync(|done| log.append([(id(40), members.clone()), (id(41), Payload::Blank)], done));
    log.save_committed(id(41)).expect("noted");
    sync(|done| log.append([(id(42), group(42))], done));
    drop(log);
    let log = open(&directory).expect("a log");
    assert_eq!((log.vote(), log.committed(), log.purged()), (Some(VOTE), Some(id(41)), None));
    assert_eq!(log.last(), Some(id(42)));
    let entries: Vec<_> = (0..40).map(|index| (id(index), group(index))).collect();
    assert_eq!(log.read(0..40).expect("read"), entries);
    let last = [(id(40), members), (id(41), Payload::Blank), (id(42), group(42))];
    assert_eq!(log.read(40..99).expect("read"), last);
}

#[test]
fn what_was_cut_off_and_purged_stays_away_and_its_files_go() {
    let directory = written(0..60);
    let before = files(&directory).len();
    let mut log = open(&directory).expect("a log");
    sync(|done| log.purge(id(49), done));
    sync(|done| log.truncate(55, done));
    sync(|done| log.append([(id(55), Payload::Blank)], done));
    drop(log);
    let log = open(&directory).expect("a log");
    assert_eq!((log.purged(), log.last()), (Some(id(49)), Some(id(55))));
    let indices: Vec<_> = log.read(0..99).expect("read").iter().map(|(id, _)| id.index).collect();
    assert_eq!(indices, Vec::from_iter(50..56));
    assert!(files(&directory).len() < before, "{before} files before");
}

/// A log of three entries in a single file, opened with other bytes in it; `None` if it is refused.
fn reopened(bytes: &[u8]) -> Option<Vec<(LogId, Payload)>> {
    let directory = TempDir::new().expect("a directory");
    fs::write(directory.path().join(FIRST_FILE), bytes).expect("a file");
    open(&directory).ok().map(|log| log.read(0..9).expect("read"))
}

/// The bytes of a log of three entries, which is one file, and its entries.
fn three_entries() -> (Vec<u8>, Vec<(LogId, Payload)>) {
    let bytes = fs::read(written(0..3).path().join(FIRST_FILE)).expect("a file");
    (bytes, (0..3).map(|index| (id(index), group(index))).collect())
}

#[test]
fn a_torn_end_is_cut_off_wherever_it_is_torn() {
    let (bytes, entries) = three_entries();
    assert_eq!(reopened(&bytes), Some(entries.clone()));
    for length in 0..bytes.len() {
        let read = reopened(&bytes[..length]).unwrap_or_else(|| panic!("refused, cut at {length}"));
        assert_eq!(read, entries[..read.len()], "cut at {length}");
    }
}

#[test]
fn a_flipped_bit_is_never_taken_for_an_entry() {
    let (bytes, entries) = three_entries();
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        if let Some(read) = reopened(&damaged) {
            // A damaged length looks like a torn end.
            assert_eq!(read, entries[..read.len()], "a flip at {place}");
        }
    }
}
