//! Exports that are imported again, and imports that the node refuses.

use super::{
    export::Export,
    import::{Import, ImportCounts},
    pages::Pages,
    record::{Item, Record},
};
use kv::{Database, Origin};
use kv_cluster::{Cluster, Cookie, LinkSettings, NodeName, Routes, Settings, StoreSettings};
use kv_raft::LogOptions;
use proptest::{collection::vec, option, prelude::*, sample};
use std::{collections::BTreeMap, path::PathBuf};
use tempfile::TempDir;

/// A time that no test lives to see.
const LATER_MS: u64 = 1 << 44;

/// A node that owns all buckets.
fn node() -> Cluster {
    node_with(None)
}

/// Such a node, whose buckets are durable if it has a directory.
fn node_with(data_dir: Option<PathBuf>) -> Cluster {
    let name: NodeName = "foo@127.0.0.1".parse().unwrap();
    let routes = Routes::all(name.clone());
    let (cookie, links, store) = (Cookie::new(""), LinkSettings::default(), StoreSettings::default());
    let (peers, logs) = (Vec::new(), LogOptions::default());
    let joined = None;
    Cluster::new(Settings { name, link: None, peers, routes, cookie, links, store, data_dir, joined, logs })
        .unwrap()
}

fn export(cluster: &Cluster) -> Vec<Vec<u8>> {
    let mut export = Export::new(cluster.clone(), None).unwrap();
    let pages = std::iter::from_fn(|| export.next_page().unwrap());
    let mut lines: Vec<_> = pages
        .flat_map(|page| page.split_inclusive(|byte| *byte == b'\n').map(Vec::from).collect::<Vec<_>>())
        .collect();
    lines.sort();
    lines
}

/// Imports lines, up to `page` at a time.
fn import(cluster: &Cluster, lines: &[Vec<u8>], page: usize, replace: bool) -> ImportCounts {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut import, mut counts) = (Import::new(replace), ImportCounts::default());
    for lines in lines.chunks(page) {
        counts.add(runtime.block_on(import.page(cluster, lines.concat())));
    }
    counts
}

fn text(lines: &str) -> Vec<Vec<u8>> {
    lines.split_inclusive('\n').map(Vec::from).collect()
}

/// A bucket with its entries, or a string.
#[derive(Debug, Clone)]
enum Value {
    Map { keep_when_empty: bool, entries: BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)> },
    Str(Vec<u8>, Origin),
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..12), "[a-c\u{fffd}\"\\\\\n ü]{0,4}".prop_map(String::into_bytes)]
}

fn expiry() -> impl Strategy<Value = Option<u64>> {
    option::of(LATER_MS..LATER_MS * 2)
}

fn value() -> impl Strategy<Value = Value> {
    let entries = proptest::collection::btree_map(bytes(), (bytes(), expiry()), 0..40);
    prop_oneof![
        (bytes(), sample::select(vec![Origin::Set, Origin::Edited, Origin::Fraction]))
            .prop_map(|(value, origin)| Value::Str(value, origin)),
        (any::<bool>(), entries).prop_map(|(keep, entries)| {
            // Without entries, only a bucket that stays is there.
            Value::Map { keep_when_empty: keep || entries.is_empty(), entries }
        }),
    ]
}

fn lines_of(database: Database, name: &[u8], value: &Value, expires_at_ms: Option<u64>) -> Vec<Vec<u8>> {
    let line = |item, expires_at_ms| {
        let mut line = Vec::new();
        Record { database, name: name.into(), item, expires_at_ms }.write(&mut line);
        line
    };
    match value {
        Value::Str(value, origin) => {
            vec![line(Item::Str { value: value.into(), origin: *origin }, expires_at_ms)]
        }
        Value::Map { keep_when_empty, entries } => {
            let bucket = line(Item::Bucket { keep_when_empty: *keep_when_empty }, expires_at_ms);
            let entries = entries.iter().map(|(field, (value, expires_at_ms))| {
                line(Item::Entry { field: field.into(), value: value.into() }, *expires_at_ms)
            });
            std::iter::once(bucket).chain(entries).collect()
        }
    }
}

/// All buckets of a node, by database and name, with their expiry.
type Buckets = BTreeMap<(usize, Vec<u8>), (Value, Option<u64>)>;

fn buckets() -> impl Strategy<Value = Buckets> {
    proptest::collection::btree_map((0..16_usize, bytes()), (value(), expiry()), 0..20)
}

/// Imports the buckets into an empty node, and exports them again.
fn check_round_trip(node: &Cluster, buckets: &Buckets, page: usize) -> Result<(), TestCaseError> {
    let mut lines = Vec::new();
    for ((database, name), (value, expires_at_ms)) in buckets {
        lines.extend(lines_of(Database::new(*database).unwrap(), name, value, *expires_at_ms));
    }
    let counts = import(node, &lines, page, false);
    prop_assert_eq!(counts.buckets + counts.strings, buckets.len() as u64);
    prop_assert_eq!(counts.buckets + counts.strings + counts.entries, lines.len() as u64);
    lines.sort();
    prop_assert_eq!(&export(node), &lines);
    // Again, as after an import that broke off.
    let counts_again = import(node, &lines_in_order(node), page, false);
    let existing = buckets.len() as u64;
    prop_assert_eq!(counts_again, ImportCounts { existing, ..ImportCounts::default() });
    prop_assert_eq!(&export(node), &lines);
    // Over what is there.
    let again = import(node, &lines_in_order(node), page, true);
    prop_assert_eq!(again, counts);
    prop_assert_eq!(export(node), lines);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_durable_node_exports_what_it_has_imported(buckets in buckets(), page in 1..50_usize) {
        let directory = TempDir::new().unwrap();
        let node = node_with(Some(directory.path().into()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for range in node.local().ranges() {
            runtime.block_on(range.wait_until_loaded());
        }
        check_round_trip(&node, &buckets, page)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_imported_is_exported_again(buckets in buckets(), page in 1..50_usize) {
        check_round_trip(&node(), &buckets, page)?;
    }

    #[test]
    fn a_line_is_read_back(name in bytes(), field in bytes(), value in bytes(), expires_at_ms in expiry()) {
        let item = Item::Entry { field: field.into(), value: value.into() };
        let record = Record { database: Database::ZERO, name: name.into(), item, expires_at_ms };
        let mut line = Vec::new();
        record.write(&mut line);
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        prop_assert_eq!(Record::parse(&line), Ok(record));
    }
}

/// An export as it is, unsorted.
fn lines_in_order(cluster: &Cluster) -> Vec<Vec<u8>> {
    let mut export = Export::new(cluster.clone(), None).unwrap();
    let all: Vec<u8> = std::iter::from_fn(|| export.next_page().unwrap()).flatten().collect();
    all.split_inclusive(|byte| *byte == b'\n').map(Vec::from).collect()
}

const SHOPPING: &str = r#"{"kind":"bucket","database":0,"name":"shopping"}
{"kind":"entry","database":0,"name":"shopping","field":"milk","value":"1"}
{"kind":"entry","database":0,"name":"shopping","field":"eggs","value":"3"}
"#;

#[test]
fn a_name_that_exists_is_left_as_it_is_unless_it_is_to_be_replaced() {
    for page in [1, 2, 3, 100] {
        let node = node();
        import(&node, &text(SHOPPING), page, false);
        let before = export(&node);
        let other = SHOPPING.replace(r#""3""#, r#""4""#).replace("milk", "tea")
            + "{\"kind\":\"string\",\"name\":\"a\",\"value\":\"b\"}\n";
        let counts = import(&node, &text(&other), page, false);
        assert_eq!(
            (counts.existing, counts.buckets, counts.entries, counts.strings),
            (1, 0, 0, 1),
            "{counts:?}"
        );
        assert_eq!((counts.differing, &counts.differing_names[..]), (1, &["\"shopping\"".to_owned()][..]));
        assert!(before.iter().all(|line| export(&node).contains(line)));
        assert_eq!(export(&node).len(), 4);
        let counts = import(&node, &text(&other), page, true);
        assert_eq!(
            (counts.existing, counts.buckets, counts.entries, counts.strings),
            (0, 1, 2, 1),
            "{counts:?}"
        );
        let mut expected = text(&other);
        expected[3] = b"{\"kind\":\"string\",\"database\":0,\"name\":\"a\",\"value\":\"b\"}\n".to_vec();
        expected.sort();
        assert_eq!(export(&node), expected);
    }
}

#[test]
fn a_name_that_lacks_anything_of_the_import_differs_and_one_that_has_more_does_not() {
    let there = r#"{"kind":"bucket","name":"hash","expires_at_ms":9000000000000}
{"kind":"entry","name":"hash","field":"milk","value":"1"}
{"kind":"entry","name":"hash","field":"eggs","value":"3","expires_at_ms":9000000000000}
{"kind":"entry","name":"hash","field":"tea","value":"5"}
{"kind":"string","name":"string","value":"red","expires_at_ms":9000000000000}
{"kind":"bucket","name":"empty","keep_when_empty":true}
"#;
    for (from, to, differing) in [
        ("", "", 0),
        // Its server may have said how long it lives, which is not exact.
        ("00000}\n{\"kind\":\"bucket", "00999}\n{\"kind\":\"bucket", 0),
        ("{\"kind\":\"entry\",\"name\":\"hash\",\"field\":\"tea\",\"value\":\"5\"}\n", "", 0),
        ("\"1\"", "\"2\"", 1),
        ("tea", "bread", 1),
        ("\"5\"}", "\"5\",\"expires_at_ms\":9000000000000}", 1),
        ("\"3\",\"expires_at_ms\":9000000000000", "\"3\"", 1),
        ("\"3\",\"expires_at_ms\":9000000000000", "\"3\",\"expires_at_ms\":9000000001001", 1),
        ("\"hash\",\"expires_at_ms\":9000000000000", "\"hash\"", 1),
        ("\"red\"", "\"blue\"", 1),
        ("\"red\"", "\"tan\"", 1),
        ("\"red\",\"expires_at_ms\":9000000000000", "\"red\"", 1),
        ("\"string\",\"value\"", "\"empty\",\"value\"", 1),
        ("\"bucket\",\"name\":\"empty\"", "\"bucket\",\"name\":\"string\"", 1),
    ] {
        for page in [1, 2, 3, 100] {
            let node = node();
            import(&node, &text(there), page, false);
            let before = export(&node);
            let counts = import(&node, &text(&there.replacen(from, to, 1)), page, false);
            assert_eq!(
                (counts.differing, counts.refused, &counts.stopped),
                (differing, 0, &None),
                "{from} {page}"
            );
            assert_eq!(counts.buckets + counts.entries + counts.strings, 0, "{from} {page}");
            assert_eq!(export(&node), before);
        }
    }
}

/// A bucket that crosses pages, between others.
const CROSSING: &str = r#"{"kind":"string","name":"first","value":"a"}
{"kind":"bucket","name":"hash","expires_at_ms":9000000000000}
{"kind":"entry","name":"hash","field":"milk","value":"1"}
{"kind":"entry","name":"hash","field":"eggs","value":"2","expires_at_ms":9000000000000}
{"kind":"entry","name":"hash","field":"tea","value":"3"}
{"kind":"entry","name":"hash","field":"bread","value":"4"}
{"kind":"string","name":"last","value":"b"}
"#;

#[test]
fn an_import_goes_on_in_the_bucket_in_which_the_one_before_broke_off() {
    let lines = text(CROSSING);
    let whole = node();
    import(&whole, &lines, 100, false);
    for page in 1..4 {
        for pages in 1..=lines.len() / page {
            let node = node();
            let first = import(&node, &lines[..pages * page], page, false);
            let broke_off = first.buckets == 1 && first.entries < 4;
            let counts = import(&node, &lines, page, false);
            assert_eq!(export(&node), export(&whole), "{page} {pages}");
            let refused = (counts.differing, counts.refused, &counts.stopped);
            assert_eq!(refused, (0, 0, &None), "{page} {pages}");
            assert_eq!(counts.completed, u64::from(broke_off), "{page} {pages}");
            assert_eq!(first.entries + counts.entries, 4, "{page} {pages}");
        }
    }
}

#[test]
fn a_bucket_that_has_not_just_what_an_import_brought_before_it_broke_off_is_left_as_it_is() {
    let lines = text(CROSSING);
    let beginning = CROSSING.lines().skip(1).take(3).collect::<Vec<_>>().join("\n") + "\n";
    let entry = "{\"kind\":\"entry\",\"name\":\"hash\",\"field\":";
    for there in [
        // Others have removed a field, changed one, added one that is to come, and another one.
        beginning.replace("eggs", "tea"),
        beginning.replace("\"1\"", "\"7\""),
        format!("{beginning}{entry}\"bread\",\"value\":\"5\"}}\n"),
        format!("{beginning}{entry}\"wine\",\"value\":\"1\"}}\n"),
        // It does not live as long.
        beginning.replacen("9000000000000", "9000000009999", 1),
    ] {
        let node = node();
        import(&node, &text(&there), 100, false);
        let before = export(&node);
        // The first page ends behind the eggs.
        let counts = import(&node, &lines, 4, false);
        assert_eq!((counts.differing, counts.completed, counts.entries), (1, 0, 0));
        assert!(before.iter().all(|line| export(&node).contains(line)));
        assert_eq!(export(&node).len(), before.len() + 2);
    }
}

#[test]
fn entries_without_a_bucket_make_one_and_what_has_expired_is_left_out() {
    let node = node();
    let lines = r#"{"kind":"entry","name":"a","field":"b","value":"c"}

{"kind":"entry","name":"a","field":"old","value":"c","expires_at_ms":1}
{"kind":"bucket","name":"gone","expires_at_ms":1,"keep_when_empty":true}
{"kind":"entry","name":"gone","field":"b","value":"c"}
{"kind":"string","name":"old","value":"c","expires_at_ms":1}
{"kind":"bucket","name":"empty"}
"#;
    let counts = import(&node, &text(lines), 2, false);
    assert_eq!((counts.buckets, counts.entries, counts.strings, counts.expired), (1, 1, 0, 3), "{counts:?}");
    assert_eq!(export(&node).len(), 2);
}

#[test]
fn entries_without_a_bucket_do_not_replace_one() {
    for page in [1, 2, 100] {
        let node = node();
        import(&node, &text(SHOPPING), page, false);
        let lines = r#"{"kind":"string","name":"a","value":"b"}
{"kind":"entry","name":"shopping","field":"milk","value":"9"}
{"kind":"entry","name":"shopping","field":"tea","value":"9"}
"#;
        let counts = import(&node, &text(lines), page, true);
        assert_eq!((counts.refused, counts.buckets, counts.entries, counts.strings), (1, 0, 0, 1));
        assert!(counts.refusals[0].starts_with("\"shopping\": the line of the bucket"), "{counts:?}");
        assert!(text(SHOPPING).iter().all(|line| export(&node).contains(line)), "it is as it was");
    }
}

#[test]
fn a_line_is_no_longer_than_twice_its_bytes() {
    for value in ["\0", "\x1b", "\x7f", "\"", "\\", "\t", "\r\n", "\u{85}", "a"] {
        let value = value.repeat(3_000);
        let mut line = Vec::new();
        let item = Item::Str { value: value.as_bytes().into(), origin: Origin::Set };
        Record { database: Database::ZERO, name: b"a".into(), item, expires_at_ms: None }.write(&mut line);
        assert!(line.len() < 2 * value.len() + 100, "{} bytes for {value:.2?}", line.len());
    }
}

#[test]
fn an_invalid_line_stops_the_import_with_its_number() {
    let lines = [
        ("{\"kind\":\"bucket\"}\n", "it has no name"),
        ("{\"kind\":\"bucket\",\"name\":\"a\",\"name_b64\":\"YQ==\"}\n", "it has both name and name_b64"),
        ("{\"kind\":\"bucket\",\"name_b64\":\"%\"}\n", "name_b64 is not base64"),
        ("{\"kind\":\"bucket\",\"name\":\"a\",\"database\":16}\n", "databases are 0 to 15, not 16"),
        ("{\"kind\":\"entry\",\"name\":\"a\"}\n", "an entry has a field and a value"),
        (
            "{\"kind\":\"string\",\"name\":\"a\",\"field\":\"\",\"value\":\"\"}\n",
            "a string has a value and no field",
        ),
        ("{\"kind\":\"bucket\",\"name\":\"a\",\"origin\":\"edited\"}\n", "only a string has an origin"),
        (
            "{\"kind\":\"string\",\"name\":\"a\",\"value\":\"\",\"origin\":\"x\"}\n",
            "its origin is edited, fraction, or missing",
        ),
        ("{\"kind\":\"list\",\"name\":\"a\"}\n", "unknown variant `list`"),
        ("{\"kind\":\"bucket\",\"nam\":\"a\"}\n", "unknown field `nam`"),
        (
            "{\"kind\":\"entry\",\"name\":\"a\",\"field\":\"\",\"value\":\"\",\"expires_at_ms\":70368744177664}\n",
            "its expires_at_ms is later than 70368744177663",
        ),
        (
            "{\"kind\":\"bucket\",\"name\":\"a\",\"expires_at_ms\":9223372036854775808}\n",
            "its expires_at_ms is later than 9223372036854775807",
        ),
        ("hello\n", "expected value at column 1"),
        ("{\"kind\":\"bucket\"\n", "EOF while parsing an object at column 16"),
    ];
    for (line, why) in lines {
        let node = node();
        let mut import = Import::new(false);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(import.page(&node, SHOPPING.into())).stopped, None);
        let page = [b"{\"kind\":\"string\",\"name\":\"b\",\"value\":\"\"}\n", line.as_bytes()].concat();
        let counts = runtime.block_on(import.page(&node, page));
        let stopped = counts.stopped.unwrap();
        assert!(stopped.starts_with("line 5: ") && stopped.contains(why), "{stopped}");
        assert_eq!((stopped.matches("line").count(), counts.has_invalid_line), (1, true), "{stopped}");
        assert_eq!(export(&node).len(), 3);
        assert_eq!(import.incomplete(), Some(&b"shopping"[..]));
    }
}

#[test]
fn a_name_that_is_too_long_is_refused_alone_and_a_full_node_stops_the_import() {
    let node = node();
    let long = "x".repeat(1024 * 1024 + 1);
    let lines = format!("{{\"kind\":\"string\",\"name\":\"{long}\",\"value\":\"1\"}}\n{SHOPPING}");
    let counts = import(&node, &text(&lines), 100, false);
    assert_eq!((counts.refused, counts.buckets, &counts.stopped), (1, 1, &None));
    assert!(counts.refusals[0].contains("name too long"), "{counts:?}");
    node.local().set_memory_limit(Some(1));
    let counts = import(&node, &text("{\"kind\":\"string\",\"name\":\"b\",\"value\":\"1\"}\n"), 1, false);
    assert!(counts.stopped.as_ref().is_some_and(|why| why.contains("\"b\": out of memory")), "{counts:?}");
}

#[test]
fn one_name_is_exported_from_all_databases() {
    let node = node();
    let other = SHOPPING.replace("\"database\":0", "\"database\":15");
    let lines = format!("{SHOPPING}{other}{{\"kind\":\"string\",\"name\":\"a\",\"value\":\"b\"}}\n");
    import(&node, &text(&lines), 100, false);
    let mut named = Export::new(node.clone(), Some(b"shopping".to_vec())).unwrap();
    let page = named.next_page().unwrap().unwrap();
    assert_eq!((page.split(|byte| *byte == b'\n').count() - 1, named.next_page()), (6, Ok(None)));
    assert!(named.into_scope().is_ok());
    let mut missing = Export::new(node.clone(), Some(b"tea".to_vec())).unwrap();
    assert_eq!(missing.next_page(), Ok(None));
    assert_eq!(missing.into_scope().unwrap_err(), "there is no bucket \"tea\"; a file is named with --to");
}
