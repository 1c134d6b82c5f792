//! Tests of a bucket, some against a model, while it outgrows its block.

use super::*;
use crate::limits::PAGE_NAMES;
use foldhash::fast::SeedableRandomState;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn put(bucket: &mut Bucket, memory: &mut Memory, key: &[u8], value: &[u8]) {
    let hash = memory.hash(key);
    bucket
        .put(memory, hash, Entry { key, value: Value::Bytes(value), expires_at_ms: None }, 0)
        .expect("room");
}

fn delete(bucket: &mut Bucket, memory: &mut Memory, key: &[u8]) -> Result<bool, CommandError> {
    let hash = memory.hash(key);
    bucket.delete(memory, hash, key, 0)
}

fn value<'m>(bucket: Bucket, memory: &'m Memory, key: &[u8]) -> Option<&'m [u8]> {
    bucket.map(memory).expect("a map").get(memory.hash(key), key).and_then(|entry| entry.value.small())
}

fn memory() -> Memory {
    Memory::new(SeedableRandomState::fixed())
}

#[test]
fn stores_values_by_key() {
    let mut memory = memory();
    let mut bucket = Bucket::create_map(&mut memory, b"shopping", false, None).expect("room");
    assert_eq!(value(bucket, &memory, b"milk"), None);
    put(&mut bucket, &mut memory, b"milk", b"3");
    assert_eq!(value(bucket, &memory, b"milk"), Some(b"3".as_slice()));
    assert_eq!(delete(&mut bucket, &mut memory, b"milk"), Ok(true));
    assert_eq!(value(bucket, &memory, b"milk"), None);
    assert_eq!(bucket.name(&memory), b"shopping");
}

#[test]
fn keys_and_values_of_any_length() {
    let mut memory = memory();
    let mut bucket = Bucket::create_map(&mut memory, &[b'n'; 2_000], false, None).expect("room");
    for length in [0, 1, 127, 128, 500, 40_000, 200_000] {
        put(&mut bucket, &mut memory, &vec![b'k'; length], &vec![b'v'; length]);
    }
    for length in [0, 1, 127, 128, 500, 40_000, 200_000] {
        assert_eq!(value(bucket, &memory, &vec![b'k'; length]), Some(vec![b'v'; length].as_slice()));
    }
    assert_eq!(bucket.name(&memory), [b'n'; 2_000]);
}

#[test]
fn pages_list_every_key_once() {
    let mut memory = memory();
    let mut bucket = Bucket::create_map(&mut memory, b"big", false, None).expect("room");
    for number in 0..10_000 {
        put(&mut bucket, &mut memory, number.to_string().as_bytes(), b"");
    }
    let (mut keys, mut cursor, mut pages) = (Vec::new(), 0, 0);
    loop {
        let (page, next) = bucket.map(&memory).expect("a map").entries(cursor, PAGE_NAMES);
        assert!(page.len() < 2 * PAGE_NAMES);
        keys.extend(page.iter().map(|entry| entry.key.to_vec()));
        pages += 1;
        if next == 0 {
            break;
        }
        cursor = next;
    }
    keys.sort_unstable();
    keys.dedup();
    assert_eq!((keys.len(), pages > 5), (10_000, true));
}

#[test]
fn a_single_value_and_its_expiry() {
    let mut memory = memory();
    let hello = Value::Bytes(b"hello");
    let mut bucket = Bucket::create_string(&mut memory, b"greeting", hello, None).expect("room");
    assert_eq!(bucket.string(&memory), Ok(hello));
    bucket.set_head(&mut memory, b"greeting", false, Some(77)).expect("room");
    assert_eq!((bucket.expires_at_ms(&memory), bucket.string(&memory)), (Some(77), Ok(hello)));
    let long = vec![b'x'; 100_000];
    bucket.set_string(&mut memory, b"greeting", Value::Bytes(&long), None).expect("room");
    assert_eq!((bucket.expires_at_ms(&memory), bucket.string(&memory)), (None, Ok(Value::Bytes(&long))));
    assert_eq!(bucket.name(&memory), b"greeting");
}

#[test]
fn an_expiry_may_outgrow_a_full_block() {
    let mut memory = memory();
    let mut bucket = Bucket::create_map(&mut memory, b"b", true, None).expect("room");
    let mut key = 0_u8;
    while bucket.map(&memory).is_ok_and(|map| map.table().is_none() && map.len(0) == usize::from(key)) {
        bucket.set_head(&mut memory, b"b", true, None).expect("room");
        put(&mut bucket, &mut memory, &[key], b"12");
        key += 1;
    }
    let mut bucket = Bucket::create_map(&mut memory, b"c", true, None).expect("room");
    for key in 0..key - 1 {
        put(&mut bucket, &mut memory, &[key], b"12");
    }
    bucket.set_head(&mut memory, b"c", true, Some(5)).expect("room");
    assert!(bucket.keeps_when_empty(&memory) && bucket.expires_at_ms(&memory) == Some(5));
    assert!((0..key - 1).all(|key| value(bucket, &memory, &[key]) == Some(b"12")));
}

proptest! {
    #[test]
    fn equals_a_map(
        changes in proptest::collection::vec((0..60_u8, proptest::option::of(0..90_usize)), 1..400)
    ) {
        let mut memory = memory();
        let mut bucket = Bucket::create_map(&mut memory, b"b", false, None).expect("room");
        let mut model = BTreeMap::new();
        for (key, change) in changes {
            let key = vec![key; usize::from(key) % 7 + 1];
            match change {
                Some(length) => {
                    put(&mut bucket, &mut memory, &key, &vec![b'v'; length]);
                    model.insert(key.clone(), vec![b'v'; length]);
                }
                None => {
                    let was_there = delete(&mut bucket, &mut memory, &key).expect("room");
                    prop_assert_eq!(was_there, model.remove(&key).is_some());
                }
            }
            prop_assert_eq!(value(bucket, &memory, &key), model.get(&key).map(Vec::as_slice));
        }
        let (page, _) = bucket.map(&memory).expect("a map").entries(0, PAGE_NAMES);
        let mut keys: Vec<&[u8]> = page.iter().map(|entry| entry.key).collect();
        keys.sort_unstable();
        prop_assert_eq!(keys, model.keys().map(Vec::as_slice).collect::<Vec<_>>());
    }
}
