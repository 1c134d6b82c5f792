//! Puts the replies to the requests that a command was split into together again.

use super::{render, split::Parts, write::Writer};
use crate::{
    limits::BATCH_REQUESTS,
    pipeline::{Rendered, RequestResult},
};
use arrayvec::ArrayVec;
use kv::{CommandError, KeySpec, Projection, Reply, Request};

/// Renders the replies to one command after the other.
#[derive(Debug, Default)]
pub(super) struct Merger {
    shares: ArrayVec<Share, BATCH_REQUESTS>,
    /// The command whose requests are being answered.
    at: usize,
    /// How many of its requests have been answered.
    answered: u32,
    sum: i64,
    /// The first error among the replies to the command, as rendered.
    failed: Option<Vec<u8>>,
}

/// A reply that is too large to be rendered at once: entries of a bucket, to be fetched page by page.
pub(crate) struct LargeReply<'a> {
    pub(super) bucket: &'a [u8],
    pub(super) projection: Projection,
}

/// The requests that one command was split into.
#[derive(Debug, Clone, Copy)]
struct Share {
    keys: KeySpec,
    requests: u32,
}

impl Merger {
    /// The replies to come are those to one more command.
    pub(super) fn expect(&mut self, parts: &Parts<'_>) {
        if self.is_done() {
            self.shares.clear();
            self.at = 0;
        }
        self.shares.push(Share { keys: parts.keys(), requests: parts.left() as u32 });
    }

    /// Whether all replies have come.
    pub(super) fn is_done(&self) -> bool {
        self.at == self.shares.len()
    }

    /// Takes the next reply, and renders as much as can be known by now.
    #[inline]
    pub(super) fn take<'a>(
        &mut self,
        writer: &mut Writer<'_>,
        request: &Request<'a>,
        outcome: RequestResult<'_>,
    ) -> Rendered<LargeReply<'a>> {
        let share = self.shares[self.at];
        match (share.keys, outcome) {
            (KeySpec::EachSummed | KeySpec::EachListed | KeySpec::PairsEach, outcome) => {
                self.merge(share, writer, request, outcome)
            }
            (_, Ok(Reply::TooLarge(part))) => {
                self.at += 1;
                return Rendered::Paused(LargeReply { bucket: request.bucket, projection: *part });
            }
            (_, outcome) => {
                render::outcome(writer, request.bucket, outcome);
                self.at += 1;
            }
        }
        Rendered::Complete
    }

    /// Takes the next reply to one of the requests that a command was split into.
    #[inline(never)]
    fn merge(
        &mut self,
        Share { keys, requests }: Share,
        writer: &mut Writer<'_>,
        request: &Request<'_>,
        outcome: RequestResult<'_>,
    ) {
        self.answered += 1;
        match keys {
            KeySpec::EachSummed => match outcome {
                Ok(Reply::Number(number)) => self.sum += number,
                other => self.fail(writer, request, other),
            },
            KeySpec::PairsEach => match outcome {
                Ok(Reply::Done) => {}
                other => self.fail(writer, request, other),
            },
            // A list; the others are answered at once.
            _ => {
                if self.answered == 1 {
                    writer.list(requests as usize);
                }
                match outcome {
                    Ok(Reply::Error(CommandError::WrongType)) => writer.nil(),
                    outcome => render::outcome(writer, request.bucket, outcome),
                }
            }
        }
        if self.answered == requests {
            match (self.failed.take(), keys) {
                (Some(failed), _) => writer.bytes.extend_from_slice(&failed),
                (None, KeySpec::EachSummed) => writer.number(self.sum),
                (None, KeySpec::PairsEach) => writer.ok(),
                _ => {}
            }
            (self.at, self.answered, self.sum) = (self.at + 1, 0, 0);
        }
    }

    fn fail(&mut self, writer: &Writer<'_>, request: &Request<'_>, outcome: RequestResult<'_>) {
        if self.failed.is_none() {
            let failed = self.failed.insert(Vec::new());
            render::outcome(&mut Writer::new(failed, writer.version), request.bucket, outcome);
        }
    }
}
