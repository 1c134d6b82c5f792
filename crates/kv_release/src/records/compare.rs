//! Whether a name that exists already has all that an import has of it. One that an import brought which
//! broke off does, and need not be imported again; or it is a bucket in which that import broke off, and goes
//! on there.

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
    /// How many entries the bucket had in the parts before, all of which exist; `None` in its first part.
    pub(super) before: Option<u64>,
}

/// What there is of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// All that is expected.
    All,
    /// The parts before, and nothing else: an import broke off behind them.
    PartsBefore,
    Other,
}

/// Whether a reply is that of a name of which there is all, or only the parts before.
#[derive(Debug, Clone, Copy)]
struct Fits {
    all: bool,
    parts_before: bool,
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
    StringLength,
    String,
    Length,
    Count,
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

    /// The value of a string.
    fn value(&self) -> Option<&'p [u8]> {
        let mut contents = self.contents;
        contents.next()
    }

    /// What is read first. The value of a string is not: it may be large, and of another length.
    fn reads(&self, index: usize) -> Vec<Read> {
        let mut reads = vec![Read::new(index, About::Expiry, "pexpiretime", &[])];
        let fields: Vec<_> = self.fields().map(|(field, ..)| field).collect();
        match self.kind {
            Kind::Str => reads.push(Read::new(index, About::StringLength, "strlen", &[])),
            Kind::Map if fields.is_empty() => reads.push(Read::new(index, About::Length, "hlen", &[])),
            Kind::Map => {
                let count = fields.len().to_string();
                let named = [&[b"FIELDS", count.as_bytes()], &fields[..]].concat();
                reads.push(Read::new(index, About::Values, "hmget", &fields));
                reads.push(Read::new(index, About::FieldExpiries, "hpexpiretime", &named));
                reads.extend(self.before.map(|_| Read::new(index, About::Count, "hlen", &[])));
            }
        }
        reads
    }

    /// Whether this reply fits. One that is too large does not.
    fn fits(&self, about: About, result: Result<Reply<'_>, Error>) -> Result<Fits, Error> {
        let reply = match result {
            Ok(reply) => reply,
            Err(Error::ReplyTooLarge { .. } | Error::RangeReplyTooLarge { .. }) => {
                return Ok(Fits { all: false, parts_before: false });
            }
            Err(error) => return Err(error),
        };
        let all = self.is_reply(about, &reply);
        let parts_before = match (about, &reply) {
            (About::Count, Reply::Number(count)) => self.before == u64::try_from(*count).ok(),
            (About::Values, Reply::List(values)) => values.iter().all(|value| matches!(value, Reply::NoKey)),
            (About::FieldExpiries, _) => true,
            _ => all,
        };
        Ok(Fits { all, parts_before })
    }

    /// Whether this reply is that of a name which has it.
    fn is_reply(&self, about: About, reply: &Reply<'_>) -> bool {
        match (about, reply) {
            (About::Expiry, expiry) => is_expiry(expiry, self.expires_at_ms),
            (About::StringLength, Reply::Number(length)) => {
                self.value().is_some_and(|expected| usize::try_from(*length) == Ok(expected.len()))
            }
            (About::String, value) => self.value().is_some_and(|expected| is_value(value, expected)),
            (About::Length | About::Count, Reply::Number(_)) => true,
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

/// What there is of each of these names.
pub(super) async fn compare(cluster: &Cluster, expected: &[Expected<'_>]) -> Result<Vec<Found>, Error> {
    let begin = |expected: &Expected<'_>| Fits { all: true, parts_before: expected.before.is_some() };
    let mut fits: Vec<_> = expected.iter().map(begin).collect();
    let reads = expected.iter().enumerate().flat_map(|(index, expected)| expected.reads(index));
    read(cluster, expected, &reads.collect::<Vec<_>>(), &mut fits).await?;
    let is_string = |index: &usize| expected[*index].kind == Kind::Str && fits[*index].all;
    let strings = (0..expected.len()).filter(is_string);
    let values: Vec<_> = strings.map(|index| Read::new(index, About::String, "get", &[])).collect();
    read(cluster, expected, &values, &mut fits).await?;
    let found = |fits| match fits {
        Fits { all: true, .. } => Found::All,
        Fits { parts_before: true, .. } => Found::PartsBefore,
        Fits { .. } => Found::Other,
    };
    Ok(fits.into_iter().map(found).collect())
}

/// Executes reads, and notes which names do not have what is expected.
async fn read(
    cluster: &Cluster,
    expected: &[Expected<'_>],
    reads: &[Read],
    fits: &mut [Fits],
) -> Result<(), Error> {
    let request = |read| {
        let Read { index, command, bulks, .. }: &Read = read;
        let Expected { database, name, .. } = expected[*index];
        Request { database, bucket: name, op: Op::Command { command, args: Args::new(bulks) } }
    };
    let requests: Vec<_> = reads.iter().map(request).collect();
    let mut failure = None;
    let note = |place: usize, result: Result<Reply<'_>, Error>| {
        let Read { index, about, .. } = reads[place];
        match expected[index].fits(about, result) {
            Ok(Fits { all, parts_before }) => {
                fits[index].all &= all;
                fits[index].parts_before &= parts_before;
            }
            Err(error) => failure = Some(error),
        }
    };
    cluster.execute_all(&requests, note).await;
    failure.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_value_is_not_read_to_compare_it_with_a_short_one_and_is_another_one() {
        let mut contents = Vec::new();
        args::push(&mut contents, b"short");
        let (database, contents) = (Database::ZERO, Args::new(&contents));
        let (kind, expires_at_ms, before) = (Kind::Str, None, None);
        let expected = Expected { database, name: b"name", kind, expires_at_ms, contents, before };
        let reads = expected.reads(0);
        let names: Vec<_> = reads.iter().map(|read| read.command.spec.name).collect();
        assert_eq!(names, ["pexpiretime", "strlen"]);
        for (length, fits) in [(5, true), (500_000_000, false)] {
            let reply = Ok(Reply::Number(length));
            assert_eq!(expected.fits(About::StringLength, reply).expect("compared").all, fits);
        }
        let too_large = Err(Error::ReplyTooLarge { node: "bar@127.0.0.1".into(), limit: 1 });
        assert!(!expected.fits(About::String, too_large).expect("compared").all);
        let lost = Err(Error::LinkLost { node: "bar@127.0.0.1".into() });
        expected.fits(About::String, lost).expect_err("not known");
    }
}
