//! Executes commands on buckets wherever these live, and pages replies that are too large to be written at once.

use super::{paging, split::SubRequests};
use crate::{
    limits::BATCH_REQUESTS,
    output::Output,
    protocol::resp::{
        parser::RawCommand,
        reply::{
            error::SessionError,
            merge::{Merged, ReplyMerger},
        },
        state::RespState,
    },
    router::{self, Outcome},
};
use arrayvec::ArrayVec;
use kv::{Command, Request};
use std::{io, ops::ControlFlow};

/// The requests of one batch. Large: it is filled where it stands.
pub(in super::super) type Requests<'a> = ArrayVec<Request<'a>, BATCH_REQUESTS>;

/// Executes one command of any number of requests.
pub(super) async fn execute(
    state: &RespState,
    command: &'static Command,
    raw: &RawCommand<'_>,
    output: &mut Output<'_>,
) -> Result<(), SessionError> {
    let mut requests = SubRequests::new(command, raw, &state.server.cluster)?;
    let mut merger = ReplyMerger::new(state.version);
    merger.push_expected(requests.keys(), requests.remaining());
    while requests.remaining() > 0 {
        let batch: Requests<'_> = requests.by_ref().take(BATCH_REQUESTS).collect();
        execute_batch(state, &batch, &mut merger, output).await?;
    }
    Ok(())
}

/// Executes the requests whose replies `merger` expects.
pub(in super::super) async fn execute_batch(
    state: &RespState,
    mut requests: &[Request<'_>],
    merger: &mut ReplyMerger,
    output: &mut Output<'_>,
) -> io::Result<()> {
    while !requests.is_empty() {
        let mut paged = None;
        let render = |bytes: &mut Vec<u8>, request: &Request<'_>, outcome: Outcome<'_>| match merger
            .on_reply(bytes, request, outcome)
        {
            Merged::Pending | Merged::Done => ControlFlow::Continue(()),
            Merged::NeedsPaging(projection) => {
                paged = Some(projection);
                ControlFlow::Break(())
            }
        };
        let done = router::answer_anywhere(&state.server.cluster, requests, output, render).await?;
        if let Some(projection) = paged {
            paging::write_entries(state, requests[done - 1].bucket, projection, output).await?;
        }
        requests = &requests[done..];
    }
    Ok(())
}
