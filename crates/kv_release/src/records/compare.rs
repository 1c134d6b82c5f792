//! Whether a name that exists already has all that an import has of it. One that an import brought which
//! broke off does, and need not be imported again.

use crate::limits::EXPIRY_TOLERANCE_MS;
use kv::{Args, Command, Database, Kind, Op, OwnedValue, Reply, Request, args};
use kv_cluster::{Cluster, Error};
use std::iter::from_fn;

/// What an import has of a name, or a part of that.
#[derive(Debug)]
pub(super) struct Expected<'p> {
    pub(super) database: Database,
    pub(super) name: &'p [u8],
    pub(super) kind: Kind,
    pub(super) expires_at_ms: Option<u64>,
    /// As [`Op::Load`] has them.
    pub(super) contents: Args<'p>,
}

/// A read of a name, and what it is about.
struct Read {
    /// The place of the name among all.
    index: usize,
    about: About,
    command: &'static Command,
    bulks: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum About {
    Expiry,
    String,
    Length,
    Values,
    FieldExpiries,
}

impl Read {
    fn new(index: usize, about: About, command: &str, words: &[&[u8]]) -> Read {
        let mut bulks = Vec::new();
        words.iter().for_each(|word| args::push(&mut bulks, word));
        Read { index, about, command: Command::find(command).expect("a command of ours"), bulks }
    }
}

impl<'p> Expected<'p> {
    /// The fields of a map, each with its value and its expiry.
    fn fields(&self) -> impl Iterator<Item = (&'p [u8], &'p [u8], Option<u64>)> {
        let mut rest = self.contents;
        from_fn(move || {
            let (field, value, expiry) = (rest.next()?, rest.next()?, rest.next()?);
            Some((field, value, str::from_utf8(expiry).ok().and_then(|expiry| expiry.parse().ok())))
        })
    }

    fn reads(&self, index: usize) -> Vec<Read> {
        let mut reads = vec![Read::new(index, About::Expiry, "pexpiretime", &[])];
        let fields: Vec<_> = self.fields().map(|(field, ..)| field).collect();
        match self.kind {
            Kind::Str => reads.push(Read::new(index, About::String, "get", &[])),
            Kind::Map if fields.is_empty() => reads.push(Read::new(index, About::Length, "hlen", &[])),
            Kind::Map => {
                let count = fields.len().to_string();
                let named = [&[b"FIELDS", count.as_bytes()], &fields[..]].concat();
                reads.push(Read::new(index, About::Values, "hmget", &fields));
                reads.push(Read::new(index, About::FieldExpiries, "hpexpiretime", &named));
            }
        }
        reads
    }

    /// Whether this reply is that of a name which has it.
    fn fits(&self, about: About, reply: &Reply<'_>) -> bool {
        match (about, reply) {
            (About::Expiry, expiry) => is_expiry(expiry, self.expires_at_ms),
            (About::String, value) => {
                let mut contents = self.contents;
                contents.next().is_some_and(|expected| is_value(value, expected))
            }
            (About::Length, Reply::Number(_)) => true,
            (About::Values, Reply::List(values)) => {
                values.iter().zip(self.fields()).all(|(value, (_, expected, _))| is_value(value, expected))
            }
            (About::FieldExpiries, Reply::List(expiries)) => {
                expiries.iter().zip(self.fields()).all(|(expiry, (.., expected))| is_expiry(expiry, expected))
            }
            _ => false,
        }
    }
}

fn is_value(reply: &Reply<'_>, expected: &[u8]) -> bool {
    match reply {
        Reply::Value(value) => *value == expected,
        Reply::OwnedValue(OwnedValue::Bytes(value)) => value == expected,
        Reply::OwnedValue(OwnedValue::Large(value)) => {
            value.len() == expected.len() && value.slices().flatten().eq(expected)
        }
        _ => false,
    }
}

fn is_expiry(reply: &Reply<'_>, expected: Option<u64>) -> bool {
    match (reply, expected) {
        // What does not expire.
        (Reply::Number(-1), None) => true,
        (Reply::Number(expiry @ 0..), Some(expected)) => {
            expected.abs_diff(expiry.unsigned_abs()) <= EXPIRY_TOLERANCE_MS
        }
        _ => false,
    }
}

/// Whether each of these names has what is expected of it.
pub(super) async fn compare(cluster: &Cluster, expected: &[Expected<'_>]) -> Result<Vec<bool>, Error> {
    let reads = expected.iter().enumerate().flat_map(|(index, expected)| expected.reads(index));
    let reads: Vec<Read> = reads.collect();
    let request = |read| {
        let Read { index, command, bulks, .. }: &Read = read;
        let Expected { database, name, .. } = expected[*index];
        Request { database, bucket: name, op: Op::Command { command, args: Args::new(bulks) } }
    };
    let requests: Vec<_> = reads.iter().map(request).collect();
    let (mut have_all, mut failure) = (vec![true; expected.len()], None);
    let read = |place: usize, result: Result<Reply<'_>, Error>| match result {
        Ok(reply) => {
            let Read { index, about, .. } = reads[place];
            have_all[index] &= expected[index].fits(about, &reply);
        }
        Err(error) => failure = Some(error),
    };
    cluster.execute_all(&requests, read).await;
    failure.map_or(Ok(have_all), Err)
}
