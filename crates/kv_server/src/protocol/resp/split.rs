//! Splits a command into requests, each for the node that owns its bucket.

use super::parse::Words;
use kv::{
    Args, Command, CommandError, Group, KeySpec, Op, Request,
    flag::{FAST, READ},
};
use kv_cluster::Cluster;

/// The requests that a command comes to.
#[derive(Debug, Clone)]
pub(super) struct Parts<'a> {
    command: &'static Command,
    /// The words that are not taken yet.
    bulks: &'a [u8],
    left: usize,
}

impl<'a> Parts<'a> {
    /// The requests of a command whose arity is right; or why there are none.
    #[inline]
    pub(super) fn new(
        command: &'static Command,
        words: &Words<'a>,
        cluster: &Cluster,
    ) -> Result<Parts<'a>, CommandError> {
        let (keys, args) = (command.spec.keys, words.count - 1);
        if matches!(keys, KeySpec::PairsEach | KeySpec::PairsTogether) && !args.is_multiple_of(2) {
            return Err(CommandError::Arity(command.spec.name.to_owned()));
        }
        let left = match keys {
            KeySpec::EachSummed | KeySpec::EachListed => args,
            KeySpec::PairsEach => args / 2,
            KeySpec::None | KeySpec::One | KeySpec::TwoTogether | KeySpec::PairsTogether => 1,
        };
        let parts = Parts { command, bulks: words.bulks, left };
        if matches!(keys, KeySpec::TwoTogether | KeySpec::PairsTogether) {
            live_together(cluster, &parts)?;
        }
        Ok(parts)
    }

    /// How many requests are still to come.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Whether the command changes nothing.
    pub(super) fn is_read(&self) -> bool {
        self.command.is_read()
    }

    /// Whether the answer may be too long to be given at once.
    pub(super) fn may_be_long(&self) -> bool {
        let spec = &self.command.spec;
        spec.flags & (READ | FAST) == READ && spec.group == Group::Hash
    }

    /// Where the command has its keys.
    pub(super) fn keys(&self) -> KeySpec {
        self.command.spec.keys
    }
}

/// Checks that all buckets that a command names live on one node.
fn live_together(cluster: &Cluster, parts: &Parts<'_>) -> Result<(), CommandError> {
    let name = parts.command.spec.name;
    for request in parts.clone() {
        cluster.single_owner(request.names()).map_err(|error| {
            CommandError::Other(format!("CROSSSLOT keys of '{name}' must live on one node: {error}"))
        })?;
    }
    Ok(())
}

impl<'a> Iterator for Parts<'a> {
    type Item = Request<'a>;

    #[inline]
    fn next(&mut self) -> Option<Request<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (bucket, rest) = cut(self.bulks)?;
        let args = match self.keys() {
            KeySpec::EachSummed | KeySpec::EachListed => &[],
            KeySpec::PairsEach => &rest[..rest.len() - cut(rest)?.1.len()],
            KeySpec::None | KeySpec::One | KeySpec::TwoTogether | KeySpec::PairsTogether => rest,
        };
        self.bulks = match self.keys() {
            KeySpec::PairsEach => &rest[args.len()..],
            _ => rest,
        };
        Some(Request { bucket, op: Op::Command { command: self.command, args: Args::new(args) } })
    }
}

/// The first of some bulk strings, and those that follow it.
#[inline]
pub(super) fn cut(bulks: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut args = Args::new(bulks);
    Some((args.next()?, args.bulks()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulks_are_cut_where_they_end() {
        for len in [0, 1, 9, 10, 11, 99, 100, 1_000] {
            let mut bulks = Vec::new();
            kv::args::push(&mut bulks, &vec![b'x'; len]);
            kv::args::push(&mut bulks, b"rest");
            let (first, rest) = cut(&bulks).unwrap();
            assert_eq!((first.len(), rest), (len, b"$4\r\nrest\r\n".as_slice()));
        }
        assert_eq!(cut(b""), None);
    }
}
