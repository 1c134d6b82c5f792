//! The guide's bucket, then the same against a model while it outgrows its block.

use super::*;
use foldhash::fast::RandomState;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn memory() -> Memory {
    Memory::new(RandomState::default())
}

#[test]
fn stores_values_by_key() {
    let mut memory = memory();
    let mut bucket = Bucket::start(&mut memory, b"shopping").expect("room");
    assert_eq!(bucket.get(&memory, b"milk"), None);
    bucket.put(&mut memory, b"milk", b"3").expect("room");
    assert_eq!(bucket.get(&memory, b"milk"), Some(b"3".as_slice()));
    assert_eq!(bucket.delete(&mut memory, b"milk"), Ok(true));
    assert_eq!(bucket.get(&memory, b"milk"), None);
    assert_eq!(bucket.name(&memory), b"shopping");
}

#[test]
fn keys_and_values_of_any_length() {
    let mut memory = memory();
    let mut bucket = Bucket::start(&mut memory, &[b'n'; 2_000]).expect("room");
    for length in [0, 1, 127, 128, 500, 40_000, 1_000_000] {
        bucket.put(&mut memory, &vec![b'k'; length], &vec![b'v'; length]).expect("room");
    }
    for length in [0, 1, 127, 128, 500, 40_000, 1_000_000] {
        assert_eq!(bucket.get(&memory, &vec![b'k'; length]), Some(vec![b'v'; length].as_slice()));
    }
    assert_eq!(bucket.name(&memory), [b'n'; 2_000]);
}

#[test]
fn pages_list_every_key_once() {
    let mut memory = memory();
    let mut bucket = Bucket::start(&mut memory, b"big").expect("room");
    for number in 0..10_000 {
        bucket.put(&mut memory, number.to_string().as_bytes(), b"").expect("room");
    }
    let (mut keys, mut cursor, mut pages) = (Vec::new(), 0, 0);
    loop {
        let (page, next) = bucket.keys(&memory, cursor);
        assert!(page.len() < 2 * PAGE_NAMES);
        keys.extend(page.iter().map(|key| key.to_vec()));
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

proptest! {
    #[test]
    fn equals_a_map(
        changes in proptest::collection::vec((0..60_u8, proptest::option::of(0..90_usize)), 1..400)
    ) {
        let mut memory = memory();
        let mut bucket = Bucket::start(&mut memory, b"b").expect("room");
        let mut model = BTreeMap::new();
        for (key, value) in changes {
            let key = vec![key; usize::from(key) % 7 + 1];
            match value {
                Some(length) => {
                    bucket.put(&mut memory, &key, &vec![b'v'; length]).expect("room");
                    model.insert(key.clone(), vec![b'v'; length]);
                }
                None => {
                    let was_there = bucket.delete(&mut memory, &key).expect("room");
                    prop_assert_eq!(was_there, model.remove(&key).is_some());
                }
            }
            prop_assert_eq!(bucket.get(&memory, &key), model.get(&key).map(Vec::as_slice));
        }
        let (page, _) = bucket.keys(&memory, 0);
        let mut keys: Vec<&[u8]> = page.iter().map(|key| key.as_ref()).collect();
        keys.sort_unstable();
        prop_assert_eq!(keys, model.keys().map(Vec::as_slice).collect::<Vec<_>>());
    }
}
