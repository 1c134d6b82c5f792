//! What becomes of a group between its bytes and its steps.

use super::*;
use kv::COMMANDS;
use proptest::{collection::vec, prelude::*};

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
        _ => Op::Command { command: writes[command % writes.len()], args: Args::new(bytes) },
    };
    let database = Database::new(usize::from(*database)).expect("a database");
    Request { database, bucket: name, op }
}

fn words() -> impl Strategy<Value = Words> {
    (0..10_u8, 0..16_u8, any::<usize>(), vec(any::<u8>(), 0..9), vec(any::<u8>(), 0..40), any::<u64>())
}

fn terms() -> EntryTerms {
    EntryTerms { stamp_ms: 1_700_000_000_000, limits: TransactionLimits::default() }
}

proptest! {
    #[test]
    fn a_group_reads_back_and_no_piece_of_it_is_one(
        words in vec(words(), 1..9), version in any::<u64>(), cut in any::<prop::sample::Index>(),
    ) {
        let requests: Vec<_> = words.iter().map(request).collect();
        let watched = requests.iter().map(|request| {
            (FullName { database: request.database, name: request.bucket }, version)
        });
        let steps = [
            Step::Batch(requests.clone()),
            Step::Transaction { watched: watched.collect(), requests: requests.clone() },
            Step::Flush(Some(requests[0].database)),
            Step::Flush(None),
        ];
        let mut group = Vec::new();
        encode_terms(terms(), &mut group);
        let mut ends = vec![group.len()];
        for step in &steps {
            encode_step(step, &mut group);
            ends.push(group.len());
        }
        let (decoded, read) = decode(&group).expect("a group");
        prop_assert_eq!(decoded, terms());
        prop_assert_eq!(read.collect::<Result<Vec<_>, _>>().expect("steps"), steps);
        let cut = cut.index(group.len());
        let read = decode(&group[..cut]).and_then(|(_, steps)| steps.collect::<Result<Vec<_>, _>>());
        prop_assert_eq!(read.is_ok(), ends.contains(&cut), "cut at {}", cut);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200)) {
        let mut group = Vec::new();
        encode_terms(terms(), &mut group);
        group.extend(bytes);
        let (_, steps) = decode(&group).expect("terms");
        steps.for_each(drop);
    }
}

#[test]
fn what_only_reads_is_left_out() {
    let get = Op::Command { command: Command::find("get").expect("GET"), args: Args::NONE };
    let requests =
        [Op::Get { key: b"milk" }, get, Op::Show, Op::Crash, Op::Create].map(|op| Request::new(b"a", op));
    let mut group = Vec::new();
    encode_terms(terms(), &mut group);
    encode_step(&Step::Batch(requests.to_vec()), &mut group);
    let (_, mut steps) = decode(&group).expect("a group");
    assert_eq!(steps.next(), Some(Ok(Step::Batch(vec![requests[4]]))));
}

#[test]
fn another_version_and_an_unknown_command_are_named() {
    assert_eq!(decode(&[9]).map(drop), Err(Malformed::Version(9)));
    assert_eq!(command(b"lpush"), Err(Malformed::Command("lpush".into())));
}
