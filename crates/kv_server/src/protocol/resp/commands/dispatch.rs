//! Executes one command by itself: one that is no plain request to a bucket, or that the state of the session
//! keeps out of a batch.

use super::{
    bucket,
    split::SubRequests,
    table::{Call, CommandRef, CommandTable, Resolved},
};
use crate::{
    pipeline::buffers::Output,
    protocol::resp::{
        parser::RawCommand,
        reply::error::SessionError,
        state::{ReplyMode, RespState},
    },
};
use std::io;

/// Executes one command and replies, as far as the client wants replies.
pub(crate) async fn dispatch(
    table: &CommandTable,
    state: &mut RespState,
    raw: RawCommand<'_>,
    output: &mut Output<'_>,
) -> io::Result<()> {
    let mode = state.reply_mode;
    if mode != ReplyMode::On {
        output.flush().await?;
        output.suppress(true);
    }
    if let Err(error) = execute(table, state, raw, output).await {
        state.write_error(error, output)?;
    }
    if mode == ReplyMode::SkipNext && state.reply_mode == ReplyMode::SkipNext {
        state.reply_mode = ReplyMode::On;
        output.flush().await?;
    } else if state.reply_mode == ReplyMode::Off {
        output.suppress(true);
        output.flush().await?;
    }
    output.suppress(false);
    Ok(())
}

async fn execute(
    table: &CommandTable,
    state: &mut RespState,
    raw: RawCommand<'_>,
    output: &mut Output<'_>,
) -> Result<(), SessionError> {
    let resolved = table.resolve(&raw).inspect_err(|_| {
        state.server.metrics.record_rejection();
        state.transaction.mark_dirty();
    })?;
    check_subscribed(state, resolved.command)?;
    if state.transaction.is_open() && resolved.command.is_queued_in_multi() {
        return queue(state, &resolved, output);
    }
    state.server.metrics.record_calls(resolved.index, 1);
    match resolved.command {
        CommandRef::Bucket(command) => bucket::execute(state, command, &resolved.raw, output).await,
        CommandRef::Session(command) => {
            command.execute(Call { table, state, args: resolved.raw.args(), output }).await
        }
    }
}

/// Queues a command until EXEC.
fn queue(
    state: &mut RespState,
    resolved: &Resolved<'_>,
    output: &mut Output<'_>,
) -> Result<(), SessionError> {
    if let CommandRef::Bucket(command) = resolved.command {
        SubRequests::new(command, &resolved.raw, &state.server.cluster)
            .inspect_err(|_| state.transaction.mark_dirty())?;
    }
    state.transaction.push(resolved.index, &resolved.raw)?;
    state.encoder(output).simple_string("QUEUED");
    Ok(())
}

/// In RESP2 replies and messages look alike, so a subscribed client may call few commands.
fn check_subscribed(state: &RespState, command: CommandRef) -> Result<(), SessionError> {
    if !state.is_subscribed_in_resp2() || command.is_allowed_while_subscribed() {
        return Ok(());
    }
    let name = command.spec().name;
    Err(SessionError::reply(format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    )))
}
