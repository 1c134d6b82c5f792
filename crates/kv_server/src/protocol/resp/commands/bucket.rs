//! Executes a command on buckets that is not part of a batch.

use super::split::SubRequests;
use crate::{
    limits::BATCH_REQUESTS,
    pipeline::{buffers::Output, router},
    protocol::resp::{parser::RawCommand, reply::error::SessionError, state::RespState},
};
use arrayvec::ArrayVec;
use kv::{Command, Request};

/// Executes a command of any number of requests.
pub(super) async fn execute(
    state: &mut RespState,
    command: &'static Command,
    raw: &RawCommand<'_>,
    output: &mut Output<'_>,
) -> Result<(), SessionError> {
    let server = state.server.clone();
    let mut requests = SubRequests::new(command, raw, &server.cluster)?;
    state.merger.push_expected(requests.keys(), requests.remaining());
    while requests.remaining() > 0 {
        let batch: ArrayVec<Request<'_>, BATCH_REQUESTS> = requests.by_ref().take(BATCH_REQUESTS).collect();
        router::execute(&server.cluster, state, &batch, output).await?;
    }
    Ok(())
}
