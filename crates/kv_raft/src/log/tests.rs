//! What a log keeps over a restart, and what it makes of damaged files.

mod faults;

use super::encoding::{ID_BYTES, PAYLOAD_HEADER_BYTES};
use super::*;
use crate::{
    group::{
        GroupBytes,
        encode::{begin, encode_batch},
    },
    limits::{CACHED_ENTRY_BYTES, LOG_CACHE_LEAST},
};
use kv::{Op, Request};
use raft_log::Stat;
use std::{os::unix::fs::symlink, path::PathBuf, sync::mpsc::channel};
use tempfile::TempDir;

const FIRST_FILE: &str = "r-00_000_000_000_000_000_000.wal";

const OWNER: Owner = Owner { range: 1, replica: 1, seed: 7 };

const VOTE: Vote = Vote { term: 1, replica: 1, is_committed: true };

fn settings(directory: &Path, fsync: Fsync) -> LogSettings<'_> {
    LogSettings { directory, owner: OWNER, cache_bytes: 1_000, file_bytes: 2_048, fsync }
}

#[test]
fn all_logs_together_may_have_a_part_of_the_files_that_the_process_may_open() {
    for (logs, open_files, expected) in [
        (1, None, LOG_FILES),
        (64, Some(524_288), LOG_FILES),
        (64, Some(65_536), 124),
        (4, Some(4_096), 124),
        (1, Some(300), 33),
        (64, Some(1_024), LOG_FILES_LEAST),
        (0, Some(0), LOG_FILES_LEAST),
    ] {
        assert_eq!(files_of_each(logs, open_files), expected, "{logs} {open_files:?}");
    }
}

fn create(directory: &TempDir) -> Log {
    Log::create(settings(directory.path(), Fsync::Always)).expect("a log")
}

fn open(directory: &TempDir) -> io::Result<Log> {
    Log::open(settings(directory.path(), Fsync::Always), 0)
}

fn id(index: u64) -> LogId {
    LogId { term: 1, leader: 1, index }
}

/// A few groups fill a file.
const GROUP_VALUE_BYTES: usize = 100;

fn group(index: u64) -> Payload {
    let mut bytes = Vec::new();
    begin(&mut bytes);
    let put = Op::Put { key: b"milk", value: &[index as u8; GROUP_VALUE_BYTES] };
    encode_batch(
        &[Request::new(b"shopping", put), Request::new(b"work", Op::Create)],
        usize::MAX,
        &mut bytes,
    );
    Payload::Group(Arc::new(GroupBytes(bytes)))
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
    let mut log = create(&directory);
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
fn at_intervals_entries_are_written_at_once_and_synced_once_for_all() {
    let directory = TempDir::new().expect("a directory");
    let mut log = Log::create(settings(directory.path(), Fsync::Interval(Duration::MAX))).expect("a log");
    sync(|done| log.save_vote(VOTE, done));
    let before = log.stats().syncs;
    for index in 0..3 {
        sync(|done| log.append([(id(index), group(index))], done));
    }
    let written: u64 = files(&directory).iter().map(|file| fs::metadata(file).expect("a file").len()).sum();
    assert_eq!((log.stats().bytes, log.stats().syncs), (written, before));
    sync(|done| log.sync(done));
    sync(|done| log.sync(done));
    assert_eq!(log.stats().syncs, before + 1);
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
    assert_eq!((log.purged(), log.last(), log.stats().entries), (Some(id(49)), Some(id(55)), 6));
    let indices: Vec<_> = log.read(0..99).expect("read").iter().map(|(id, _)| id.index).collect();
    assert_eq!(indices, Vec::from_iter(50..56));
    assert!(files(&directory).len() < before, "{before} files before");
}

#[test]
fn a_log_keeps_few_entries_in_memory() {
    let directory = written(0..200);
    let log = open(&directory).expect("a log");
    // Those of the last file are kept as well.
    let most = 1_000 / CACHED_ENTRY_BYTES + 2_048 / GROUP_VALUE_BYTES as u64;
    let Stat { payload_cache_item_count, .. } = log.log.stat();
    assert!(payload_cache_item_count <= most, "{payload_cache_item_count} entries");
    drop(log);
    let mut log = open(&directory).expect("a log");
    for index in 200..400 {
        sync(|done| log.append([(id(index), Payload::Blank)], done));
    }
    let most = 1_000 / CACHED_ENTRY_BYTES + 2_048 / (ID_BYTES + PAYLOAD_HEADER_BYTES) as u64;
    let Stat { payload_cache_item_count, .. } = log.log.stat();
    assert!(payload_cache_item_count <= most, "{payload_cache_item_count} entries");
    assert_eq!(log.read(0..400).expect("read").len(), 400);
}

#[test]
fn a_large_entry_leaves_the_cache_without_another_one() {
    let directory = TempDir::new().expect("a directory");
    let mut log = create(&directory);
    let large = Payload::Group(Arc::new(GroupBytes(vec![b'x'; 100_000])));
    sync(|done| log.append([(id(0), large.clone())], done));
    assert!(log.log.stat().payload_cache_size > 100_000);
    log.trim_cache();
    assert_eq!(log.log.stat().payload_cache_size, 0);
    assert_eq!(log.read(0..1).expect("read"), [(id(0), large)]);
}

#[test]
fn a_large_entry_is_read_once_as_long_as_it_is_sent() {
    let directory = TempDir::new().expect("a directory");
    let mut log = create(&directory);
    let large = |byte| Payload::Group(Arc::new(GroupBytes(vec![byte; GROUP_BYTES + 1])));
    sync(|done| log.append([(id(0), Payload::Blank), (id(1), large(1)), (id(2), large(2))], done));
    log.trim_cache();
    let read = |log: &mut Log, index| match log.read_to_send(index).expect("read") {
        Some((_, Payload::Group(group))) => Some(Arc::downgrade(&group)),
        _ => None,
    };
    let [one, two] = [1, 2].map(|index| read(&mut log, index).expect("a group"));
    for (index, sent) in [(1, &one), (2, &two), (1, &one)] {
        assert!(read(&mut log, index).is_some_and(|again| again.ptr_eq(sent)), "{index} is read again");
    }
    log.trim_cache();
    read(&mut log, 2);
    log.trim_cache();
    assert_eq!([&one, &two].map(|sent| sent.strong_count()), [0, 1], "one is not sent any more");
    sync(|done| log.truncate(2, done));
    sync(|done| log.append([(id(2), Payload::Blank)], done));
    assert_eq!(log.read_to_send(2).expect("read"), Some((id(2), Payload::Blank)));
}

#[test]
fn a_log_keeps_no_more_in_memory_than_its_cache_has_room_for_however_small_its_entries_are() {
    let directory = TempDir::new().expect("a directory");
    let settings = LogSettings::new(directory.path(), OWNER, LOG_CACHE_LEAST, Fsync::Interval(Duration::MAX));
    let mut log = Log::create(settings).expect("a log");
    let large = Payload::Group(Arc::new(GroupBytes(vec![7; LOG_CACHE_LEAST / 10])));
    let mut most = 0;
    for index in 0..10_000 {
        let payload = if index % 500 == 0 { large.clone() } else { group(index) };
        sync(|done| log.append([(id(index), payload)], done));
        if index % 50 == 0 {
            sync(|done| log.sync(done));
        }
        let LogStats { cached_bytes, cache_limit, .. } = log.stats();
        assert!(cached_bytes <= cache_limit, "{cached_bytes} at {index}");
        most = most.max(cached_bytes);
    }
    assert!(most > LOG_CACHE_LEAST as u64 / 2, "{most}");
    assert_eq!(log.read(0..10_000).expect("read").len(), 10_000);
}

type Entry = (LogId, Payload);

/// Where the range of a log is.
fn range_of(log: &TempDir) -> &Path {
    log.path().parent().expect("a directory")
}

/// A log in a single file, opened with these bytes in it, or why it is refused.
fn reopened(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join(FIRST_FILE);
    fs::write(&path, bytes).expect("a file");
    match open(&directory) {
        Ok(log) => Ok(log.read(0..99).expect("read")),
        Err(error) => {
            let (error, path) = (error.to_string(), path.display().to_string());
            let error = error.strip_prefix(&path).unwrap_or_else(|| panic!("{error} names no file"));
            Err(error
                .strip_suffix(&format!("; {}", ways_out(range_of(&directory))))
                .unwrap_or(error)
                .to_owned())
        }
    }
}

/// The end of the error of a file with damage at this offset.
fn damaged_at(offset: usize) -> String {
    format!(" is damaged at offset {offset}")
}

/// The bytes of a log with a vote, entries of each kind and what is committed, which is one file; and
/// its entries, each with the length of the file when it was there.
fn four_entries() -> (Vec<u8>, Vec<(usize, Entry)>) {
    let directory = TempDir::new().expect("a directory");
    let mut log = create(&directory);
    let path = directory.path().join(FIRST_FILE);
    let members = Payload::Members { voters: vec![vec![1]], learners: vec![] };
    let mut entries = Vec::new();
    sync(|done| log.save_vote(VOTE, done));
    for (index, payload) in [members, Payload::Blank, group(2), group(3)].into_iter().enumerate() {
        let entry = (id(index as u64), payload);
        sync(|done| log.append([entry.clone()], done));
        log.save_committed(entry.0).expect("noted");
        entries.push((fs::metadata(&path).expect("a file").len() as usize, entry));
    }
    sync(|done| log.save_vote(VOTE, done));
    drop(log);
    (fs::read(path).expect("a file"), entries)
}

#[test]
fn a_torn_end_is_cut_off_wherever_it_is_torn() {
    let (bytes, entries) = four_entries();
    // The state of an empty log, and the checksum: that is on disk before the range has the log.
    let beginning = 4 + 1 + 5 + 8;
    for length in 0..beginning {
        assert_eq!(reopened(&bytes[..length]), Err(damaged_at(0)), "cut at {length}");
    }
    for length in beginning..=bytes.len() {
        let written: Vec<_> =
            entries.iter().filter(|(end, _)| *end <= length).map(|(_, entry)| entry.clone()).collect();
        assert_eq!(reopened(&bytes[..length]), Ok(written.clone()), "cut at {length}");
    }
    for (end, _) in &entries {
        let written = entries.iter().filter(|(other, _)| other <= end).map(|(_, entry)| entry.clone());
        let zeros = [&bytes[..*end], &[0; 99]].concat();
        assert_eq!(reopened(&zeros), Ok(written.collect()), "zeros from {end} on");
    }
}

#[test]
fn a_record_of_which_only_the_first_sectors_were_written_is_cut_off() {
    let directory = TempDir::new().expect("a directory");
    let mut log =
        Log::create(LogSettings { file_bytes: 1 << 20, ..settings(directory.path(), Fsync::Always) })
            .expect("a log");
    sync(|done| log.append([(id(0), group(0))], done));
    let path = directory.path().join(FIRST_FILE);
    let start = fs::metadata(&path).expect("a file").len() as usize;
    let mut bytes = Vec::new();
    begin(&mut bytes);
    let put = Op::Put { key: b"milk", value: &[7; 5_000] };
    encode_batch(&[Request::new(b"shopping", put)], usize::MAX, &mut bytes);
    sync(|done| log.append([(id(1), Payload::Group(Arc::new(GroupBytes(bytes))))], done));
    drop(log);
    let bytes = fs::read(path).expect("a file");
    let before = vec![(id(0), group(0))];
    let zeros_from = |end: usize, more| [&bytes[..end], &vec![0; bytes.len() - end + more]].concat();
    let mut sectors = 0;
    for end in (start..bytes.len()).filter(|end| end % 512 == 0) {
        for more in [0, 3_000] {
            assert_eq!(reopened(&zeros_from(end, more)), Ok(before.clone()), "{end} and {more} zeros");
        }
        sectors += 1;
    }
    assert!(sectors >= 9, "{sectors}");
    // A whole record was acknowledged.
    let mut damaged = zeros_from(bytes.len(), 3_000);
    damaged[bytes.len() - 2_000] ^= 1;
    assert_eq!(reopened(&damaged), Err(damaged_at(start)));
}

/// However a length is damaged, what is behind it was acknowledged.
#[test]
fn a_flipped_bit_loses_no_entry_unseen() {
    let (bytes, entries) = four_entries();
    let all: Vec<_> = entries.iter().map(|(_, entry)| entry.clone()).collect();
    let (_, (last, _)) = &entries[entries.len() - 1];
    for place in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1 << bit;
            match reopened(&damaged) {
                Ok(read) => assert_eq!(read, all, "bit {bit} at {place}, entries to {last:?}"),
                Err(error) => assert!(error.starts_with(" is damaged at offset "), "{error}"),
            }
        }
    }
}

#[test]
fn damage_in_a_file_before_the_last_is_refused_with_its_place() {
    let directory = written(0..60);
    let files = files(&directory);
    assert!(files.len() > 2);
    let mut bytes = fs::read(&files[1]).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&files[1], &bytes).expect("written");
    let error = open(&directory).expect_err("damaged").to_string();
    let offset = error.strip_prefix(&format!("{} is damaged at offset ", files[1].display()));
    let (offset, advice) = offset.and_then(|offset| offset.split_once(';')).expect("the place");
    assert_eq!(advice, format!(" {}", ways_out(range_of(&directory))));
    let offset: usize = offset.parse().expect("a number");
    assert!((middle - 400..=middle).contains(&offset), "{offset}");
}

#[test]
fn a_log_without_a_record_is_not_taken_for_a_new_one() {
    let directory = TempDir::new().expect("a directory");
    let error = open(&directory).expect_err("empty").to_string();
    let expected = format!("{} is empty; {}", directory.path().display(), ways_out(range_of(&directory)));
    assert_eq!((error, files(&directory).len()), (expected, 0));
    let missing = directory.path().join("missing");
    Log::open(settings(&missing, Fsync::Always), 0).expect_err("missing");
    assert!(!missing.exists());
    drop(create(&directory));
    let log = open(&directory).expect("a log");
    assert_eq!((log.vote(), log.last()), (None, None));
}

/// As a log of an early version does.
#[test]
fn a_log_that_says_later_whose_it_is_is_refused_to_others() {
    let directory = TempDir::new().expect("a directory");
    let mut log = Log::load(settings(directory.path(), Fsync::Always)).expect("a log");
    sync(|done| log.save_vote(VOTE, done));
    sync(|done| log.append([(id(0), group(0))], done));
    let owner = Owner { replica: 2, ..OWNER };
    log.save_owner(owner).expect("noted");
    sync(|done| log.append([(id(1), group(1))], done));
    drop(log);
    let error = open(&directory).expect_err("another's").to_string();
    let path = directory.path().join(FIRST_FILE);
    let expected = format!("{} is a file of the log of another replica, 1-2; ", path.display());
    assert!(error.starts_with(&expected), "{error}");
    Log::open(LogSettings { owner, ..settings(directory.path(), Fsync::Always) }, 0).expect("its own");
}

#[test]
fn an_entry_of_another_version_is_no_damage() {
    let (mut bytes, entries) = four_entries();
    let (start, end) = (entries[1].0, entries[2].0);
    let version = start + bytes[start..end].windows(2).position(|bytes| bytes == [1, 1]).expect("a group");
    // Before it are the kind of the record and the id of the entry.
    let record = version - encoding::ID_BYTES - 4;
    bytes[version] = 9;
    let length = u32::from_be_bytes(bytes[version + 2..version + 6].try_into().expect("four")) as usize;
    let checked = version + 6 + length;
    let checksum = u64::from(crc32(&bytes[record..checked]));
    bytes[checked..checked + 8].copy_from_slice(&checksum.to_be_bytes());
    let expected = format!(
        " has an entry of version 9 at offset {record}, and this release knows version 1: use a release that \
         knows version 9"
    );
    assert_eq!(reopened(&bytes), Err(expected.clone()));
    assert_eq!(reopened(&bytes[..checked + 8]), Err(expected));
}

/// The checksum of the library's records.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// What waits for a sync waits for its end, and one that has failed is not made up for by another.
#[test]
fn what_is_synced_is_what_a_sync_that_has_ended_has_brought_to_disk() {
    let directory = TempDir::new().expect("a directory");
    let mut log = Log::create(settings(directory.path(), Fsync::Interval(Duration::MAX))).expect("a log");
    let (release, held) = channel();
    let hold = Done(Box::new(move |_| held.recv().expect("the test goes on")));
    log.append([(id(0), group(0))], hold).expect("written");
    let (sender, results) = channel();
    let done = || {
        let sender = sender.clone();
        Done(Box::new(move |result| sender.send(result).expect("the test waits")))
    };
    log.sync(done()).expect("begun");
    log.sync(done()).expect("begun");
    assert!(results.try_recv().is_err(), "nothing was synced");
    release.send(()).expect("held");
    for _ in 0..2 {
        results.recv().expect("a result").expect("on disk");
    }
    log.append([(id(1), group(1))], Done(Box::new(|_| panic!("it ends the log")))).expect("written");
    let (failed, result) = channel();
    let ended = log.sync(Done(Box::new(move |result| failed.send(result).expect("the test waits"))));
    assert!(ended.is_err() || !matches!(result.recv(), Ok(Ok(()))));
    log.sync(done()).expect_err("the log has failed");
}

#[test]
fn a_torn_end_behind_a_file_that_the_disk_does_not_give_is_not_cut_off() {
    let directory = written(0..40);
    let files = files(&directory);
    let [_, unread, _, .., newest] = &files[..] else { panic!("a few files") };
    let torn = fs::metadata(newest).expect("there").len() - 1;
    File::options().write(true).open(newest).and_then(|file| file.set_len(torn)).expect("cut");
    fs::remove_file(unread).expect("removed");
    symlink(unread, unread).expect("a link to itself");
    let error = damage::cut_torn_end(directory.path(), true, 0).expect_err("it cannot be read").to_string();
    assert!(error.starts_with(&format!("{}: ", unread.display())) && error.contains("os error"), "{error}");
    assert_eq!(fs::metadata(newest).expect("there").len(), torn);
}
