//! Merges the replies to the requests of a command into the reply to the command.

use super::{super::encoder::RespEncoder, failures::Failures, write_result};
use crate::{
    limits::BATCH_REQUESTS,
    pipeline::{Rendered, RequestResult},
};
use kv::{Args, KeySpec, Op, Projection, Reply, Request};

/// Writes the replies to the commands of a batch, in order.
#[derive(Debug, Default)]
pub(crate) struct ReplyMerger {
    commands: Vec<Expected>,
    /// The command whose replies are arriving.
    current: usize,
    /// How many of its replies have arrived.
    arrived: u32,
    sum: i64,
    /// Those of its requests that failed.
    failures: Option<Box<Failures>>,
}

/// What is expected for one command.
#[derive(Debug, Clone, Copy)]
struct Expected {
    keys: KeySpec,
    requests: u32,
}

/// A reply that is too large for one step, to be read page by page.
pub(crate) enum LargeReply<'a> {
    /// The entries of a bucket.
    Entries { bucket: &'a [u8], projection: Projection },
    /// Random fields of a bucket, as the arguments of HRANDFIELD say.
    Sample { bucket: &'a [u8], args: Args<'a> },
}

impl ReplyMerger {
    /// Adds a command with its number of requests, which follow those of the commands before it.
    pub(crate) fn push_expected(&mut self, keys: KeySpec, requests: usize) {
        if self.is_done() {
            self.commands.clear();
            self.commands.shrink_to(BATCH_REQUESTS);
            self.current = 0;
        }
        self.commands.push(Expected { keys, requests: requests as u32 });
    }

    /// Whether all replies have arrived.
    pub(crate) fn is_done(&self) -> bool {
        self.current == self.commands.len()
    }

    /// Takes the next reply, and writes as much of the command's reply as is known so far.
    #[inline]
    pub(crate) fn on_reply<'a>(
        &mut self,
        encoder: &mut RespEncoder<'_>,
        request: &Request<'a>,
        result: RequestResult<'_>,
    ) -> Rendered<LargeReply<'a>> {
        let expected = self.commands[self.current];
        match (expected.keys, result) {
            (KeySpec::EachSummed | KeySpec::EachListed | KeySpec::PairsEach, result) => {
                self.merge(expected, encoder, request, result);
            }
            (_, Ok(Reply::TooLarge(projection))) => {
                self.current += 1;
                return Rendered::Paused(LargeReply::Entries {
                    bucket: request.bucket,
                    projection: *projection,
                });
            }
            (_, Ok(Reply::LargeSample)) if let Op::Command { args, .. } = request.op => {
                self.current += 1;
                return Rendered::Paused(LargeReply::Sample { bucket: request.bucket, args });
            }
            (_, result) => {
                self.current += 1;
                write_result(encoder, request.bucket, result);
            }
        }
        Rendered::Complete
    }

    /// Takes the next reply to a command of several requests.
    #[inline(never)]
    fn merge(
        &mut self,
        Expected { keys, requests }: Expected,
        encoder: &mut RespEncoder<'_>,
        request: &Request<'_>,
        result: RequestResult<'_>,
    ) {
        self.arrived += 1;
        match (keys, result) {
            (KeySpec::EachListed, result) => {
                if self.arrived == 1 {
                    encoder.array(requests as usize);
                }
                write_result(encoder, request.bucket, result);
            }
            (KeySpec::EachSummed, Ok(Reply::Number(number))) => self.sum += number,
            (KeySpec::PairsEach, Ok(Reply::Done)) => {}
            (_, failed) => self.failures.get_or_insert_default().push(encoder, request.bucket, failed),
        }
        if self.arrived < requests {
            return;
        }
        match (self.failures.take(), keys) {
            (Some(failures), _) => failures.write(encoder, requests as usize, request.op.is_read()),
            (None, KeySpec::EachSummed) => encoder.integer(self.sum),
            (None, KeySpec::PairsEach) => encoder.ok(),
            _ => {}
        }
        (self.current, self.arrived, self.sum) = (self.current + 1, 0, 0);
    }
}
