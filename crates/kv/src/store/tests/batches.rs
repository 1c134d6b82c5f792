//! A batch has the same effect as its requests one by one.

use super::*;
use crate::{
    args::{self, Args},
    bucket::Bucket,
    commands::spec::Command,
    memory::expiring::Expiring,
};

/// The name of a command, a bucket, and the arguments.
type Step = (&'static str, [u8; 3], Vec<u8>);

fn request((command, bucket, bulks): &Step) -> Request<'_> {
    let op = match *command {
        "create" => Op::Create,
        "crash" => Op::Crash,
        name => {
            let command = Command::find(&name.to_lowercase()).expect("a command");
            Op::Command { command, args: Args::new(bulks) }
        }
    };
    Request::new(bucket, op)
}

/// A request for one of a few buckets and fields.
fn step() -> impl Strategy<Value = Step> {
    let names = [
        "hset", "hset", "hset", "hset", "hget", "hget", "hdel", "hdel", "hpexpire", "hpersist", "hgetall",
        "hlen", "set", "set", "setrange", "psetex", "get", "get", "del", "pexpire", "persist", "rename",
        "copy", "create", "crash",
    ];
    let length = prop_oneof![6 => 0..20_usize, 2 => 0..600_usize, 1 => 32_700..32_800_usize];
    (proptest::sample::select(names.to_vec()), 0..4_u8, 0..24_u8, length, any::<u8>()).prop_map(
        |(name, bucket, field, length, number)| {
            let (field, value, time) = (format!("field{field}"), vec![number; length], number.to_string());
            let (field, other, time) = (field.as_bytes(), [number % 4; 3], time.as_bytes());
            let words: &[&[u8]] = match name {
                "hset" if number % 4 == 0 => &[field, &value, b"other", b"", field, &value],
                "hset" => &[field, &value],
                "hget" | "hdel" => &[field],
                "hpexpire" => &[time, b"FIELDS", b"1", field],
                "hpersist" => &[b"FIELDS", b"1", field],
                "set" => &[&value],
                "setrange" => &[time, &value],
                "psetex" => &[b"77", &value],
                "pexpire" => &[time],
                "rename" | "copy" => &[&other],
                _ => &[],
            };
            let mut bulks = Vec::new();
            words.iter().for_each(|word| args::push(&mut bulks, word));
            (name, [bucket; 3], bulks)
        },
    )
}

/// The replies to a batch whose execution stops after every `most` replies, and is continued.
fn replies(store: &Store, batch: &[Request<'_>], now_ms: u64, most: usize) -> Vec<String> {
    let mut replies = Vec::new();
    while replies.len() < batch.len() {
        let before = replies.len();
        let done = store.execute(&batch[before..], now_ms, |reply| {
            replies.push(format!("{reply:?}"));
            if replies.len() == before + most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(done, replies.len() - before);
    }
    replies
}

/// The number of buckets, the number of crashes, and the bytes in use after all garbage is freed.
fn held(store: &Store) -> (u64, u64, u64) {
    while store.sweep_shard(0, 0) {}
    let figures = store.stats();
    (figures.buckets(), figures.crashed, figures.bytes)
}

/// What will expire, counted bucket by bucket.
fn recounted(store: &Store) -> Expiring {
    let mut expiring = Expiring::default();
    for shard in &store.shards {
        let Shard { registry, memory, .. } = &*shard.lock();
        let names = registry.name_table();
        for bucket in (0..names.home_lines()).flat_map(|line| names.line_chain(line)).map(Bucket) {
            expiring.replace(None, bucket.expires_at_ms(memory));
            let inline = bucket.map(memory).ok().filter(|map| map.table().is_none());
            expiring.replace_inline(false, inline.is_some_and(|map| !map.expired(u64::MAX, 1).is_empty()));
        }
    }
    expiring
}

proptest! {
    #[test]
    fn a_batch_does_what_its_requests_do_one_by_one(
        batches in proptest::collection::vec((proptest::collection::vec(step(), 1..120), 1..90_usize), 1..6),
    ) {
        let (together, alone) = (Store::with_fixed_seed(1), Store::with_fixed_seed(1));
        for (now_ms, (batch, most)) in (0..).step_by(100).zip(&batches) {
            let requests: Vec<_> = batch.iter().map(request).collect();
            let one_by_one: Vec<_> =
                requests.iter().flat_map(|request| replies(&alone, &[*request], now_ms, 1)).collect();
            prop_assert_eq!(replies(&together, &requests, now_ms, *most), one_by_one);
        }
        prop_assert_eq!(held(&together), held(&alone));
        prop_assert_eq!(recounted(&alone), alone.lock(0).memory.expiring);
    }
}
