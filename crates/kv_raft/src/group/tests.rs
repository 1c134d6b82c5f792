//! What becomes of a group between its bytes and its steps.

use super::{
    encode::{
        begin, begin_transaction, copy_requests, encode_batch, encode_end_watches, encode_flush,
        encode_split, encode_transaction, set_terms, without_reads,
    },
    *,
};
use kv::COMMANDS;
use proptest::{collection::vec, prelude::*};
use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

const PROJECTIONS: [Projection; 3] = [Projection::Keys, Projection::Values, Projection::Both];

type Words = (u8, u8, usize, Vec<u8>, Vec<u8>, u64);

fn request((op, database, command, name, bytes, number): &Words) -> Request<'_> {
    let writes: Vec<_> = COMMANDS.iter().filter(|command| !command.is_read()).collect();
    let watcher = Watcher { link: *number, connection: 7 };
    let op = match op {
        0 => Op::Create,
        1 => Op::Put { key: bytes, value: name },
        2 => Op::Delete { key: bytes },
        3 => Op::Drop,
        4 => Op::Watch { watcher },
        5 => Op::Unwatch { watcher },
        6 => Op::Load {
            mode: [LoadMode::New, LoadMode::Replace, LoadMode::Append][command % 3],
            kind: Kind::ALL[command % Kind::ALL.len()],
            keep_when_empty: *number > 9,
            expires_at_ms: NonZeroU64::new(*number),
            contents: Args::new(bytes),
        },
        7 => Op::Get { key: bytes },
        8 => Op::Show,
        9 => Op::Entries { projection: PROJECTIONS[command % 3], cursor: *number },
        10 => Op::RandomEntries { projection: PROJECTIONS[command % 3], cursor: *number, count: 7 },
        11 => Op::MemoryUsage { cursor: *number },
        12 => Op::Keys { cursor: *number },
        13 => Op::Crash,
        14 => Op::Command { command: Command::find("hget").expect("HGET"), args: Args::new(bytes) },
        _ => Op::Command { command: writes[command % writes.len()], args: Args::new(bytes) },
    };
    let database = Database::new(usize::from(*database)).expect("a database");
    Request { database, bucket: name, op }
}

fn words() -> impl Strategy<Value = Words> {
    (0..18_u8, 0..16_u8, any::<usize>(), vec(any::<u8>(), 0..9), vec(any::<u8>(), 0..40), any::<u64>())
}

fn terms() -> EntryTerms {
    EntryTerms { stamp_ms: 1_700_000_000_000, limits: TransactionLimits::default() }
}

/// A group with these steps, and the length of the group after each of them.
fn encoded(steps: &[Step<'_>]) -> (Vec<u8>, Vec<usize>) {
    let mut group = Vec::new();
    begin(&mut group);
    set_terms(&mut group, terms());
    let mut ends = vec![group.len()];
    for step in steps {
        match step {
            Step::Batch(requests) => {
                assert_eq!(encode_batch(requests, usize::MAX, &mut group), requests.len());
            }
            Step::Transaction { watched, requests } => encode_transaction(watched, requests, &mut group),
            Step::Flush(database) => encode_flush(*database, &mut group),
            Step::EndWatches(link) => encode_end_watches(*link, &mut group),
            Step::Split(split) => encode_split(split, &mut group),
        }
        ends.push(group.len());
    }
    (group, ends)
}

fn steps(group: &[u8]) -> Result<Vec<Step<'_>>, Malformed> {
    decode(group).and_then(|(_, steps)| steps.collect())
}

proptest! {
    #[test]
    fn a_group_reads_back_and_no_piece_of_it_is_one(
        words in vec(words(), 1..9), version in any::<u64>(), cut in any::<prop::sample::Index>(),
    ) {
        let requests: Vec<_> = words.iter().map(request).collect();
        let context = &mut Context::from_waker(Waker::noop());
        let watched = requests.iter().map(|request| {
            (FullName { database: request.database, name: request.bucket }, version)
        });
        let written = [
            Step::Batch(requests.clone()),
            Step::Transaction { watched: watched.collect(), requests: requests.clone() },
            Step::Flush(Some(requests[0].database)),
            Step::Flush(None),
            Step::EndWatches(Some(version >> 1)),
            Step::EndWatches(None),
            Step::Split(Split { at: requests[0].bucket, range: version, replicas: vec![(1, 2), (3, 4)] }),
        ];
        let (group, ends) = encoded(&written);
        prop_assert_eq!(decode(&group).expect("a group").0, terms());
        let mut copied = Vec::new();
        begin_transaction(&[], &mut copied);
        prop_assert_eq!(pin!(copy_requests(&requests, &mut copied)).poll(context), Poll::Ready(()));
        let mut encoded = Vec::new();
        encode_transaction(&[], &requests, &mut encoded);
        prop_assert_eq!(copied, encoded);
        prop_assert_eq!(&steps(&group).expect("steps")[..], &written);
        let cut = cut.index(group.len());
        prop_assert_eq!(steps(&group[..cut]).is_ok(), ends.contains(&cut), "cut at {}", cut);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200)) {
        let (mut group, _) = encoded(&[]);
        group.extend(bytes);
        drop(steps(&group));
    }
}

#[test]
fn what_only_reads_waits_in_a_group_and_is_left_out_of_the_log() {
    let get = Op::Command { command: Command::find("get").expect("GET"), args: Args::NONE };
    let watcher = Watcher { link: 0, connection: 1 };
    let requests = [Op::Get { key: b"milk" }, get, Op::Show, Op::Crash, Op::Create, Op::Watch { watcher }]
        .map(|op| Request::new(b"a", op));
    let transaction =
        |requests: &[Request<'static>]| Step::Transaction { watched: vec![], requests: requests.to_vec() };
    let (group, _) = encoded(&[Step::Batch(requests.to_vec()), Step::Flush(None), transaction(&requests)]);
    let logged = without_reads(&group).expect("a group");
    let expected =
        encoded(&[Step::Batch(requests[4..].to_vec()), Step::Flush(None), transaction(&requests[4..])]);
    assert_eq!(logged.0, expected.0);
}

#[test]
fn a_batch_ends_at_its_limit_but_takes_one_request() {
    let value = [b'x'; 100];
    let requests = [Request::new(b"a", Op::Put { key: b"milk", value: &value }); 9];
    let mut group = Vec::new();
    begin(&mut group);
    for (end, taken) in [(0, 1), (group.len() + 300, 3), (usize::MAX, 9)] {
        let mut group = group.clone();
        assert_eq!(encode_batch(&requests, end, &mut group), taken);
        assert_eq!(steps(&group), Ok(vec![Step::Batch(requests[..taken].to_vec())]));
    }
}

#[test]
fn another_version_and_an_unknown_command_are_named() {
    assert_eq!(decode(&[9]).map(drop), Err(Malformed::Version(9)));
    assert_eq!(command(b"lpush"), Err(Malformed::Command("lpush".into())));
}
