//! Snapshots are read as they were written, or not at all.

use super::*;
use kv::{Args, Command, Database, FullName, Loader, Op, Origin, RecordValue, Request, Store, args};
use proptest::prelude::*;
use std::{ops::ControlFlow, sync::Arc};

/// A snapshot that this version wrote.
const FIXTURE: &[u8] = include_bytes!("fixture.kvdb");

/// A record with bytes of its own.
#[derive(Debug, Clone)]
enum Owned {
    Map(u8, Vec<u8>, bool, Option<u64>),
    Entry(Vec<u8>, Vec<u8>, Option<u64>),
    Str(u8, Vec<u8>, Vec<u8>, Origin, Option<u64>),
}

impl Owned {
    fn record(&self) -> Record<'_> {
        let full = |database: u8, name| FullName { database: Database::try_from(database).unwrap(), name };
        match self {
            Owned::Map(database, name, keep_when_empty, expires_at_ms) => Record::Map {
                full: full(*database, name),
                keep_when_empty: *keep_when_empty,
                expires_at_ms: *expires_at_ms,
            },
            Owned::Entry(key, value, expires_at_ms) => {
                Record::Entry { key, value: RecordValue::Bytes(value), expires_at_ms: *expires_at_ms }
            }
            Owned::Str(database, name, value, origin, expires_at_ms) => Record::Str {
                full: full(*database, name),
                value: RecordValue::Bytes(value),
                origin: *origin,
                expires_at_ms: *expires_at_ms,
            },
        }
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let value =
        || prop_oneof![8 => bytes(), 1 => (1_000_000..3_000_000_usize).prop_map(|length| vec![7; length])];
    let origin = prop_oneof![Just(Origin::Set), Just(Origin::Edited), Just(Origin::Fraction)];
    prop_oneof![
        (0..16_u8, bytes(), any::<bool>(), any::<Option<u64>>())
            .prop_map(|(database, name, keep, expiry)| Owned::Map(database, name, keep, expiry)),
        (bytes(), value(), any::<Option<u64>>())
            .prop_map(|(key, value, expiry)| Owned::Entry(key, value, expiry)),
        (0..16_u8, bytes(), value(), origin, any::<Option<u64>>()).prop_map(
            |(database, name, value, origin, expiry)| Owned::Str(database, name, value, origin, expiry)
        ),
    ]
}

fn header() -> SnapshotHeader {
    SnapshotHeader { kind: SnapshotKind::Range, stamp_ms: 1_700_000_000_000, description: b"what".to_vec() }
}

fn encode(records: &[Owned]) -> Vec<u8> {
    let mut encoder = SnapshotEncoder::new(&header());
    let mut bytes = Vec::new();
    for record in records {
        encoder.add(record.record());
        bytes.extend(encoder.take_blocks());
    }
    bytes.extend(encoder.finish());
    bytes
}

/// Reads all records; how much there was.
fn read(bytes: &[u8]) -> Result<RecordCounts, SnapshotError> {
    let mut reader = SnapshotReader::open(bytes)?;
    while reader.next_record()?.is_some() {}
    Ok(reader.counts())
}

fn some_records() -> Vec<Owned> {
    vec![
        Owned::Str(0, b"greeting".to_vec(), b"hello".to_vec(), Origin::Set, None),
        Owned::Str(15, b"edited".to_vec(), b"hello".to_vec(), Origin::Edited, Some(1_800_000_000_000)),
        Owned::Map(1, b"shopping".to_vec(), true, None),
        Owned::Entry(b"milk".to_vec(), b"1".to_vec(), None),
        Owned::Entry(b"eggs".to_vec(), b"3".to_vec(), Some(1_800_000_000_001)),
        Owned::Map(0, b"empty".to_vec(), true, Some(1_900_000_000_000)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn records_are_read_as_they_were_written(records in prop::collection::vec(owned(), 0..30)) {
        let bytes = encode(&records);
        let mut reader = SnapshotReader::open(&bytes[..]).unwrap();
        prop_assert_eq!(reader.header(), &header());
        for record in &records {
            prop_assert_eq!(reader.next_record().unwrap(), Some(record.record()));
        }
        prop_assert_eq!(reader.next_record().unwrap(), None);
        prop_assert_eq!(reader.offset(), bytes.len() as u64);
    }
}

#[test]
fn a_snapshot_that_is_cut_at_any_byte_is_refused() {
    let bytes = encode(&some_records());
    for length in 0..bytes.len() {
        let error = read(&bytes[..length]).expect_err("it is incomplete");
        assert!(matches!(error, SnapshotError::NotOne | SnapshotError::Incomplete(_)), "{length}: {error}");
    }
    assert!(read(&bytes).is_ok());
    assert!(matches!(read(&[&bytes[..], b"x"].concat()), Err(SnapshotError::Damaged(_))));
}

#[test]
fn a_snapshot_of_which_any_bit_is_flipped_is_refused() {
    let bytes = encode(&some_records());
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let error = read(&bytes).expect_err("damaged");
        let is_other = matches!(error, SnapshotError::Version(_) | SnapshotError::Kind(_));
        assert!(!is_other, "bit {bit}: {error}");
    }
}

#[test]
fn other_files_other_kinds_and_other_versions_are_named() {
    let mut bytes = encode(&[]);
    let error = |bytes: &[u8]| read(bytes).expect_err("refused").to_string();
    assert_eq!(error(b"*3\r\n$3\r\nSET"), "it is not a backup or a snapshot of this program");
    // The magic, kind, version, stamp, and the description with its length.
    let end = 4 + 2 + 8 + 4 + header().description.len();
    let mut changed = |place: usize, byte| {
        bytes[place] = byte;
        let checksum = crc32c::crc32c(&bytes[..end]);
        bytes[end..end + 4].copy_from_slice(&checksum.to_le_bytes());
        error(&bytes)
    };
    assert_eq!(changed(4, 77), "it is a file of this program of a kind that this release does not know: 77");
    assert_eq!(
        changed(5, 2),
        "it has version 2 of the format, and this release reads version 1: use a release that knows version 2"
    );
}

/// Executes a command, and returns its reply.
fn run(store: &Store, words: &[&[u8]]) -> String {
    let mut bulks = Vec::new();
    words[2..].iter().for_each(|word| args::push(&mut bulks, word));
    let name = std::str::from_utf8(words[0]).expect("a command");
    let command = Command::find(name).expect("a command");
    let (request, mut text) =
        (Request::new(words[1], Op::Command { command, args: Args::new(&bulks) }), String::new());
    store.execute(&[request], 1_000, |reply| {
        text = format!("{reply:?}");
        ControlFlow::Continue(())
    });
    text
}

fn store() -> Arc<Store> {
    let store = Arc::new(Store::new());
    let run = |words: &[&[u8]]| drop(run(&store, words));
    store.execute(&[Request::new(b"empty", Op::Create)], 1_000, |_| ControlFlow::Continue(()));
    run(&[b"set", b"greeting", b"hello"]);
    run(&[b"append", b"edited", &vec![b'x'; 3_000_000]]);
    for number in 0..5_000_u32 {
        run(&[b"hset", b"large", &number.to_le_bytes(), &number.to_be_bytes()]);
    }
    run(&[b"hpexpireat", b"large", b"9000", b"FIELDS", b"1", &7_u32.to_le_bytes()]);
    run(&[b"pexpireat", b"large", b"8000"]);
    store
}

/// A snapshot of a store.
fn snapshot(store: &Arc<Store>) -> (Vec<u8>, RecordCounts) {
    let mut frozen = store.freeze(&Arc::default()).expect("no other copy");
    let mut encoder = SnapshotEncoder::new(&header());
    let mut bytes = Vec::new();
    while let Some(blocks) = encode_store(&mut frozen, &mut encoder).expect("not given up") {
        bytes.extend(blocks);
    }
    let counts = encoder.counts();
    bytes.extend(encoder.finish());
    (bytes, counts)
}

#[test]
fn a_store_is_loaded_from_its_snapshot() {
    let store = store();
    let (bytes, counts) = snapshot(&store);
    assert_eq!(counts, RecordCounts { maps: 2, entries: 5_000, strings: 2 });
    let loaded = Arc::new(Store::for_threads(1));
    let mut loader = Loader::new(&loaded, 1_000);
    let mut reader = SnapshotReader::open(&bytes[..]).expect("a header");
    while let Some(record) = reader.next_record().expect("sound") {
        loader.load(record).expect("room");
    }
    loader.finish();
    let (again, counts_again) = snapshot(&loaded);
    assert_eq!((counts_again, again.len()), (counts, bytes.len()));
    let page = |store: &Store| store.bucket_page(FullName::new(b"large"), 0, 1_000).map(|page| page.head);
    assert_eq!(page(&store), page(&loaded));
    for field in [0_u32, 7, 4_999] {
        let field = field.to_le_bytes();
        for words in [
            &[b"hget".as_slice(), b"large", &field][..],
            &[b"hpexpiretime", b"large", b"FIELDS", b"1", &field],
        ] {
            assert_eq!(run(&store, words), run(&loaded, words), "{words:?}");
        }
    }
    let get: [&[u8]; 3] = [b"hget", b"large", &7_u32.to_le_bytes()];
    assert!(run(&loaded, &get).contains("[0, 0, 0, 7]"), "{}", run(&loaded, &get));
}

#[test]
fn a_snapshot_of_this_version_can_be_read() {
    let mut reader = SnapshotReader::open(FIXTURE).expect("a header");
    assert_eq!(reader.header(), &header());
    for record in &some_records() {
        assert_eq!(reader.next_record().expect("sound"), Some(record.record()));
    }
    assert_eq!(reader.next_record().expect("sound"), None);
}

#[test]
#[ignore = "writes the fixture; only for a new version of the format"]
fn write_fixture() {
    std::fs::write(
        concat!(env!("CARGO_MANIFEST_DIR"), "/src/snapshot/fixture.kvdb"),
        encode(&some_records()),
    )
    .expect("the file is written");
}

#[test]
#[ignore = "measures; run it with --release --nocapture"]
fn how_fast_a_snapshot_is_written_and_loaded() {
    let store = Arc::new(Store::for_threads(1));
    let mut loader = Loader::new(&store, 0);
    let full = FullName::new(b"large");
    loader.load(Record::Map { full, keep_when_empty: false, expires_at_ms: None }).expect("room");
    for number in 0..5_000_000_u32 {
        let (key, value) = (format!("key{number:08}"), [b'v'; 32]);
        let entry =
            Record::Entry { key: key.as_bytes(), value: RecordValue::Bytes(&value), expires_at_ms: None };
        loader.load(entry).expect("room");
    }
    loader.finish();
    let started = std::time::Instant::now();
    let (bytes, counts) = snapshot(&store);
    let written = started.elapsed();
    drop(store);
    let started = std::time::Instant::now();
    let loaded = Store::for_threads(1);
    let mut loader = Loader::new(&loaded, 0);
    let mut reader = SnapshotReader::open(&bytes[..]).expect("a header");
    while let Some(record) = reader.next_record().expect("sound") {
        loader.load(record).expect("room");
    }
    loader.finish();
    println!("{} entries: written in {written:?}, loaded in {:?}", counts.entries, started.elapsed());
}
