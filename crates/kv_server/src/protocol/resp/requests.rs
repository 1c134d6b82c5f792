//! Answers a command on buckets that is not part of a batch.

use super::{
    parse::Words,
    session::{Session, Trouble},
    split::Parts,
};
use crate::{
    limits::BATCH_REQUESTS,
    pipeline::{buffers::Output, router},
};
use arrayvec::ArrayVec;
use kv::{Command, Request};

/// Answers one command on buckets, of any number of them.
pub(super) async fn answer_command(
    session: &mut Session,
    command: &'static Command,
    words: &Words<'_>,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    let server = session.server.clone();
    let mut parts = Parts::new(command, words, &server.cluster)?;
    session.merger.expect(&parts);
    while parts.left() > 0 {
        let requests: ArrayVec<Request<'_>, BATCH_REQUESTS> = parts.by_ref().take(BATCH_REQUESTS).collect();
        router::execute(&server.cluster, session, &requests, output).await?;
    }
    Ok(())
}
