//! Tests of reading and loading whole buckets.

use super::*;
use crate::{
    args,
    limits::NAME_BYTES,
    request::{Op, Request},
};
use std::{num::NonZeroU64, ops::ControlFlow};

const NOW_MS: u64 = 1_000;

fn args_of(words: &[&[u8]]) -> Vec<u8> {
    let mut bulks = Vec::new();
    words.iter().for_each(|word| args::push(&mut bulks, word));
    bulks
}

/// The reply to a load of `shopping`.
fn load(store: &Store, mode: LoadMode, head: BucketHead, words: &[&[u8]]) -> Reply<'static> {
    let BucketHead { kind, keep_when_empty, expires_at_ms } = head;
    let (bulks, expires_at_ms) = (args_of(words), expires_at_ms.and_then(NonZeroU64::new));
    let op = Op::Load { mode, kind, keep_when_empty, expires_at_ms, contents: Args::new(&bulks) };
    let mut result = None;
    store.execute(&[Request::new(b"shopping", op)], NOW_MS, |reply| {
        result = Some(match reply {
            Reply::Number(number) => Reply::Number(number),
            Reply::NoBucket => Reply::NoBucket,
            Reply::Error(error) => Reply::Error(error),
            other => panic!("{other:?}"),
        });
        ControlFlow::Continue(())
    });
    result.unwrap()
}

fn shopping(store: &Store) -> Option<BucketPage> {
    store.bucket_page(FullName::new(b"shopping"), 0, NOW_MS)
}

fn entry(key: &[u8], value: &[u8], expires_at_ms: Option<u64>) -> OwnedEntry {
    OwnedEntry { key: key.into(), value: value.into(), expires_at_ms }
}

const MAP: BucketHead = BucketHead { kind: Kind::Map, keep_when_empty: false, expires_at_ms: None };
const STRING: BucketHead = BucketHead { kind: Kind::Str, keep_when_empty: false, expires_at_ms: Some(9_000) };
const LOADED: Reply<'static> = Reply::Number(1);
const TAKEN: Reply<'static> = Reply::Number(0);

#[test]
fn a_bucket_that_exists_is_changed_only_if_it_is_to_be_replaced() {
    let store = Store::new();
    let kept = BucketHead { keep_when_empty: true, expires_at_ms: Some(5_000), ..MAP };
    assert_eq!(load(&store, LoadMode::New, kept, &[b"milk", b"1", b"7000"]), LOADED);
    let page = BucketPage {
        head: kept,
        origin: Origin::Set,
        entries: vec![entry(b"milk", b"1", Some(7_000))],
        next: 0,
    };
    assert_eq!(shopping(&store), Some(page.clone()));
    assert_eq!(load(&store, LoadMode::New, STRING, &[b"red"]), TAKEN);
    assert_eq!(shopping(&store), Some(page));
    assert_eq!(load(&store, LoadMode::Replace, STRING, &[b"red"]), LOADED);
    let page =
        BucketPage { head: STRING, origin: Origin::Set, entries: vec![entry(b"", b"red", None)], next: 0 };
    assert_eq!(shopping(&store), Some(page));
    assert_eq!(load(&store, LoadMode::Replace, MAP, &[b"milk", b"2", b""]), LOADED);
    assert_eq!(shopping(&store).unwrap().head, MAP);
}

#[test]
fn entries_are_added_to_a_map_that_is_still_there() {
    let store = Store::new();
    assert_eq!(load(&store, LoadMode::Append, MAP, &[b"eggs", b"3", b""]), Reply::NoBucket);
    assert_eq!(shopping(&store), None);
    load(&store, LoadMode::New, BucketHead { expires_at_ms: Some(5_000), ..MAP }, &[b"milk", b"1", b""]);
    assert_eq!(load(&store, LoadMode::Append, MAP, &[b"eggs", b"3", b""]), LOADED);
    let page = shopping(&store).unwrap();
    assert_eq!((page.entries.len(), page.head.expires_at_ms), (2, Some(5_000)));
    load(&store, LoadMode::Replace, STRING, &[b"red"]);
    assert_eq!(load(&store, LoadMode::Append, MAP, &[b"eggs", b"3", b""]), Reply::NoBucket);
}

#[test]
fn what_is_invalid_is_refused_before_anything_changes() {
    let store = Store::new();
    load(&store, LoadMode::New, MAP, &[b"milk", b"1", b""]);
    let before = shopping(&store);
    let long = vec![b'x'; NAME_BYTES + 1];
    let loads: [(&[&[u8]], CommandError); 4] = [
        (&[b"eggs", b"3", b"", &long, b"1", b""], CommandError::NameTooLong),
        (&[b"eggs", b"3", b"soon"], CommandError::NotInteger),
        (&[b"eggs", b"3", b"-1"], CommandError::NotInteger),
        (&[b"eggs", b"3"], CommandError::Syntax),
    ];
    for (words, error) in loads {
        for mode in [LoadMode::Replace, LoadMode::Append] {
            assert_eq!(load(&store, mode, MAP, words), Reply::Error(error.clone()));
            assert_eq!(shopping(&store), before);
        }
    }
    assert_eq!(load(&store, LoadMode::Replace, STRING, &[]), Reply::Error(CommandError::Syntax));
    assert_eq!(shopping(&store), before);
}

#[test]
fn a_large_map_is_read_in_pages_and_loaded_in_parts() {
    let store = Store::new();
    for number in 0..5_000_u32 {
        let mode = if number == 0 { LoadMode::New } else { LoadMode::Append };
        assert_eq!(load(&store, mode, MAP, &[number.to_string().as_bytes(), b"v", b""]), LOADED);
    }
    let (mut cursor, mut keys, mut pages) = (0, Vec::new(), 0);
    loop {
        let page = store.bucket_page(FullName::new(b"shopping"), cursor, NOW_MS).unwrap();
        keys.extend(page.entries.into_iter().map(|entry| entry.key));
        pages += 1;
        cursor = page.next;
        if cursor == 0 {
            break;
        }
    }
    keys.sort();
    keys.dedup();
    assert!((2..6).contains(&pages), "{pages}");
    assert_eq!(keys.len(), 5_000);
}
