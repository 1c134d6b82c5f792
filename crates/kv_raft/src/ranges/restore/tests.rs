//! Data directories that are filled, and what is left of a restore that does not end.

use super::*;
use crate::ranges::{
    Ranges, RangesSettings,
    skip::SkippableEntry,
    tests::{alone, killed, open, read, settings, span, write},
};
use kv::{Database, FullName, Origin, RecordValue};
use std::io;
use tempfile::TempDir;

const NODE: &str = "foo@127.0.0.1";
/// The moment of the backup, in milliseconds since 1970.
const STAMP_MS: u64 = 1_000_000;

fn begin(data_dir: &Path, spans: &[Span]) -> Result<Restore, OpenError> {
    Restore::begin(data_dir, NODE, spans, 2, STAMP_MS)
}

fn string<'a>(name: &'a str, value: &'a [u8], expires_at_ms: Option<u64>) -> Record<'a> {
    let full = FullName { database: Database::ZERO, name: name.as_bytes() };
    Record::Str { full, value: RecordValue::Bytes(value), origin: Origin::Edited, expires_at_ms }
}

fn map(name: &str) -> Record<'_> {
    let full = FullName { database: Database::ZERO, name: name.as_bytes() };
    Record::Map { full, keep_when_empty: true, expires_at_ms: None }
}

const ENTRY: Record<'static> =
    Record::Entry { key: b"milk", value: RecordValue::Bytes(b"1"), expires_at_ms: None };

fn refused(result: Result<impl Sized, OpenError>) -> String {
    result.err().expect("refused").to_string()
}

#[tokio::test]
async fn ranges_start_with_what_was_restored_and_go_on() {
    let directory = TempDir::new().expect("a directory");
    let data_dir = directory.path().join("new/data");
    let spans = vec![span("a", Some("n")), span("n", None)];
    let mut restore = begin(&data_dir, &spans).expect("begun");
    for record in [string("apple", b"1", None), map("list"), ENTRY, string("pear", b"2", None)] {
        assert!(restore.add(record).expect("written"));
    }
    assert!(!restore.add(map("Zoo")).expect("written"), "it is in no range");
    assert!(!restore.add(ENTRY).expect("written"));
    assert!(restore.add(string("gone", b"3", Some(STAMP_MS))).expect("written"));
    let value = vec![b'x'; 3 << 20];
    assert!(restore.add(string("plum", &value, None)).expect("written"));
    restore.finish().expect("finished");
    assert!(!fs::exists(data_dir.join(PART)).expect("known"));

    let settings = RangesSettings { spans: alone(&spans), ..settings(&data_dir) };
    let ranges = Ranges::open(&settings).expect("opened");
    let [low, high] = &ranges.all()[..] else { panic!("two ranges") };
    low.wait_until_loaded().await;
    high.wait_until_loaded().await;
    assert_eq!([read(low, "GET apple"), read(low, "HGET list milk")], ["1", "1"]);
    assert_eq!([read(low, "EXISTS gone"), read(high, "GET pear")], ["Number(0)", "2"]);
    assert_eq!(read(high, "STRLEN plum"), "Number(3145728)");
    assert_eq!(write(high, "INCR pear").await.expect("written"), ["Number(3)"]);
    high.take_snapshot().await.expect("taken");
    write(high, "INCR pear").await.expect("written");
    ranges.close().await;
    drop(ranges);
    let ranges = Ranges::open(&settings).expect("opened");
    ranges.all()[1].wait_until_loaded().await;
    assert_eq!(read(&ranges.all()[1], "GET pear"), "4");
    ranges.close().await;
}

#[tokio::test]
async fn a_data_directory_within_another_is_refused() {
    let directory = TempDir::new().expect("a directory");
    open(directory.path()).await.close().await;
    let inner = directory.path().join("ranges");
    let expected =
        format!("{} is inside of the data directory {}", inner.display(), directory.path().display());
    let opened = Ranges::open(&settings(&inner)).expect_err("refused").to_string();
    for error in [opened, refused(begin(&inner, &[span("", None)]))] {
        assert!(error.starts_with(&expected), "{error}");
    }
    assert!(!inner.join("lock").exists());
}

#[test]
fn what_cannot_be_a_data_directory_is_refused_with_what_to_do() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("file");
    fs::write(&file, "text").expect("written");
    let nowhere = directory.path().join("nowhere");
    let skipped = SkippableEntry::find(&nowhere, "..", 1).expect_err("refused").to_string();
    assert!(!nowhere.exists());
    let opened = Ranges::open(&settings(&file)).expect_err("refused").to_string();
    for error in [skipped, opened, refused(begin(&file, &[span("", None)]))] {
        assert!(error.ends_with("; is data_dir the right directory?"), "{error}");
    }
    let full = OpenError::Io { path: file, error: io::Error::from_raw_os_error(28) }.to_string();
    assert!(full.ends_with("; free some space"), "{full}");
}

#[tokio::test]
async fn a_part_of_a_restore_is_never_taken_for_the_whole() {
    let directory = TempDir::new().expect("a directory");
    let data_dir = directory.path();
    let spans = [span("", None)];
    let mut restore = begin(data_dir, &spans).expect("begun");
    let begun = killed(data_dir);
    restore.add(string("apple", b"1", None)).expect("written");
    let written = killed(data_dir);
    assert!(refused(begin(data_dir, &spans)).contains("is in use by another process"));
    for killed in [begun, written] {
        let reason = refused(Ranges::open(&settings(killed.path())));
        assert!(reason.contains("ranges.part is left of a restore that did not end"), "{reason}");
        let mut again = begin(killed.path(), &spans).expect("begun");
        again.add(string("apple", b"2", None)).expect("written");
        again.finish().expect("finished");
        let ranges = open(killed.path()).await;
        assert_eq!(read(&ranges.all()[0], "GET apple"), "2");
        ranges.close().await;
    }
    drop(restore);
    let ranges = open(data_dir).await;
    assert_eq!(read(&ranges.all()[0], "EXISTS apple"), "Number(0)");
    assert!(Ranges::is_in_use(data_dir));
    ranges.close().await;
    drop(ranges);
    assert!(!Ranges::is_in_use(data_dir) && !Ranges::is_in_use(&data_dir.join("none")));
    let reason = refused(begin(data_dir, &spans));
    assert!(
        reason.contains("has ranges already, and a backup is restored into an empty data_dir"),
        "{reason}"
    );
    fs::remove_dir_all(data_dir.join("ranges")).expect("removed");
    let other = refused(Restore::begin(data_dir, "bar@127.0.0.1", &spans, 2, STAMP_MS));
    assert!(other.contains("holds the data of foo@127.0.0.1"), "{other}");
}
