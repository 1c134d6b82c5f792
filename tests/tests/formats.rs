//! Data directories and backups of this version as files: they are opened with all that they hold, and those
//! of a newer version are refused as they are.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use tests::{Release, TempDir, copy_directory, sorted_lines, text, verb, wait_until};

/// Written by `write_fixtures`, which docs/disk-format.md names: a data directory, a backup of it, and what
/// both hold. In the second one `node` has version 2, in the third one `replica` as well.
const FIXTURES: [&str; 3] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/version-1"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/version-2"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/version-3"),
];
/// Those that this version writes.
const NEWEST: &str = FIXTURES[FIXTURES.len() - 1];
/// A version of each kind that is not there yet.
const NEWER: u8 = 9;
const DATA: &str = "data";
const BACKUP: &str = "shop.kvdb";
const BUCKETS: &str = "buckets.jsonl";

/// Where the range of a data directory is.
const RANGE: &str = "ranges/1-1";
/// What a data directory has besides our files and logs.
const UNVERSIONED: [&str; 2] = ["lock", "reserve"];

/// Commands that a snapshot replaces: strings of each encoding, and what a snapshot has of watches.
const BEFORE: &[&str] =
    &["SET sum 1", "INCRBYFLOAT sum 0.5", "SET joined 1", "APPEND joined 2", "SET gone 1"];

/// Commands that stay in the log behind it: each kind of step and of request.
const AFTER: &[&str] = &[
    "DEL gone",
    "INCR counted",
    "HSET colors blue 3",
    "MULTI",
    "INCR counted",
    "EXPIREAT counted 9000000000",
    "EXEC",
    "UNWATCH",
    "WATCH apples",
    "SELECT 3",
    "SET flushed 1",
    "FLUSHDB",
    "SELECT 2",
    "SET two 2",
];

const TEXT_AFTER: &[&str] = &[
    "CREATE later",
    "PUT later milk 1",
    "PUT later eggs 2",
    "DELETE later milk",
    "CREATE gone",
    "DROP gone",
];

/// A line of an import, which is a request of its own kind.
const IMPORTED: &str = r#"{"kind":"string","database":5,"name":"imported","value":"5"}"#;

/// The bytes of the entry that is bumped to another version.
const MARK: &[u8] = b"imported";

#[test]
#[ignore = "writes files: only for a new version of a format, with --release"]
fn write_fixtures() {
    if cfg!(debug_assertions) {
        panic!("fixtures are written by a release build: add --release");
    }
    let fixtures = Path::new(NEWEST);
    drop(fs::remove_dir_all(fixtures));
    fs::create_dir_all(fixtures).expect("made");
    let mut node = Release::durable();
    node.fill();
    let mut resp = node.resp();
    BEFORE.iter().for_each(|line| drop(resp.ask(line)));
    let mut watching = node.resp();
    assert_eq!(watching.ask("WATCH apples missing"), "+OK\\r\\n");
    assert_eq!(resp.ask("SAVE"), "+OK\\r\\n");
    AFTER.iter().for_each(|line| drop(resp.ask(line)));
    let mut client = node.client();
    TEXT_AFTER.iter().for_each(|line| assert_eq!(client.ask(line), "OK"));
    assert!(node.verb_with_input(&["import", "-"], IMPORTED.as_bytes()).status.success());
    let backup = fixtures.join(BACKUP).display().to_string();
    assert!(node.verb(&["backup", &backup]).status.success());
    let buckets = sorted_lines(&node.verb(&["export"])).join("\n") + "\n";
    fs::write(fixtures.join(BUCKETS), buckets).expect("written");
    resp.ask("SET skipped 1");
    // So that it notes how far its log is on disk.
    assert!(node.verb(&["stop"]).status.success());
    assert!(node.wait().success());
    skip(&node, "SET skipped");
    copy_directory(&node.data_dir(), &fixtures.join(DATA));
    UNVERSIONED.iter().for_each(|name| fs::remove_file(fixtures.join(DATA).join(name)).expect("removed"));
}

/// Has the newest entry left out, whose requests are these.
fn skip(node: &Release, requests: &str) {
    let none = node.verb(&["range", "skip", "..", "0"]);
    let (_, last) = text(&none.stderr).rsplit_once(' ').expect("the last index");
    let last: u64 = last.parse().expect("a number");
    let index = (0..=last).rev().find(|index| {
        let asked = node.verb_with_input(&["range", "skip", "..", &index.to_string()], b"n\n");
        text(&asked.stdout).contains(requests)
    });
    let index = index.expect("an entry").to_string();
    assert!(node.verb(&["range", "skip", "..", &index, "--yes"]).status.success());
}

/// The lines that fixtures hold.
fn buckets(fixtures: &str) -> Vec<String> {
    let lines = fs::read_to_string(Path::new(fixtures).join(BUCKETS)).expect("the fixture");
    lines.lines().map(str::to_owned).collect()
}

/// A directory with a copy of the data directory in it.
fn copied(fixtures: &str) -> Arc<TempDir> {
    let directory = TempDir::new();
    copy_directory(&Path::new(fixtures).join(DATA), &directory.path().join(DATA));
    Arc::new(directory)
}

/// Checks what no export has.
fn check_encodings(node: &Release) {
    let mut resp = node.resp();
    assert_eq!(resp.ask("OBJECT ENCODING sum"), r"$6\r\nembstr\r\n");
    assert_eq!(resp.ask("OBJECT ENCODING joined"), r"$3\r\nraw\r\n");
}

#[test]
fn a_data_directory_is_opened_with_all_that_it_holds() {
    for fixtures in FIXTURES {
        let directory = copied(fixtures);
        let mut node = Release::durable_in(directory.path());
        for _ in 0..2 {
            assert_eq!(sorted_lines(&node.verb(&["export"])), buckets(fixtures), "{fixtures}");
            check_encodings(&node);
            for (command, reply) in
                [("SET new 1", "+OK\\r\\n"), ("SAVE", "+OK\\r\\n"), ("DEL new", ":1\\r\\n")]
            {
                assert_eq!(node.resp().ask(command), reply);
            }
            node.kill_and_restart();
            node.wait_until_loaded();
        }
    }
}

#[test]
fn a_backup_is_restored_with_all_that_it_holds() {
    for fixtures in FIXTURES {
        let node = Release::alone();
        let backup = Path::new(fixtures).join(BACKUP).display().to_string();
        let restored = node.verb(&["restore", &backup]);
        assert!(restored.status.success(), "{restored:?}");
        assert_eq!(sorted_lines(&node.verb(&["export"])), buckets(fixtures), "{fixtures}");
        check_encodings(&node);
    }
}

/// A file of a newer version, and what an older program does.
struct Newer {
    /// Its path in the data directory.
    path: PathBuf,
    /// Makes it one of a newer version.
    raise: fn(&mut [u8]),
    /// Whether the node starts, without the range.
    starts: bool,
    says: &'static str,
}

const SECOND_SAYS: &str =
    "has version 9, and this release knows version 2: use a release that knows version 9";

fn newer_files() -> [Newer; 6] {
    let range = Path::new(RANGE);
    let named = |directory: PathBuf, prefix: &str| {
        let files = fs::read_dir(Path::new(NEWEST).join(DATA).join(&directory)).expect("a directory");
        let mut names = files.map(|file| file.expect("a file").file_name());
        directory.join(names.find(|name| name.to_string_lossy().starts_with(prefix)).expect("a file"))
    };
    let (snapshot, log) = (named(range.into(), "snapshot-"), named(range.join("log"), "r-"));
    let has_version = "has version 9, and this release knows version 1: use a release that knows version 9";
    [
        Newer { path: "node".into(), raise: raise_small, starts: false, says: SECOND_SAYS },
        Newer { path: range.join("replica"), raise: raise_small, starts: false, says: SECOND_SAYS },
        Newer { path: range.join("skipped"), raise: raise_small, starts: true, says: has_version },
        Newer {
            path: snapshot,
            raise: raise_snapshot,
            starts: true,
            says: "it has version 9 of the format, and this release reads version 1: use a release that knows \
                   version 9",
        },
        Newer {
            path: log.clone(),
            raise: |bytes| raise_entry(bytes, 0),
            starts: true,
            says: "and this release knows version 1: use a release that knows version 9",
        },
        Newer {
            path: log,
            raise: |bytes| raise_entry(bytes, PAYLOAD_HEADER_BYTES),
            starts: true,
            says: "a group of version 9, and this release knows version 2: use a release that knows version 9",
        },
    ]
}

/// Raises the version of a file that ends with its checksum.
fn raise_small(bytes: &mut [u8]) {
    let end = bytes.len() - 4;
    raise(bytes, end);
}

/// Raises the version of a snapshot or a backup: its header ends behind the description.
fn raise_snapshot(bytes: &mut [u8]) {
    let description = u32::from_le_bytes(bytes[14..18].try_into().expect("4 bytes"));
    raise(bytes, 18 + description as usize);
}

fn raise(bytes: &mut [u8], end: usize) {
    bytes[5] = NEWER;
    let checksum = crc(&bytes[..end], CRC32C);
    bytes[end..end + 4].copy_from_slice(&checksum.to_le_bytes());
}

/// Bytes of a record of a log before its payload, and of that before the group.
const RECORD_HEADER_BYTES: usize = 4 + 3 * 8;
const PAYLOAD_HEADER_BYTES: usize = 2 + 4;

/// Raises the version at this offset in the payload of the entry that has [`MARK`] in it.
fn raise_entry(log: &mut [u8], offset: usize) {
    let mark = log.windows(MARK.len()).position(|bytes| bytes == MARK).expect("the entry");
    let number = |at: usize, log: &[u8]| u32::from_be_bytes(log[at..at + 4].try_into().expect("4 bytes"));
    let end = |payload: usize, log: &[u8]| payload + PAYLOAD_HEADER_BYTES + number(payload + 2, log) as usize;
    let payload = (RECORD_HEADER_BYTES..mark).rev().find(|payload| {
        let end = end(*payload, log);
        (mark..log.len() - 8).contains(&end)
            && number(end + 4, log) == crc(&log[payload - RECORD_HEADER_BYTES..end], CRC32)
    });
    let payload = payload.expect("the beginning of the entry");
    let end = end(payload, log);
    log[payload + offset] = NEWER;
    let checksum = crc(&log[payload - RECORD_HEADER_BYTES..end], CRC32);
    log[end + 4..end + 8].copy_from_slice(&checksum.to_be_bytes());
}

/// The polynomials of the checksums of the records of a log, and of our files.
const CRC32: u32 = 0xEDB8_8320;
const CRC32C: u32 = 0x82F6_3B78;

fn crc(bytes: &[u8], polynomial: u32) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (polynomial & (crc & 1).wrapping_neg()))
    })
}

/// The bytes of all versioned files of a data directory.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false if UNVERSIONED.iter().any(|name| path.ends_with(name)) => {}
            false => drop(files.insert(path.clone(), fs::read(&path).expect("a file"))),
        }
    }
    files
}

/// A downgrade: each file that the newer version has written stays as it is, and the newer one goes on.
#[test]
fn a_file_of_a_newer_version_is_refused_and_stays_for_that_version() {
    for Newer { path, raise, starts, says } in newer_files() {
        let directory = copied(NEWEST);
        let data_dir = directory.path().join(DATA);
        let file = data_dir.join(&path);
        let bytes = fs::read(&file).expect("a file");
        let mut newer = bytes.clone();
        raise(&mut newer);
        fs::write(&file, newer).expect("our own");
        let before = files(&data_dir);

        let [run_dir, data] = [directory.path(), &data_dir].map(|path| path.display().to_string());
        let flags = ["--clients", "127.0.0.1:0", "--run-dir", &run_dir, "--data-dir", &data];
        let mut node = Release::spawn("foo", &directory, &flags);
        wait_until("the version is refused", || node.log().contains(says));
        // An entry of a log is found by its index.
        let names_file = [&file, &data_dir.join(RANGE).join("log: entry ")];
        let names_file = names_file.map(|name| node.log().contains(&name.display().to_string()));
        assert!(names_file.contains(&true), "{says}: {}", node.log());
        assert!(
            !node.log().lines().any(|line| line.contains(says) && line.contains("backup")),
            "{}",
            node.log()
        );
        match starts {
            true => node.kill(),
            false => assert_eq!(node.wait().code(), Some(78), "{}", path.display()),
        }
        assert!(files(&data_dir) == before, "{}: files have changed", path.display());

        fs::write(&file, bytes).expect("our own");
        let node = Release::durable_in(directory.path());
        assert_eq!(sorted_lines(&node.verb(&["export"])), buckets(NEWEST), "{}", path.display());
    }
}

#[test]
fn a_backup_of_a_newer_version_is_refused() {
    let directory = TempDir::new();
    let mut bytes = fs::read(Path::new(NEWEST).join(BACKUP)).expect("the fixture");
    raise_snapshot(&mut bytes);
    let file = directory.path().join(BACKUP);
    fs::write(&file, bytes).expect("written");
    let (file, data_dir) = (file.display().to_string(), directory.path().join(DATA).display().to_string());
    for words in [&["backup", "--verify", &file][..], &["restore", &file, "--data-dir", &data_dir]] {
        let output = verb("foo", words);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let says = format!(
            "foo: {file}: it has version 9 of the format, and this release reads version 1: use a release that \
             knows version 9"
        );
        assert_eq!(text(&output.stderr), says);
    }
    assert!(!fs::exists(data_dir).expect("known"));
}

#[test]
fn an_upgrade_replaces_the_program_and_the_node_goes_on_with_its_data() {
    let node = Release::durable_copy();
    node.fill();
    let before = sorted_lines(&node.verb(&["export"]));
    node.replace_program();
    assert!(!node.runs_its_program());
    assert!(node.verb(&["restart"]).status.success());
    wait_until("the new program runs", || node.runs_its_program());
    wait_until("its data are there", || {
        let exported = node.verb(&["export"]);
        exported.status.success() && sorted_lines(&exported) == before
    });
}
