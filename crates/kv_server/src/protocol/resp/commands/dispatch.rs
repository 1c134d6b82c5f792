//! Executes one command outside of a batch: a command of the session, a command of more requests than a batch
//! holds, or any command while the session is in a state that excludes batches.

use super::{
    split::SubRequests,
    table::{Call, CommandRef, CommandTable, Resolved},
};
use crate::{
    limits::{BATCH_BYTES, BATCH_REQUESTS},
    metrics::Failure,
    pipeline::{buffers::Output, router},
    protocol::resp::{
        parser::RawCommand,
        reply::error::SessionError,
        session::{ReplyMode, RespSession},
    },
};
use arrayvec::ArrayVec;
use kv::{Command, Request};
use std::io;
use tokio::task::yield_now;

/// Executes one command, and replies unless the client has turned replies off.
pub(crate) async fn dispatch(
    table: &CommandTable,
    session: &mut RespSession,
    raw: RawCommand<'_>,
    output: &mut Output<'_>,
) -> io::Result<()> {
    let mode = session.reply_mode;
    if mode != ReplyMode::On {
        output.flush().await?;
        output.suppress(true);
    }
    let (index, failure, executed) = match accept(table, session, &raw) {
        Ok(resolved) => {
            (Some(resolved.index), Failure::Failed, execute(table, session, resolved, output).await)
        }
        Err(error) => (table.locate(&raw).ok().map(|row| row.index), Failure::Rejected, Err(error)),
    };
    if let Err(error) = executed {
        let start = output.bytes.len();
        session.write_error(error, output)?;
        session.context.metrics.record_error(index, failure, &output.bytes[start + 1..]);
    }
    session.publish_numbers();
    if mode == ReplyMode::SkipNext && session.reply_mode == ReplyMode::SkipNext {
        session.reply_mode = ReplyMode::On;
        output.flush().await?;
    } else if session.reply_mode == ReplyMode::Off {
        output.suppress(true);
        output.flush().await?;
    }
    output.suppress(false);
    Ok(())
}

/// Checks whether the session may execute the command, or queue it.
fn accept<'a>(
    table: &CommandTable,
    session: &mut RespSession,
    raw: &RawCommand<'a>,
) -> Result<Resolved<'a>, SessionError> {
    let resolved = table.resolve(raw).inspect_err(|_| session.transaction.mark_dirty())?;
    check_subscribed(session, resolved.command)?;
    Ok(resolved)
}

async fn execute(
    table: &CommandTable,
    session: &mut RespSession,
    resolved: Resolved<'_>,
    output: &mut Output<'_>,
) -> Result<(), SessionError> {
    if session.transaction.is_open() && resolved.command.is_queued_in_multi() {
        return queue(session, &resolved, output);
    }
    session.uncounted.push((resolved.index, 1));
    match resolved.command {
        CommandRef::Bucket(command) => execute_on_buckets(session, command, &resolved.raw, output).await,
        CommandRef::Session(command) => {
            command.execute(Call { table, session, args: resolved.raw.args(), output }).await
        }
    }
}

/// Executes a command of any number of requests, as many at a time as a batch holds. Between two batches the
/// other connections of this thread run.
async fn execute_on_buckets(
    session: &mut RespSession,
    command: &'static Command,
    raw: &RawCommand<'_>,
    output: &mut Output<'_>,
) -> Result<(), SessionError> {
    let context = session.context.clone();
    let mut requests = SubRequests::new(command, raw, &context.cluster)?;
    session.merger.push_expected(requests.keys(), requests.remaining());
    while requests.remaining() > 0 {
        let mut batch = ArrayVec::<Request<'_>, BATCH_REQUESTS>::new();
        let end = requests.bytes().saturating_sub(BATCH_BYTES);
        while !batch.is_full()
            && (batch.is_empty() || requests.bytes() > end)
            && let Some(request) = requests.next()
        {
            batch.push(request);
        }
        router::execute(&context.cluster, session, &batch, output).await?;
        if requests.remaining() > 0 {
            yield_now().await;
        }
    }
    Ok(())
}

/// Queues a command until EXEC.
fn queue(
    session: &mut RespSession,
    resolved: &Resolved<'_>,
    output: &mut Output<'_>,
) -> Result<(), SessionError> {
    if let CommandRef::Bucket(command) = resolved.command {
        SubRequests::new(command, &resolved.raw, &session.context.cluster)
            .inspect_err(|_| session.transaction.mark_dirty())?;
    }
    session.transaction.push(resolved.index, &resolved.raw)?;
    session.encoder(output).simple_string("QUEUED");
    Ok(())
}

/// In RESP2, replies and messages look alike, so a subscribed client may call only a few commands.
fn check_subscribed(session: &RespSession, command: CommandRef) -> Result<(), SessionError> {
    if !session.is_subscribed_in_resp2() || command.is_allowed_while_subscribed() {
        return Ok(());
    }
    let name = command.spec().name;
    Err(SessionError::reply(format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    )))
}
