//! Tests of the operations on all buckets.

use super::*;
use crate::{
    args::{self, Args},
    commands::spec::Command,
    database::FullName,
    error::CommandError,
    pubsub::{backlog::Backlog, bucket_changes::Change},
    reply::{Projection, Reply},
    request::{Op, Request},
    shard::{bucket_ref::BucketMut, registry::Lookup, watch::Watcher},
    store::prepare::TransactionPreparation,
    tests::work::touched_by,
};
use std::{collections::HashSet, hash::BuildHasher, ops::ControlFlow};
use tokio_stream::StreamExt;

fn execute(store: &Store, bucket: &str, op: Op<'_>) {
    let refused = |reply: Reply<'_>| matches!(reply, Reply::Error(_));
    store.execute(&[Request::new(bucket.as_bytes(), op)], 0, |reply| {
        assert!(!refused(reply));
        ControlFlow::Continue(())
    });
}

fn set_field(store: &Store, bucket: &str) {
    let mut args = Vec::new();
    [b"field", b"value"].into_iter().for_each(|arg| args::push(&mut args, arg));
    let command = Command::find("hset").unwrap();
    execute(store, bucket, Op::Command { command, args: Args::new(&args) });
}

const WATCHER: Watcher = Watcher { link: 0, connection: 1 };

fn watch(store: &Store, bucket: &[u8]) -> u64 {
    let mut version = 0;
    store.execute(&[Request::new(bucket, Op::Watch { watcher: WATCHER })], 0, |reply| {
        let Reply::Number(number) = reply else { panic!("{reply:?}") };
        version = number as u64;
        ControlFlow::Continue(())
    });
    version
}

/// A store of buckets `0` to `999`.
fn thousand() -> Store {
    let store = Store::new();
    (0..1_000).for_each(|number| execute(&store, &number.to_string(), Op::Create));
    store
}

#[test]
fn pages_fill_up_across_shards_and_list_each_name_once() {
    let store = thousand();
    let page = store.scan(0, &ScanFilter { count: 100, ..ScanFilter::default() }, 0);
    assert!((80..120).contains(&page.names.len()), "{}", page.names.len());
    for count in [0, 1, 100, usize::MAX] {
        let (mut names, mut cursor, mut pages) = (Vec::new(), 0, 0);
        loop {
            let page = store.scan(cursor, &ScanFilter { count, ..ScanFilter::default() }, 0);
            pages += 1;
            names.extend(page.names);
            cursor = page.next;
            if cursor == 0 {
                break;
            }
        }
        assert_eq!((names.len(), names.iter().collect::<HashSet<_>>().len()), (1_000, 1_000));
        assert_eq!(pages == 1, count == usize::MAX, "{count}: {pages}");
    }
    assert_eq!(
        store.scan_from(u64::MAX, &ScanFilter::default(), 0).next % store.shards_per_database() as u64,
        0,
        "no such place"
    );
}

/// A page of the names of a replica, or of the fields of a hash.
fn page(replica: &Store, hash: Option<&str>, cursor: u64) -> (Vec<String>, u64) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let Some(hash) = hash else {
        let filter = ScanFilter { count: 10, ..ScanFilter::default() };
        let NamePage { names, next } = replica.scan(cursor, &filter, 0);
        return (names.iter().map(|name| text(name)).collect(), next);
    };
    let mut args = Vec::new();
    [cursor.to_string().as_bytes(), b"NOVALUES"].into_iter().for_each(|arg| args::push(&mut args, arg));
    let op = Op::Command { command: Command::find("hscan").unwrap(), args: Args::new(&args) };
    let mut page = (Vec::new(), 0);
    replica.execute(&[Request::new(hash.as_bytes(), op)], 0, |reply| {
        let Reply::Page { items, next } = reply else { panic!("{reply:?}") };
        let name = |item: &Reply<'_>| match item {
            Reply::Value(value) => text(value),
            other => panic!("{other:?}"),
        };
        page = (items.iter().map(name).collect(), next);
        ControlFlow::Continue(())
    });
    page
}

#[test]
fn a_scan_that_goes_on_at_another_replica_misses_nothing() {
    let names: HashSet<_> = (0..1_000).map(|number| number.to_string()).collect();
    let replicas = [Store::for_range(1, 4), Store::for_range(2, 8), Store::for_range(3, 4)];
    for replica in &replicas {
        names.iter().for_each(|name| execute(replica, name, Op::Create));
        let put = |name: &String| {
            let (key, value) = (name.as_bytes(), b"1".as_slice());
            execute(replica, "0", Op::Put { key, value });
        };
        names.iter().for_each(put);
    }
    for hash in [None, Some("0")] {
        let (mut found, mut cursor) = (HashSet::new(), 0);
        for pages in 0.. {
            let (page, next) = page(&replicas[(pages / 30).min(2)], hash, cursor);
            found.extend(page);
            cursor = next;
            if cursor == 0 {
                assert!(pages > 60, "{pages} pages: the leader did not change");
                break;
            }
        }
        assert_eq!(found, names, "{hash:?}");
    }
}

#[test]
fn a_reply_in_pages_is_refused_where_it_would_list_entries_twice() {
    let (one, other) = (Store::for_range(1, 4), Store::for_range(2, 4));
    for replica in [&one, &other] {
        execute(replica, "shopping", Op::Create);
        for number in 0..10_000 {
            let (key, value) = (number.to_string(), b"1".as_slice());
            execute(replica, "shopping", Op::Put { key: key.as_bytes(), value });
        }
    }
    let reply = |replica: &Store, op: Op<'_>| {
        let mut replied = (0, false);
        replica.execute(&[Request::new(b"shopping", op)], 0, |reply| {
            replied = match reply {
                Reply::Page { next, .. } | Reply::Keys { next, .. } => (next, false),
                Reply::Error(CommandError::InvalidCursor) => (0, true),
                other => panic!("{other:?}"),
            };
            ControlFlow::Continue(())
        });
        replied
    };
    let ops: [fn(u64) -> Op<'static>; 3] = [
        |cursor| Op::Entries { projection: Projection::Both, cursor },
        |cursor| Op::Keys { cursor },
        |cursor| Op::MemoryUsage { cursor },
    ];
    for op in ops {
        let (next, _) = reply(&one, op(0));
        assert!(next != 0 && !reply(&one, op(next)).1, "it goes on");
        assert!(reply(&other, op(next)).1);
    }
}

#[test]
fn names_are_listed_by_pattern_and_kind_until_they_expire() {
    let store = thousand();
    let filter = ScanFilter { pattern: Some(b"99?"), count: usize::MAX, ..ScanFilter::default() };
    assert_eq!(store.scan(0, &filter, 0).names.len(), 10);
    let strings = ScanFilter { kind: Some(Kind::Str), ..filter };
    assert!(store.scan(0, &strings, 0).names.is_empty());
    let maps = ScanFilter { kind: Some(Kind::Map), ..filter };
    assert_eq!(store.scan(0, &maps, 0).names.len(), 10);
    let hash = store.hasher.hash_one("990".as_bytes());
    let mut shard = store.lock(store.shard_index(Database::ZERO, hash));
    BucketMut::new(&mut shard, b"990", Lookup::new(hash), 0).set_expiry(Some(10)).unwrap();
    drop(shard);
    assert_eq!(store.scan(0, &filter, 9).names.len(), 10);
    assert_eq!(store.scan(0, &filter, 10).names.len(), 9);
}

#[test]
fn a_random_name_may_be_any() {
    let store = Store::new();
    assert_eq!(store.random_name(Database::ZERO, 7, 0), None);
    ["milk", "eggs", "bread"].into_iter().for_each(|name| execute(&store, name, Op::Create));
    let seeds = (0..1_000_u64).map(|seed| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let names: HashSet<_> = seeds.map(|seed| store.random_name(Database::ZERO, seed, 0).unwrap()).collect();
    assert_eq!(names.len(), 3);
}

#[tokio::test]
async fn a_flush_ends_every_bucket_and_invalidates_watches_of_those_that_existed() {
    let store = thousand();
    set_field(&store, "shopping");
    let (there, not_there) = (watch(&store, b"shopping"), watch(&store, b"nothing"));
    let mut changes = store.subscribe(b"shopping", &Backlog::unlimited()).unwrap();
    assert!(store.stats().bytes > 0);
    drop(store.flush(None));
    assert_eq!((store.bucket_counts()[0], store.stats().buckets()), (0, 0));
    assert_eq!(
        changes.next().await.map(|event| event.change.clone()),
        Some(Change::Ended(EndReason::Dropped))
    );
    assert_eq!(
        store.transact(
            &[(FullName::new(b"shopping"), there)],
            &[],
            TransactionPreparation::default(),
            0,
            |_| {}
        ),
        Ok(false)
    );
    assert_eq!(
        store.transact(
            &[(FullName::new(b"nothing"), not_there)],
            &[],
            TransactionPreparation::default(),
            0,
            |_| {}
        ),
        Ok(true)
    );
    assert_ne!(watch(&store, b"shopping"), there);
    set_field(&store, "shopping");
    assert_eq!(store.bucket_counts()[0], 1);
}

#[test]
fn a_page_compares_a_bounded_number_of_bytes_whatever_the_names_and_the_pattern() {
    let store = Store::new();
    let long = "a".repeat(20_000);
    (0..200).for_each(|number| execute(&store, &format!("{long}{number}"), Op::Create));
    let pattern = format!("*{long}b*");
    let filter = ScanFilter { pattern: Some(pattern.as_bytes()), count: usize::MAX, ..ScanFilter::default() };
    let (mut cursor, mut pages) = (0, 0);
    loop {
        let (page, touched) = touched_by(|| store.scan(cursor, &filter, 0));
        // A page ends with the line of names that exceeds the limit.
        assert!(touched < 2 * (PAGE_MATCHED_BYTES + 50 * (long.len() + pattern.len())), "{touched}");
        (cursor, pages) = (page.next, pages + 1);
        if cursor == 0 {
            break;
        }
    }
    assert!(pages >= 200 * (long.len() + pattern.len()) / (2 * PAGE_MATCHED_BYTES), "{pages}");
}
