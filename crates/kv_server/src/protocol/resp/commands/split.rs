//! Splits a command into requests, each for the node that owns its bucket.

use crate::{
    limits::STEP_ARGUMENTS,
    protocol::resp::{parser::RawCommand, reply::error::SessionError},
};
use kv::{
    Args, Command, CommandError, Database, Group, KeySpec, Op, Request,
    flag::{FAST, READ},
};
use kv_cluster::{Cluster, Error};

/// The requests of a command on buckets.
#[derive(Debug, Clone)]
pub(crate) struct SubRequests<'a> {
    database: Database,
    command: &'static Command,
    /// The arguments of the remaining requests.
    bulks: &'a [u8],
    remaining: usize,
}

impl<'a> SubRequests<'a> {
    /// The requests of a command in a database. The command's arity has been checked.
    #[inline]
    pub(crate) fn new(
        command: &'static Command,
        raw: &RawCommand<'a>,
        database: Database,
    ) -> Result<SubRequests<'a>, SessionError> {
        SubRequests::check_arity(command, raw)?;
        let (keys, args) = (command.spec.keys, raw.count - 1);
        let remaining = match keys {
            KeySpec::EachSummed | KeySpec::EachListed => args,
            KeySpec::PairsEach => args / 2,
            _ if args > STEP_ARGUMENTS => {
                return Err(SessionError::reply(format!(
                    "ERR command too large: it may have {STEP_ARGUMENTS} arguments, because it is one step"
                )));
            }
            KeySpec::None | KeySpec::One | KeySpec::TwoTogether | KeySpec::PairsTogether => 1,
        };
        Ok(SubRequests { database, command, bulks: raw.bulks, remaining })
    }

    /// Checks that each key has a value, if the command takes pairs.
    #[inline]
    pub(crate) fn check_arity(command: &Command, raw: &RawCommand<'_>) -> Result<(), CommandError> {
        let takes_pairs = matches!(command.spec.keys, KeySpec::PairsEach | KeySpec::PairsTogether);
        if takes_pairs && !(raw.count - 1).is_multiple_of(2) {
            return Err(CommandError::Arity(command.spec.name.to_owned()));
        }
        Ok(())
    }

    /// The number of requests that the iterator still yields.
    pub(crate) fn remaining(&self) -> usize {
        self.remaining
    }

    /// The bytes of the requests that the iterator still yields.
    pub(crate) fn bytes(&self) -> usize {
        self.bulks.len()
    }

    /// Whether the command changes nothing.
    pub(crate) fn is_read(&self) -> bool {
        self.command.is_read()
    }

    /// Whether the reply may be so large that it is written page by page.
    pub(crate) fn may_page(&self) -> bool {
        let spec = &self.command.spec;
        spec.flags & (READ | FAST) == READ && spec.group == Group::Hash
    }

    /// Which arguments of the command are keys.
    pub(crate) fn keys(&self) -> KeySpec {
        self.command.spec.keys
    }

    /// Checks what concerns all requests together, before any of them is executed: that this node has memory
    /// for all values of a command on pairs, which otherwise writes none, and that keys which must live on
    /// one node do.
    pub(crate) fn check_together(&self, cluster: &Cluster) -> Result<(), SessionError> {
        match self.keys() {
            KeySpec::PairsEach if cluster.local().is_out_of_memory(self.bulks.len()) => {
                Err(CommandError::OutOfMemory.into())
            }
            _ => self.check_same_node(cluster),
        }
    }

    /// Checks that one node owns all keys of the command, if it needs that.
    pub(crate) fn check_same_node(&self, cluster: &Cluster) -> Result<(), SessionError> {
        if !matches!(self.keys(), KeySpec::TwoTogether | KeySpec::PairsTogether) {
            return Ok(());
        }
        let requests: Vec<Request<'_>> = self.clone().collect();
        match cluster.single_owner(requests.iter().flat_map(Request::names)) {
            Ok(_) => Ok(()),
            Err(error @ (Error::SeveralNodes { .. } | Error::SeveralRanges { .. })) => {
                let name = self.command.spec.name;
                Err(SessionError::reply(format!("CROSSSLOT keys of '{name}' must live on one node: {error}")))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl<'a> Iterator for SubRequests<'a> {
    type Item = Request<'a>;

    #[inline]
    fn next(&mut self) -> Option<Request<'a>> {
        self.remaining = self.remaining.checked_sub(1)?;
        let (bucket, rest) = split_first(self.bulks)?;
        let args;
        (args, self.bulks) = match self.keys() {
            KeySpec::EachSummed | KeySpec::EachListed => (&rest[..0], rest),
            KeySpec::PairsEach => first_and_rest(rest),
            KeySpec::None | KeySpec::One | KeySpec::TwoTogether | KeySpec::PairsTogether => (rest, rest),
        };
        let op = Op::Command { command: self.command, args: Args::new(args) };
        Some(Request { database: self.database, bucket, op })
    }
}

/// The bytes of the first of some bulk strings with its length, and those after it.
#[inline(never)]
fn first_and_rest(bulks: &[u8]) -> (&[u8], &[u8]) {
    let rest = split_first(bulks).map_or(&bulks[..0], |(_, rest)| rest);
    bulks.split_at(bulks.len() - rest.len())
}

/// The first of some bulk strings, and those after it.
#[inline]
fn split_first(bulks: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut args = Args::new(bulks);
    Some((args.next()?, args.bulks()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_strings_are_split_where_they_end() {
        for len in [0, 1, 9, 10, 11, 99, 100, 1_000] {
            let mut bulks = Vec::new();
            kv::args::push(&mut bulks, &vec![b'x'; len]);
            kv::args::push(&mut bulks, b"rest");
            let (first, rest) = split_first(&bulks).unwrap();
            assert_eq!((first.len(), rest), (len, b"$4\r\nrest\r\n".as_slice()));
        }
        assert_eq!(split_first(b""), None);
    }
}
