//! Puts the replies to the requests that a command was split into together again.

use super::{
    render,
    split::Parts,
    write::{Version, Writer},
};
use crate::{limits::BATCH_REQUESTS, router::Outcome};
use arrayvec::ArrayVec;
use kv::{CommandError, KeySpec, Projection, Reply, Request};
use std::ops::ControlFlow;

/// Renders the replies to one command after the other.
#[derive(Debug)]
pub(super) struct Merger {
    version: Version,
    shares: ArrayVec<Share, BATCH_REQUESTS>,
    /// The command whose requests are being answered.
    at: usize,
    /// How many of its requests have been answered.
    answered: u32,
    sum: i64,
    /// The first error among the replies to the command, as rendered.
    failed: Option<Vec<u8>>,
    /// The last reply was that there is too much to be listed at once.
    pub(super) long: Option<Projection>,
}

/// The requests that one command was split into.
#[derive(Debug, Clone, Copy)]
struct Share {
    keys: KeySpec,
    requests: u32,
}

impl Merger {
    /// No commands yet.
    pub(super) fn new(version: Version) -> Merger {
        Merger { version, shares: ArrayVec::new(), at: 0, answered: 0, sum: 0, failed: None, long: None }
    }

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

    /// Takes the next reply, and renders as much as can be known by now. It breaks off when the reply is `long`, for
    /// the session to list it page by page before it goes on.
    #[inline]
    pub(super) fn take(
        &mut self,
        bytes: &mut Vec<u8>,
        request: &Request<'_>,
        outcome: Outcome<'_>,
    ) -> ControlFlow<()> {
        let share = self.shares[self.at];
        match (share.keys, outcome) {
            (KeySpec::EachSummed | KeySpec::EachListed | KeySpec::PairsEach, outcome) => {
                self.merge(share, bytes, request, outcome)
            }
            (_, Ok(Reply::TooLarge(part))) => {
                self.long = Some(*part);
                self.at += 1;
                return ControlFlow::Break(());
            }
            (_, outcome) => {
                render::outcome(&mut Writer::new(bytes, self.version), request.bucket, outcome);
                self.at += 1;
            }
        }
        ControlFlow::Continue(())
    }

    /// Takes the next reply to one of the requests that a command was split into.
    #[inline(never)]
    fn merge(
        &mut self,
        Share { keys, requests }: Share,
        bytes: &mut Vec<u8>,
        request: &Request<'_>,
        outcome: Outcome<'_>,
    ) {
        let mut writer = Writer::new(bytes, self.version);
        self.answered += 1;
        match keys {
            KeySpec::EachSummed => match outcome {
                Ok(Reply::Number(number)) => self.sum += number,
                other => self.fail(request, other),
            },
            KeySpec::PairsEach => match outcome {
                Ok(Reply::Done) => {}
                other => self.fail(request, other),
            },
            // A list; the others are answered at once.
            _ => {
                if self.answered == 1 {
                    writer.list(requests as usize);
                }
                match outcome {
                    Ok(Reply::Error(CommandError::WrongType)) => writer.nil(),
                    outcome => render::outcome(&mut writer, request.bucket, outcome),
                }
            }
        }
        if self.answered == requests {
            match (self.failed.take(), keys) {
                (Some(failed), _) => bytes.extend_from_slice(&failed),
                (None, KeySpec::EachSummed) => writer.number(self.sum),
                (None, KeySpec::PairsEach) => writer.ok(),
                _ => {}
            }
            (self.at, self.answered, self.sum) = (self.at + 1, 0, 0);
        }
    }

    fn fail(&mut self, request: &Request<'_>, outcome: Outcome<'_>) {
        if self.failed.is_none() {
            let failed = self.failed.insert(Vec::new());
            render::outcome(&mut Writer::new(failed, self.version), request.bucket, outcome);
        }
    }
}
