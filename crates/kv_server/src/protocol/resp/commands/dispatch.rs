//! Executes one command outside of a batch: a command of the session, a command of more requests than a batch
//! holds, or any command while the session is in a state that excludes batches.

use super::{
    exec::EXEC,
    split::SubRequests,
    table::{Call, CommandRef, CommandTable, Resolved},
};
use crate::{
    limits::{BATCH_BYTES, BATCH_REQUESTS, SESSION_ARGUMENTS, WAITING_REQUESTS},
    metrics::Failure,
    pipeline::{buffers::Output, router},
    protocol::resp::{
        parser::RawCommand,
        reply::error::SessionError,
        session::{ReplyMode, RespSession},
    },
};
use kv::{
    Command, CommandError, Request,
    flag::{DENYOOM, NO_MULTI},
};
use kv_cluster::{Cluster, Owner};
use std::io;
use tokio::task::yield_now;

/// Executes one command, and replies unless the client has turned replies off.
pub(crate) async fn dispatch(
    table: &CommandTable,
    session: &mut RespSession,
    raw: RawCommand<'_>,
    output: &mut Output<'_>,
) -> io::Result<()> {
    let accepted = accept(table, session, &raw);
    let mode = session.reply_mode;
    if mode == ReplyMode::SkipNext {
        session.reply_mode = ReplyMode::Skip;
    }
    if mode != ReplyMode::On {
        // Earlier replies are discarded if the output is suppressed.
        output.flush().await?;
        // Confirmations of subscriptions are not replies.
        output.suppress(!matches!(&accepted, Ok(resolved) if resolved.command.is_subscription()));
    }
    let (index, mut failure, executed) = match accepted {
        Ok(resolved) => {
            (Some(resolved.index), Failure::Failed, execute(table, session, resolved, output).await)
        }
        Err(error) => (table.locate(&raw).ok().map(|row| row.index), Failure::Rejected, Err(error)),
    };
    if let Err(error) = executed {
        if error.is_out_of_memory() {
            failure = Failure::Rejected;
            session.discount(index);
        }
        let start = output.bytes.len();
        session.write_error(error, output)?;
        session.context.metrics.record_error(index, failure, &output.bytes[start + 1..]);
    }
    session.publish_numbers();
    if session.reply_mode != ReplyMode::On {
        output.flush().await?;
    }
    if session.reply_mode == ReplyMode::Skip {
        session.reply_mode = ReplyMode::On;
    }
    // Messages of subscriptions are written between two commands.
    session.is_suppressed = session.reply_mode == ReplyMode::Off && !session.awaits_events();
    output.suppress(session.is_suppressed);
    Ok(())
}

/// Checks whether the session may execute the command, or queue it. A transaction in which a command is
/// rejected fails; one whose EXEC is rejected ends.
fn accept<'a>(
    table: &CommandTable,
    session: &mut RespSession,
    raw: &RawCommand<'a>,
) -> Result<Resolved<'a>, SessionError> {
    let accepted = table.resolve(raw).and_then(|resolved| {
        check_arguments(&resolved)?;
        check_subscribed(session, resolved.command)?;
        check_queued(session, &resolved)?;
        Ok(resolved)
    });
    accepted.map_err(|error| {
        session.transaction.mark_dirty();
        if !table.locate(raw).is_ok_and(|row| row.command.spec().name == EXEC.spec.name) {
            return error;
        }
        session.transaction.discard();
        SessionError::discarded(&error)
    })
}

/// Whether the command may be queued, if it would be.
fn check_queued(session: &RespSession, resolved: &Resolved<'_>) -> Result<(), SessionError> {
    if !session.transaction.is_open() || !resolved.command.is_queued_in_multi() {
        return Ok(());
    }
    let (spec, cluster) = (resolved.command.spec(), &session.context.cluster);
    if spec.has(NO_MULTI) {
        return Err(SessionError::reply("ERR Command not allowed inside a transaction"));
    }
    if resolved.command.is_subscription() && resolved.raw.count != 2 {
        let name = spec.name.to_ascii_uppercase();
        return Err(SessionError::reply(format!(
            "ERR {name} takes one name inside a transaction, because each has a reply of its own"
        )));
    }
    let CommandRef::Bucket(command) = resolved.command else { return Ok(()) };
    let requests = match SubRequests::new(command, &resolved.raw, session.database) {
        // The reply to this command, when it is executed.
        Err(SessionError::Command(CommandError::Arity(_))) => return Ok(()),
        requests => requests?,
    };
    requests.check_same_node(cluster)?;
    if spec.has(DENYOOM) && cluster.local().is_out_of_memory(0) {
        let requests: Vec<Request<'_>> = requests.collect();
        let owner = cluster.single_owner(requests.iter().flat_map(Request::names));
        let is_here = match owner {
            Ok(Owner::Local(_)) => true,
            Ok(Owner::Later(target)) => target.range().is_some(),
            Ok(Owner::Refused(_)) | Err(_) => false,
        };
        if is_here {
            return Err(CommandError::OutOfMemory.into());
        }
    }
    Ok(())
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

/// Executes a command of any number of requests, as many at a time as a batch holds, or as may wait together.
/// Between two batches the other connections of this thread run.
async fn execute_on_buckets(
    session: &mut RespSession,
    command: &'static Command,
    raw: &RawCommand<'_>,
    output: &mut Output<'_>,
) -> Result<(), SessionError> {
    let context = session.context.clone();
    let mut requests = SubRequests::new(command, raw, session.database)?;
    requests.check_together(&context.cluster)?;
    // A single request is executed, or not; either is said by its own reply.
    if requests.remaining() > 1 {
        router::look_ahead(&context.cluster, requests.clone()).await?;
    }
    session.merger.push_expected(requests.keys(), requests.remaining());
    while requests.remaining() > 0 {
        let batch = next_batch(&context.cluster, &mut requests);
        router::execute(&context.cluster, session, &batch, output).await?;
        if requests.remaining() > 0 {
            yield_now().await;
        }
    }
    Ok(())
}

/// The next of the requests of a command. Writes that wait are as many as may wait together.
fn next_batch<'a>(cluster: &Cluster, requests: &mut SubRequests<'a>) -> Vec<Request<'a>> {
    let end = requests.bytes().saturating_sub(BATCH_BYTES);
    let (mut batch, mut limit) = (Vec::with_capacity(BATCH_REQUESTS), BATCH_REQUESTS);
    while batch.len() < limit
        && (batch.is_empty() || requests.bytes() > end)
        && let Some(request) = requests.next()
    {
        batch.push(request);
        if batch.len() == BATCH_REQUESTS && !requests.is_read() && router::has_room(cluster, &batch) {
            limit = WAITING_REQUESTS;
        }
    }
    batch
}

/// Queues a command until EXEC.
fn queue(
    session: &mut RespSession,
    resolved: &Resolved<'_>,
    output: &mut Output<'_>,
) -> Result<(), SessionError> {
    session.transaction.push(resolved.index, &resolved.raw)?;
    session.encoder(output).simple_string("QUEUED");
    Ok(())
}

/// Commands of the session work through their arguments in one piece, so their number is limited.
fn check_arguments(resolved: &Resolved<'_>) -> Result<(), SessionError> {
    match resolved.command {
        CommandRef::Session(command)
            if resolved.raw.count > SESSION_ARGUMENTS && !command.yields_between_arguments =>
        {
            let name = command.spec.name;
            Err(SessionError::reply(format!(
                "ERR too many arguments for '{name}' command: the limit is {SESSION_ARGUMENTS}"
            )))
        }
        _ => Ok(()),
    }
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
