//! Merges the replies to the requests of a command into the reply to the command.

use super::{
    super::encoder::{RespEncoder, RespVersion},
    write_result,
};
use crate::{limits::BATCH_REQUESTS, router::Outcome};
use arrayvec::ArrayVec;
use kv::{CommandError, KeySpec, Projection, Reply, Request};

/// Writes the replies to a batch of commands, in their order.
#[derive(Debug)]
pub(in super::super) struct ReplyMerger {
    version: RespVersion,
    commands: ArrayVec<Expected, BATCH_REQUESTS>,
    /// The command whose replies are arriving.
    current: usize,
    /// How many of its replies have arrived.
    arrived: u32,
    sum: i64,
    /// The first error among its replies, as written.
    error: Option<Vec<u8>>,
}

/// The replies that a command waits for.
#[derive(Debug, Clone, Copy)]
struct Expected {
    keys: KeySpec,
    requests: u32,
}

/// What a reply means for its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Merged {
    /// Further replies belong to the command.
    Pending,
    /// The reply to the command is written.
    Done,
    /// The reply is too large to be written at once: the caller writes it page by page before the next one.
    NeedsPaging(Projection),
}

impl ReplyMerger {
    pub(in super::super) fn new(version: RespVersion) -> ReplyMerger {
        ReplyMerger { version, commands: ArrayVec::new(), current: 0, arrived: 0, sum: 0, error: None }
    }

    /// Adds a command with keys like these, whose requests follow those of the commands before it.
    pub(in super::super) fn push_expected(&mut self, keys: KeySpec, requests: usize) {
        if self.current == self.commands.len() {
            self.commands.clear();
            self.current = 0;
        }
        self.commands.push(Expected { keys, requests: requests as u32 });
    }

    /// Takes the next reply, and writes as much of the command's reply as is known by then.
    #[inline]
    pub(in super::super) fn on_reply(
        &mut self,
        bytes: &mut Vec<u8>,
        request: &Request<'_>,
        result: Outcome<'_>,
    ) -> Merged {
        let expected = self.commands[self.current];
        match (expected.keys, result) {
            (KeySpec::EachSummed | KeySpec::EachListed | KeySpec::PairsEach, result) => {
                self.merge(expected, bytes, request, result)
            }
            (_, Ok(Reply::TooLarge(projection))) => {
                self.current += 1;
                Merged::NeedsPaging(*projection)
            }
            (_, result) => {
                self.current += 1;
                write_result(&mut RespEncoder::new(bytes, self.version), request.bucket, result);
                Merged::Done
            }
        }
    }

    /// Takes an error in place of the next reply, which is or lists values.
    pub(in super::super) fn on_value_error(&mut self, bytes: &mut Vec<u8>, message: &str) -> Merged {
        let Expected { keys, requests } = self.commands[self.current];
        let mut encoder = RespEncoder::new(bytes, self.version);
        self.arrived += 1;
        if keys == KeySpec::EachListed && self.arrived == 1 {
            encoder.array(requests as usize);
        }
        encoder.error(message);
        if keys == KeySpec::EachListed && self.arrived < requests {
            return Merged::Pending;
        }
        (self.current, self.arrived) = (self.current + 1, 0);
        Merged::Done
    }

    /// Takes the next reply to one of several requests of a command.
    #[inline(never)]
    fn merge(
        &mut self,
        Expected { keys, requests }: Expected,
        bytes: &mut Vec<u8>,
        request: &Request<'_>,
        result: Outcome<'_>,
    ) -> Merged {
        let mut encoder = RespEncoder::new(bytes, self.version);
        self.arrived += 1;
        match (keys, result) {
            (KeySpec::EachListed, result) => {
                if self.arrived == 1 {
                    encoder.array(requests as usize);
                }
                match result {
                    Ok(Reply::Error(CommandError::WrongType)) => encoder.null(),
                    result => write_result(&mut encoder, request.bucket, result),
                }
            }
            (KeySpec::EachSummed, Ok(Reply::Number(number))) => self.sum += number,
            (KeySpec::PairsEach, Ok(Reply::Done)) => {}
            (_, failed) => {
                if self.error.is_none() {
                    let error = self.error.insert(Vec::new());
                    write_result(&mut RespEncoder::new(error, self.version), request.bucket, failed);
                }
            }
        }
        if self.arrived < requests {
            return Merged::Pending;
        }
        match (self.error.take(), keys) {
            (Some(error), _) => bytes.extend_from_slice(&error),
            (None, KeySpec::EachSummed) => encoder.integer(self.sum),
            (None, KeySpec::PairsEach) => encoder.ok(),
            _ => {}
        }
        (self.current, self.arrived, self.sum) = (self.current + 1, 0, 0);
        Merged::Done
    }
}
