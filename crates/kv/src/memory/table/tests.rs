//! Tests of the table: what it holds, and what a scan visits while it grows and shrinks.

use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

/// A hash that is good enough for a test, and the same each time.
fn hash(handle: Handle) -> u64 {
    u64::from(handle).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn find(table: &Table, handle: Handle) -> Option<SlotRef> {
    table.find(hash(handle), |candidate| candidate == handle)
}

#[test]
fn a_line_is_a_cache_line() {
    assert_eq!(size_of::<Line>(), 64);
}

#[test]
fn finds_exactly_what_was_inserted() {
    let mut table = Table::default();
    for handle in 1..=50_000 {
        table.insert(hash(handle), handle, hash);
    }
    assert_eq!(table.len(), 50_000);
    assert!((1..=50_000).all(|handle| find(&table, handle).is_some()));
    assert!((50_001..60_000).all(|handle| find(&table, handle).is_none()));
    for handle in (1..=50_000).step_by(2) {
        let slot = find(&table, handle).expect("not removed yet");
        assert_eq!(table.remove(slot), handle);
    }
    assert_eq!(table.len(), 25_000);
    assert!((1..=50_000).all(|handle| find(&table, handle).is_some() == (handle % 2 == 0)));
}

/// Inserts handles that are not there, or removes those that are.
fn resize(table: &mut Table, handles: impl Iterator<Item = Handle>) {
    for handle in handles {
        match find(table, handle) {
            Some(slot) => drop(table.remove(slot)),
            None => table.insert(hash(handle), handle, hash),
        }
    }
}

/// Checks the load, that the chains hold each handle once, and that no overflow line is left over.
fn check(table: &Table) {
    assert!(table.len() <= table.home_lines() * LOAD);
    assert!(table.len() + LOW_LOAD >= table.home_lines().saturating_sub(1) * LOW_LOAD);
    let mut linked = 0;
    for home in 0..table.home.len {
        let mut index = home;
        while table.line(index).next != 0 {
            let next = table.line(index).next;
            assert_eq!(table.previous[(next & !OVERFLOW) as usize], index);
            (index, linked) = (next, linked + 1);
        }
    }
    assert_eq!((linked, table.previous.len()), (table.overflow.len(), table.overflow.len()));
    let handles = (0..table.home_lines()).flat_map(|line| table.line_chain(line));
    let handles: Vec<Handle> = handles.inspect(|handle| assert!(find(table, *handle).is_some())).collect();
    assert_eq!((handles.len(), handles.iter().collect::<HashSet<_>>().len()), (table.len(), table.len()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_scan_visits_what_stays_once_however_the_table_grows_and_shrinks(
        stays in 1..300_u32,
        changes in proptest::collection::vec((0..800_u32, 0..800_u32, 1..10_usize), 1..20),
    ) {
        let (mut table, mut seen, mut cursor) = (Table::default(), HashSet::new(), 0);
        let others = |handle: Handle| stays + 1 + handle;
        resize(&mut table, 1..stays + 1);
        for (from, count, steps) in changes.into_iter().cycle() {
            resize(&mut table, others(from)..others(from + count));
            check(&table);
            for _ in 0..steps {
                let (handles, next) = table.scan_step(cursor, hash);
                for handle in handles.filter(|handle| *handle <= stays) {
                    prop_assert!(seen.insert(handle), "{} again", handle);
                }
                cursor = next;
                if cursor == 0 {
                    prop_assert_eq!(seen.len(), stays as usize);
                    return Ok(());
                }
            }
        }
    }
}

#[test]
fn what_is_removed_gives_its_memory_back() {
    let mut table = Table::default();
    resize(&mut table, 1..100_001);
    let full = table.bytes();
    for rest in [10_000, 1_000, 100, 9, 0] {
        let there = table.len() as Handle;
        resize(&mut table, rest + 1..there + 1);
        check(&table);
        assert!(table.bytes() < 1_024 + full * rest as usize / 25_000, "{rest}: {} bytes", table.bytes());
    }
    let before = table.bytes();
    for _ in 0..10 {
        resize(&mut table, 1..40);
        assert!(table.bytes() <= before + 16 * size_of::<Line>());
    }
}

#[test]
fn any_cursor_is_harmless() {
    let mut table = Table::default();
    let step = |table: &Table, cursor| {
        let (handles, next) = table.scan_step(cursor, hash);
        (handles.count(), next)
    };
    assert_eq!((step(&table, 0), step(&table, 7), table.random()), ((0, 0), (0, 0), None));
    resize(&mut table, 1..101);
    for cursor in [31, 1 << 5, 1 << 5 | 31, 7 << 5 | 3, u32::MAX.into()] {
        assert!(step(&table, cursor).0 < 30, "{cursor}");
    }
    assert_eq!([1 << 32, u64::MAX].map(|cursor| step(&table, cursor)), [(0, 0); 2]);
}

#[test]
fn a_random_choice_is_fair() {
    let mut table = Table::default();
    (1..=300).for_each(|handle| table.insert(hash(handle), handle, hash));
    let mut times = [0; 301];
    for _ in 0..300_000 {
        times[table.random().unwrap_or(0) as usize] += 1;
    }
    let chosen = 300_000 - times[0];
    assert!(times[1..].iter().all(|times| (chosen / 600..chosen / 150).contains(times)), "{times:?}");
}

#[test]
fn a_vacant_slot_never_matches() {
    for byte in 0..=u8::MAX {
        let (hash, other) = (u64::from(byte) << 56, u64::from(!byte) << 56);
        let mut table = Table::default();
        table.insert(hash, 1, |_| 0);
        table.insert(other, 2, |_| 0);
        table.remove(table.find(other, |handle| handle == 2).expect("not removed yet"));
        assert_eq!(table.search(hash, |handle| (handle == 2).then_some(handle)), None, "{byte}");
    }
}

#[test]
fn equal_hashes_chain() {
    let mut table = Table::default();
    for handle in 1..=100 {
        table.insert(7, handle, |_| 7);
    }
    assert!((1..=100).all(|handle| table.find(7, |candidate| candidate == handle).is_some()));
}
