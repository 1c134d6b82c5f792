//! Answers requests wherever their buckets live, and lists page by page what is too long for one answer.

use super::{
    listing,
    merge::Merger,
    parse::Words,
    session::{Session, Trouble},
    split::Parts,
};
use crate::{limits::BATCH_REQUESTS, output::Output, router};
use arrayvec::ArrayVec;
use kv::{Command, Request};
use std::io;

/// Requests of one batch. Large: it is filled where it stands.
pub(super) type Requests<'a> = ArrayVec<Request<'a>, BATCH_REQUESTS>;

/// Answers one command on buckets, of any number of them.
pub(super) async fn answer_command(
    session: &Session,
    command: &'static Command,
    words: &Words<'_>,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    let mut parts = Parts::new(command, words, &session.server.cluster)?;
    let mut merger = Merger::new(session.version);
    merger.expect(&parts);
    while parts.left() > 0 {
        let requests: Requests<'_> = parts.by_ref().take(BATCH_REQUESTS).collect();
        answer(session, &requests, &mut merger, output).await?;
    }
    Ok(())
}

/// Answers the requests whose replies `merger` expects.
pub(super) async fn answer(
    session: &Session,
    mut requests: &[Request<'_>],
    merger: &mut Merger,
    output: &mut Output<'_>,
) -> io::Result<()> {
    while !requests.is_empty() {
        let take = |bytes: &mut Vec<u8>, request: &Request<'_>, outcome: router::Outcome<'_>| {
            merger.take(bytes, request, outcome)
        };
        let done = router::answer_anywhere(&session.server.cluster, requests, output, take).await?;
        if let Some(part) = merger.long.take() {
            listing::list(session, requests[done - 1].bucket, part, output).await?;
        }
        requests = &requests[done..];
    }
    Ok(())
}
