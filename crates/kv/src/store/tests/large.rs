//! Tests of large values: what is touched while the lock is held, and what memory they take.

use super::*;
use crate::{
    args::{self, Args},
    commands::spec::Command,
    error::CommandError,
    limits::{LARGE_VALUE_BYTES, PIECE_BYTES},
    tests::work::touched_by,
};

/// Bytes of a large value: some pieces and a part of one.
const LARGE: usize = 6 * PIECE_BYTES + 77;

/// Bytes that one command may touch under the lock: the pieces at both ends of what it writes, and the one
/// that was the last before.
const TOUCHED: usize = 3 * PIECE_BYTES;

fn bytes(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

/// Executes a command as the server does, and returns its reply and the bytes touched under the lock.
fn run(store: &Store, words: &[&[u8]]) -> (Result<Vec<u8>, CommandError>, usize) {
    let (bulks, mut printed) = (bulks(&words[2..]), Ok(Vec::new()));
    let request = request(words, &bulks);
    let mut preparation = store.prepare(&request, 0);
    while preparation.step().expect("memory") {}
    let (_, touched) = touched_by(|| {
        store.execute_prepared(&request, preparation, 0, |reply| {
            printed = shown(&reply);
            ControlFlow::Continue(())
        });
    });
    (printed, touched)
}

fn bulks(words: &[&[u8]]) -> Vec<u8> {
    let mut bulks = Vec::new();
    words.iter().for_each(|word| args::push(&mut bulks, word));
    bulks
}

fn request<'a>(words: &[&'a [u8]], bulks: &'a [u8]) -> Request<'a> {
    let command = Command::find(std::str::from_utf8(words[0]).unwrap()).expect("a command");
    Request::new(words[1], Op::Command { command, args: Args::new(bulks) })
}

fn shown(reply: &Reply<'_>) -> Result<Vec<u8>, CommandError> {
    Ok(match reply {
        Reply::Done => b"OK".to_vec(),
        Reply::Value(value) => value.to_vec(),
        Reply::OwnedValue(value) => Box::<[u8]>::from(value.clone()).into(),
        Reply::Number(number) => number.to_string().into_bytes(),
        Reply::List(items) | Reply::Map(items) => {
            items.iter().map(|item| shown(item).unwrap()).collect::<Vec<_>>().concat()
        }
        Reply::Error(error) => return Err(error.clone()),
        Reply::NoKey | Reply::NoBucket => Vec::new(),
        other => panic!("{other:?}"),
    })
}

/// Executes a command, checks its reply, and that it touches little under the lock.
#[track_caller]
fn check(store: &Store, words: &[&[u8]], expected: &[u8]) {
    let (reply, touched) = run(store, words);
    let name = String::from_utf8_lossy(words[0]);
    assert!(touched <= TOUCHED, "{name} touches {touched} bytes");
    assert!(
        reply.as_deref() == Ok(expected),
        "{name} replies {} bytes",
        reply.map_or(0, |reply| reply.len())
    );
}

#[test]
fn commands_on_large_values_touch_few_pieces_under_the_lock() {
    let store = Store::new();
    let before = store.used_bytes();
    let (large, other) = (bytes(LARGE), vec![b'y'; LARGE + 5]);
    check(&store, &[b"set", b"s", &large], b"OK");
    assert!(store.used_bytes() - before >= LARGE);
    check(&store, &[b"get", b"s"], &large);
    check(&store, &[b"getset", b"s", &other], &large);
    check(&store, &[b"strlen", b"s"], (LARGE + 5).to_string().as_bytes());
    check(&store, &[b"copy", b"s", b"copy"], b"1");
    check(&store, &[b"append", b"copy", &large], (2 * LARGE + 5).to_string().as_bytes());
    check(&store, &[b"setrange", b"copy", b"3", &large], (2 * LARGE + 5).to_string().as_bytes());
    let changed = [&other[..3], &large, b"yy", &large].concat();
    check(&store, &[b"get", b"copy"], &changed);
    check(&store, &[b"getrange", b"copy", b"5000000", b"5000009"], &changed[5_000_000..5_000_010]);
    check(&store, &[b"getrange", b"copy", b"1", b"-2"], &changed[1..changed.len() - 1]);
    check(&store, &[b"rename", b"copy", b"renamed"], b"OK");
    check(&store, &[b"getdel", b"renamed"], &changed);
    check(&store, &[b"get", b"s"], &other);
    check(&store, &[b"set", b"s", b"short"], b"OK");
    check(
        &store,
        &[b"setrange", b"s", LARGE.to_string().as_bytes(), b"x"],
        (LARGE + 1).to_string().as_bytes(),
    );
    check(&store, &[b"del", b"s"], b"1");
    assert!(store.used_bytes() < before + 1_000, "the registry has grown by a line");
}

#[test]
fn fields_may_be_large_too() {
    let store = Store::new();
    let before = store.used_bytes();
    let (large, other) = (bytes(LARGE), vec![b'y'; LARGE]);
    check(&store, &[b"hset", b"h", b"small", b"1", b"large", &large, b"other", &other], b"3");
    check(&store, &[b"hget", b"h", b"large"], &large);
    check(&store, &[b"hset", b"h", b"large", &other], b"0");
    check(&store, &[b"hmget", b"h", b"large", b"small"], &[&other[..], b"1"].concat());
    check(&store, &[b"hstrlen", b"h", b"other"], LARGE.to_string().as_bytes());
    check(&store, &[b"hpexpire", b"h", b"100000", b"FIELDS", b"1", b"other"], b"1");
    check(&store, &[b"copy", b"h", b"copy"], b"1");
    check(&store, &[b"rename", b"copy", b"renamed"], b"OK");
    check(&store, &[b"hgetdel", b"h", b"FIELDS", b"1", b"other"], &other);
    check(&store, &[b"hset", b"h", b"large", b"short"], b"0");
    check(&store, &[b"hget", b"renamed", b"other"], &other);
    let (reply, _) = run(&store, &[b"hincrby", b"renamed", b"other", b"1"]);
    assert_eq!(reply, Err(CommandError::FieldNotInteger));
    check(&store, &[b"hgetall", b"h"], b"small1largeshort");
    check(&store, &[b"del", b"h"], b"1");
    check(&store, &[b"del", b"renamed"], b"1");
    while store.shards.iter().any(|shard| shard.lock().memory.has_garbage()) {
        store.shards.iter().for_each(|shard| shard.lock().memory.reclaim_some());
    }
    store.shards.iter().for_each(|shard| shard.lock().account(&store.budget));
    assert!(store.used_bytes() < before + 1_000, "the registry has grown by a line");
}

#[test]
fn a_write_that_was_prepared_for_another_length_does_nothing() {
    let store = Store::new();
    let large = bytes(LARGE);
    let bulks = bulks(&[&large]);
    let append = request(&[b"append", b"s"], &bulks);
    let mut preparation = store.prepare(&append, 0);
    while preparation.step().expect("memory") {}
    check(&store, &[b"set", b"s", b"x"], b"OK");
    let mut result = Ok(Vec::new());
    store.execute_prepared(&append, preparation, 0, |reply| {
        result = shown(&reply);
        ControlFlow::Continue(())
    });
    assert_eq!(result, Err(CommandError::Outdated));
    check(&store, &[b"get", b"s"], b"x");
    check(&store, &[b"append", b"s", &large], (LARGE + 1).to_string().as_bytes());
}

#[test]
fn copies_that_a_request_does_not_take_are_not_left_for_others() {
    let store = Store::new();
    let large = bytes(LARGE);
    check(&store, &[b"set", b"s", b"1"], b"OK");
    check(&store, &[b"setnx", b"s", &large], b"0");
    assert!(store.shards.iter().all(|shard| shard.lock().prepared.is_empty()));
}

#[test]
fn the_values_of_one_step_are_limited_unless_they_are_large() {
    let store = Store::new();
    let medium = bytes(LARGE_VALUE_BYTES);
    check(&store, &[b"hset", b"h", b"f", &medium, b"small", b"1"], b"2");
    let too_large = Err(CommandError::StepTooLarge);
    for command in [&[b"hmget" as &[u8], b"h"][..], &[b"hgetdel", b"h", b"FIELDS", b"65"]] {
        let words = [command, &[b"f" as &[u8]; 65]].concat();
        assert_eq!(run(&store, &words).0, too_large);
    }
    let (reply, _) = run(&store, &[&[b"hmget" as &[u8], b"h"], &[b"f" as &[u8]; 64][..]].concat());
    assert!(reply.is_ok_and(|reply| reply.len() == 64 * medium.len()));
    let (bulks, mut steps) = (bulks(&[[b"f" as &[u8], &medium]; 65].concat()), 0);
    let request = request(&[b"hset", b"h"], &bulks);
    let mut preparation = store.prepare(&request, 0);
    while preparation.step() == Ok(true) {
        steps += 1;
    }
    assert_eq!((preparation.step(), steps), (Err(CommandError::StepTooLarge), 0));
}

#[test]
fn a_large_value_is_refused_unless_it_fits_besides_what_is_used() {
    let store = Store::new();
    store.set_memory_limit(Some(32 * PIECE_BYTES));
    let value = bytes(20 * PIECE_BYTES);
    check(&store, &[b"set", b"a", &value], b"OK");
    for name in [b"a", b"b"] {
        let bulks = bulks(&[&value]);
        let request = request(&[b"set", name], &bulks);
        let mut preparation = store.prepare(&request, 0);
        assert_eq!(preparation.step(), Err(CommandError::OutOfMemory));
    }
    check(&store, &[b"set", b"b", &value[..10 * PIECE_BYTES]], b"OK");
}

#[test]
fn a_write_far_behind_the_end_of_a_string_has_to_fit_besides_what_is_used() {
    let store = Store::new();
    store.set_memory_limit(Some(32 * PIECE_BYTES));
    check(&store, &[b"set", b"s", &bytes(PIECE_BYTES)], b"OK");
    let setrange = |offset: usize| {
        let offset = offset.to_string();
        run(&store, &[b"setrange", b"s", offset.as_bytes(), b"x"]).0
    };
    let used = store.used_bytes();
    assert_eq!(setrange(40 * PIECE_BYTES), Err(CommandError::OutOfMemory));
    assert_eq!(store.used_bytes(), used);
    check(&store, &[b"strlen", b"s"], PIECE_BYTES.to_string().as_bytes());
    assert_eq!(setrange(usize::MAX / 4), Err(CommandError::StringTooLong));
    assert!(setrange(20 * PIECE_BYTES).is_ok(), "a part of it is there already");
    assert!(setrange(30 * PIECE_BYTES).is_ok());
    // In one batch, where those before are not accounted for yet.
    let offset = (9 * PIECE_BYTES).to_string();
    check(&store, &[b"del", b"s"], b"1");
    let bulks = bulks(&[offset.as_bytes(), &b"x"[..]]);
    let batch = [b"a", b"b", b"c", b"d"].map(|name| request(&[b"setrange", name], &bulks));
    let mut replies = Vec::new();
    store.execute(&batch, 0, |reply| {
        replies.push(shown(&reply).is_ok());
        ControlFlow::Continue(())
    });
    assert_eq!(replies, [true, true, true, false]);
}

#[test]
fn msetnx_takes_over_large_values_and_copies_none_under_the_locks() {
    let store = Store::for_threads(8);
    let (large, other) = (bytes(9 * PIECE_BYTES), bytes(10 * PIECE_BYTES));
    check(&store, &[b"msetnx", b"a", &large, b"b", &other, b"c", b"small"], b"1");
    check(&store, &[b"get", b"a"], &large);
    check(&store, &[b"get", b"b"], &other);
    check(&store, &[b"get", b"c"], b"small");
    check(&store, &[b"msetnx", b"d", &large, b"a", &other], b"0");
    check(&store, &[b"exists", b"d"], b"0");
    assert!(store.shards.iter().all(|shard| shard.lock().prepared.is_empty()));
    let medium = bytes(LARGE_VALUE_BYTES);
    let words: Vec<Vec<u8>> = (0..65).map(|index| format!("m{index}").into_bytes()).collect();
    let pairs = words.iter().flat_map(|name| [&name[..], &medium]);
    let words = [b"msetnx" as &[u8]].into_iter().chain(pairs).collect::<Vec<_>>();
    let bulks = bulks(&words[2..]);
    let preparation = &mut store.prepare(&request(&words, &bulks), 0);
    assert_eq!(preparation.step(), Err(CommandError::StepTooLarge));
}

#[test]
fn random_fields_of_large_values_are_picked_in_a_transaction() {
    let store = Store::new();
    let large = bytes(10 * PIECE_BYTES);
    check(&store, &[b"hset", b"h", b"one", &large, b"other", &large], b"2");
    for count in [&b"-2"[..], b"-20", b"1", b"2"] {
        let bulks = bulks(&[count]);
        let request = request(&[b"hrandfield", b"h"], &bulks);
        let mut picked = 0;
        let executed =
            store.transact(&[], &[request], TransactionPreparation::default(), 0, |reply| match reply {
                Reply::List(fields) => picked = fields.len(),
                other => panic!("{other:?}"),
            });
        let wanted: i64 = std::str::from_utf8(count).unwrap().parse().unwrap();
        assert_eq!((executed, picked as u64), (Ok(true), wanted.unsigned_abs()));
    }
}

/// Executes a transaction as the server does. Returns its replies, and the bytes touched under the locks.
fn transact(store: &Store, commands: &[&[&[u8]]], then: impl FnOnce()) -> (Vec<Vec<u8>>, usize) {
    let bulks: Vec<Vec<u8>> = commands.iter().map(|words| bulks(&words[2..])).collect();
    let requests: Vec<_> = commands.iter().zip(&bulks).map(|(words, bulks)| request(words, bulks)).collect();
    let mut preparation = store.prepare_transaction(&requests, 0);
    while preparation.step().expect("memory") {}
    then();
    let mut replies = Vec::new();
    let (executed, touched) = touched_by(|| {
        let on_reply = |reply: Reply<'_>| replies.push(shown(&reply).expect("executed"));
        store.transact(&[], &requests, preparation, 0, on_reply)
    });
    assert_eq!(executed, Ok(true));
    assert!(store.shards.iter().all(|shard| shard.lock().prepared.is_empty()));
    (replies, touched)
}

#[test]
fn a_transaction_takes_over_large_values_and_copies_none_under_the_locks() {
    let store = Store::for_threads(8);
    let (large, part) = (bytes(3 * PIECE_BYTES), bytes(LARGE_VALUE_BYTES + 1));
    let (replies, touched) = transact(
        &store,
        &[
            &[b"set", b"a", &large],
            &[b"get", b"a"],
            &[b"hset", b"h", b"small", b"1", b"one", &large, b"two", &part],
            &[b"setnx", b"a", &large],
            &[b"msetnx", b"b", &large, b"c", b"small", b"d", &part],
        ],
        || (),
    );
    assert!(replies == [&b"OK"[..], &large, b"3", b"0", b"1"]);
    assert_eq!(touched, 0);
    for (name, value) in [(b"a", &large[..]), (b"b", &large), (b"c", b"small"), (b"d", &part)] {
        check(&store, &[b"get", name], value);
    }
    check(&store, &[b"hmget", b"h", b"one", b"two", b"small"], &[&large, &part, &b"1"[..]].concat());
}

#[test]
fn large_writes_to_one_string_in_a_transaction_touch_the_pieces_at_their_ends() {
    let store = Store::for_threads(8);
    store.set_transaction_limits(TransactionLimits { bytes: 64 * PIECE_BYTES, ..Default::default() });
    let large = bytes(4 * PIECE_BYTES + 77);
    check(&store, &[b"set", b"a", &large], b"OK");
    let append: &[&[u8]] = &[b"append", b"a", &large];
    let writes = [append, append, &[b"set", b"b", &large], &[b"append", b"b", &large]];
    let (_, touched) = transact(&store, &writes, || ());
    assert!(touched <= 3 * TOUCHED, "{touched}");
    check(&store, &[b"get", b"a"], &large.repeat(3));
    check(&store, &[b"get", b"b"], &large.repeat(2));
    // One has another length by then.
    let (replies, _) = transact(&store, &[append, append], || check(&store, &[b"set", b"a", b"x"], b"OK"));
    assert_eq!(replies[1], (2 * large.len() + 1).to_string().into_bytes());
    check(&store, &[b"get", b"a"], &[b"x", &large[..], &large].concat());
}

#[test]
fn a_transaction_that_is_too_large_is_not_copied() {
    let store = Store::for_threads(8);
    let (small, large) = (bulks(&[&bytes(LARGE)]), bulks(&[&bytes(TransactionLimits::default().bytes)]));
    let requests = [request(&[b"set", b"a"], &small), request(&[b"set", b"b"], &large)];
    let mut preparation = store.prepare_transaction(&requests, 0);
    assert_eq!(preparation.step(), Ok(false));
    let executed = store.transact(&[], &requests, preparation, 0, |_| panic!("nothing is executed"));
    assert!(matches!(executed, Err(CommandError::TransactionTooLarge { .. })));
}
