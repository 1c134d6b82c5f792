//! Hashes and the expiry of their fields against a model, and scans of hashes that change.

use super::session::{START, run, words};
use crate::{
    limits::{EXPIRY_ENDS, PAGE_LINES, RANDOM_MISSES},
    reply::{Projection, Reply},
    request::{Op, Request},
    store::Store,
    tests::work::touched_by,
};
use proptest::prelude::*;
use std::{collections::BTreeMap, ops::ControlFlow};

/// A change of one field, or of the clock.
#[derive(Debug, Clone)]
enum Step {
    Set(u8, usize),
    SetUntil(u8, u64),
    Expire(u8, u64),
    Persist(u8),
    Delete(u8),
    Increment(u8),
    Wait(u64),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    let field = 0..40_u8;
    prop_oneof![
        3 => (field.clone(), 1..60_usize).prop_map(|(field, length)| Step::Set(field, length)),
        2 => (field.clone(), 0..50_u64).prop_map(|(field, after)| Step::SetUntil(field, after)),
        2 => (field.clone(), 0..50_u64).prop_map(|(field, after)| Step::Expire(field, after)),
        1 => field.clone().prop_map(Step::Persist),
        2 => field.clone().prop_map(Step::Delete),
        1 => field.prop_map(Step::Increment),
        2 => (0..30_u64).prop_map(Step::Wait),
        1 => Just(Step::Sweep),
    ]
}

/// The value and the expiry of each field.
type Model = BTreeMap<String, (String, Option<u64>)>;

fn execute(model: &mut Model, store: &Store, now: &mut u64, step: Step) -> Result<(), TestCaseError> {
    let run = |now: u64, line: String| run(store, now, &words(&line));
    let name = |field: u8| "f".repeat(usize::from(field) + 1);
    match step {
        Step::Set(field, length) => {
            let reply = run(*now, format!("HSET h {} {}", name(field), "v".repeat(length)));
            let before = model.insert(name(field), ("v".repeat(length), None));
            prop_assert_eq!(reply, format!("(integer) {}", u8::from(before.is_none())));
        }
        Step::SetUntil(field, after) => {
            run(*now, format!("HSETEX h PX {after} FIELDS 1 {} 7", name(field)));
            model.insert(name(field), ("7".into(), Some(*now + after)));
        }
        Step::Expire(field, after) => {
            let reply = run(*now, format!("HPEXPIRE h {after} FIELDS 1 {}", name(field)));
            let code = match model.get_mut(&name(field)) {
                None => -2,
                Some((_, expires)) => {
                    *expires = Some(*now + after);
                    if after == 0 { 2 } else { 1 }
                }
            };
            prop_assert_eq!(reply, format!("1) (integer) {code}"));
        }
        Step::Persist(field) => {
            run(*now, format!("HPERSIST h FIELDS 1 {}", name(field)));
            if let Some((_, expires)) = model.get_mut(&name(field)) {
                *expires = None;
            }
        }
        Step::Delete(field) => {
            let reply = run(*now, format!("HDEL h {}", name(field)));
            prop_assert_eq!(reply, format!("(integer) {}", u8::from(model.remove(&name(field)).is_some())));
        }
        Step::Increment(field) => {
            let reply = run(*now, format!("HINCRBY h {} 1", name(field)));
            let entry = model.entry(name(field)).or_insert(("0".into(), None));
            match entry.0.parse::<i64>() {
                Ok(number) => entry.0 = (number + 1).to_string(),
                Err(_) => prop_assert_eq!(reply, "(error) FieldNotInteger"),
            }
        }
        Step::Wait(time) => *now += time,
        Step::Sweep => (0..store.shards.len()).for_each(|number| {
            store.sweep_shard(number, *now);
        }),
    }
    model.retain(|_, (_, expires)| expires.is_none_or(|expires| expires > *now));
    Ok(())
}

proptest! {
    #[test]
    fn equals_a_map_whose_entries_expire(steps in proptest::collection::vec(step(), 1..200)) {
        let (store, mut model, mut now) = (Store::new(), Model::new(), START);
        for step in steps {
            execute(&mut model, &store, &mut now, step)?;
            let run = |line: &str| run(&store, now, &words(line));
            prop_assert_eq!(run("HLEN h"), format!("(integer) {}", model.len()));
            prop_assert_eq!(run("EXISTS h"), format!("(integer) {}", u8::from(!model.is_empty())));
        }
        for (field, (value, expires)) in &model {
            let run = |command: &str| run(&store, now, &words(&format!("{command} {field}")));
            prop_assert_eq!(run("HGET h"), format!("\"{value}\""));
            let left = expires.map_or(-1, |expires| (expires - now) as i64);
            prop_assert_eq!(run("HPTTL h FIELDS 1"), format!("1) (integer) {left}"));
        }
        let mut listed: Vec<String> = walk(&store, now, |_| ());
        listed.sort_unstable();
        prop_assert_eq!(listed, model.into_keys().collect::<Vec<_>>());
    }
}

/// Lists the fields of `h` in pages, and calls `between` between two pages.
fn walk(store: &Store, now: u64, mut between: impl FnMut(usize)) -> Vec<String> {
    let (mut fields, mut cursor) = (Vec::new(), 0);
    loop {
        let request = Request::new(b"h", Op::Entries { projection: Projection::Keys, cursor });
        store.execute(&[request], now, |reply| {
            let Reply::Page { items, next } = reply else { panic!("{reply:?}") };
            let texts = items.iter().map(|item| match item {
                Reply::Value(field) => String::from_utf8_lossy(field).into_owned(),
                other => panic!("{other:?}"),
            });
            fields.extend(texts);
            cursor = next;
            ControlFlow::Continue(())
        });
        if cursor == 0 {
            return fields;
        }
        between(fields.len());
    }
}

fn fill(store: &Store, numbers: std::ops::Range<usize>) {
    for number in numbers {
        run(store, START, &words(&format!("HSET h field{number} {number}")));
    }
}

#[test]
fn a_long_hash_is_walked_and_repeats_nothing_while_it_grows() {
    let store = Store::new();
    fill(&store, 0..5_000);
    assert_eq!(run(&store, START, &words("HGETALL h")), "TooLarge(Both)");
    assert_eq!(run(&store, START, &words("HKEYS h")), "TooLarge(Keys)");
    let mut fields =
        walk(&store, START, |count| fill(&store, 10_000 + count * 3..10_000 + count * 3 + 2_000));
    fields.sort_unstable();
    let listed = fields.len();
    fields.dedup();
    assert_eq!(fields.len(), listed, "no field twice");
    let there_all_the_time =
        fields.iter().filter(|field| field["field".len()..].parse::<usize>().unwrap() < 5_000);
    assert_eq!(there_all_the_time.count(), 5_000);
}

#[test]
fn a_scan_brings_a_few_at_a_time() {
    let store = Store::new();
    fill(&store, 0..1_000);
    let page = run(&store, START, &words("HSCAN h 0 COUNT 20 NOVALUES"));
    assert!((21..100).contains(&page.lines().count()), "{page}");
    let all = run(&store, START, &words("HSCAN h 0 COUNT 5000 NOVALUES"));
    assert_eq!((all.lines().next(), all.lines().count()), (Some("1) \"0\""), 1_001));
}

#[test]
fn random_fields_of_a_long_hash() {
    let store = Store::new();
    fill(&store, 0..1_000);
    for count in [3, 400, 900, 2_000] {
        let reply = run(&store, START, &words(&format!("HRANDFIELD h {count}")));
        let mut fields: Vec<&str> =
            reply.lines().map(|line| line.split_once(' ').expect("a field").1).collect();
        fields.sort_unstable();
        fields.dedup();
        assert_eq!(fields.len(), count.min(1_000));
    }
    assert_eq!(run(&store, START, &words("HRANDFIELD h -1500 WITHVALUES")).lines().count(), 3_000);
    assert_eq!(run(&store, START, &words("HRANDFIELD h -1000000")), "LargeSample");
    for number in 1..1_000 {
        run(&store, START, &words(&format!("HDEL h field{number}")));
    }
    assert_eq!(run(&store, START, &words("HRANDFIELD h")), "\"field0\"", "even if the table is nearly empty");
}

#[test]
fn random_fields_among_many_expired_ones_are_found_in_bounded_steps() {
    let store = Store::new();
    for number in 0..30_000 {
        run(&store, START, &words(&format!("HSETEX h PX 10 FIELDS 1 field{number} {number}")));
    }
    run(&store, START, &words("HSET h milk 1"));
    let later = START + 1_000;
    let bound = RANDOM_MISSES + 10 * PAGE_LINES + 2 * EXPIRY_ENDS;
    let (reply, touched) = touched_by(|| run(&store, later, &words("HRANDFIELD h -500")));
    assert!(reply == "LargeSample" && touched <= bound, "{reply} {touched}");
    let (mut cursor, mut steps) = (0, 0);
    loop {
        steps += 1;
        let op = Op::RandomEntries { projection: Projection::Keys, cursor, count: 500 };
        let request = Request::new(b"h", op);
        let mut found = 0;
        let (_, touched) = touched_by(|| {
            store.execute(&[request], later, |reply| {
                let Reply::Page { items, next } = reply else { panic!("{reply:?}") };
                assert!(!items.is_empty() || next != 0);
                (cursor, found) = (next, items.len());
                ControlFlow::Continue(())
            })
        });
        assert!(touched <= bound, "{touched}");
        if found > 0 {
            break;
        }
    }
    assert!(steps < 60, "{steps}");
}
