//! The EXEC command: executes the queued commands as one step, on the node that owns all their keys.

use super::{
    connection::{SELECT, selected_database},
    split::SubRequests,
    table::{Call, CommandRef, CommandTable, SessionCommand, boxed},
};
use crate::{
    limits::EXEC_REPLIES_AT_ONCE,
    memory::{Charge, Use},
    metrics::Failure,
    pipeline::{
        Rendered,
        buffers::{Output, ReplyBuffer},
        clock::BatchClock,
        router,
    },
    protocol::resp::{
        encoder::RespEncoder,
        parser::RawCommand,
        reply::{
            error::SessionError,
            merge::{LargeReply, ReplyMerger},
        },
        session::RespSession,
    },
};
use kv::{
    CommandError, CommandSpec, Database, FullName, Group, Reply, Request, TransactionLimits,
    flag::{LOADING, READ, STALE, WRITE},
};
use kv_cluster::Error;
use std::io;
use tokio::task::yield_now;

/// A key, and its version when it was watched.
type WatchedKey<'a> = (FullName<'a>, u64);

/// A queued command, and its index in the table.
type Queued<'a> = (usize, RawCommand<'a>);

pub(super) const EXEC: SessionCommand = SessionCommand::new(
    CommandSpec::new("exec", Group::Transactions)
        .flags(LOADING | STALE)
        .since("1.2.0")
        .summary("Executes all commands queued since MULTI, as one step"),
)
.never_queued()
.run_async(boxed!(exec));

/// A command on all keys, such as FLUSHALL, separates the commands before it from those after it: each part
/// is a step of its own.
async fn exec(Call { table, session, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let (queued, watched) =
        session.transaction.close().ok_or_else(|| SessionError::reply("ERR EXEC without MULTI"))?;
    if queued.dirty {
        return Err(SessionError::reply("EXECABORT Transaction discarded because of previous errors."));
    }
    let versions = watched.iter().flat_map(|watched| &watched.versions);
    let mut watched: Vec<WatchedKey<'_>> = versions
        .filter_map(|((database, name), version)| Some((FullName { database: *database, name }, (*version)?)))
        .collect();
    let commands: Vec<Queued<'_>> = queued.iter().collect();
    let split = requests(table, session.database, &commands);
    check_size(session, &split)?;
    let all: Vec<Request<'_>> = split.into_iter().flatten().collect();
    let names = watched.iter().map(|(full, _)| full.name).chain(all.iter().flat_map(Request::names));
    session.context.cluster.single_owner(names)?;
    // Other connections of this thread run before the step, after it, and between its replies.
    yield_now().await;
    let mut steps = commands.split_inclusive(|(index, _)| is_on_all_keys(table.get(*index)));
    let mut step = steps.next().unwrap_or_default();
    let mut clock = BatchClock::read();
    let executed = execute_step(table, session, &watched, step).await;
    let executed = executed.map_err(|error| match error.is_out_of_memory() {
        true => SessionError::discarded(&error),
        false => error,
    });
    let Some(mut replies) = executed? else {
        session.encoder(output).null_array();
        return Ok(());
    };
    watched.clear();
    session.encoder(output).array(commands.len());
    loop {
        yield_now().await;
        write_step(table, session, step, &replies, clock.lap(), output).await?;
        step = match steps.next() {
            Some(step) => step,
            None => return Ok(()),
        };
        clock = BatchClock::read();
        let failed = |error| repeated_error(session, error, requests(table, session.database, step).len());
        replies = match execute_step(table, session, &watched, step).await {
            Ok(Some(replies)) => replies,
            Ok(None) => failed(Error::UnexpectedReply.into())?,
            Err(error) => failed(error)?,
        };
    }
}

/// Whether the command is on all keys, and so cannot be part of the step of one node.
fn is_on_all_keys(command: CommandRef) -> bool {
    matches!(command, CommandRef::Session(command) if command.spec.flags & (READ | WRITE) != 0)
}

/// The requests of the commands on buckets, without those whose number of arguments is wrong. They begin in
/// `database`; a SELECT among them is executed later, but decides the database of those after it.
fn requests<'a>(
    table: &CommandTable,
    mut database: Database,
    commands: &[Queued<'a>],
) -> Vec<SubRequests<'a>> {
    let requests = |(index, raw): &Queued<'a>| match table.get(*index) {
        CommandRef::Bucket(command) => SubRequests::new(command, raw, database).ok(),
        CommandRef::Session(command) => {
            if command.spec.name == SELECT.spec.name {
                database = selected_database(raw.args()).unwrap_or(database);
            }
            None
        }
    };
    commands.iter().filter_map(requests).collect()
}

/// Checks that there are not more requests than this node allows, before they are listed. The node that owns
/// the keys checks what they touch.
fn check_size(session: &RespSession, split: &[SubRequests<'_>]) -> Result<(), CommandError> {
    let TransactionLimits { entries, bytes } = session.context.cluster.local().transaction_limits();
    if split.iter().map(SubRequests::remaining).sum::<usize>() <= entries {
        return Ok(());
    }
    Err(CommandError::TransactionTooLarge { entries: entries as u64, bytes: bytes as u64 })
}

/// The encoded replies to the commands on buckets of one step, one after the other.
struct RenderedReplies {
    bytes: ReplyBuffer,
    /// Where each reply ends.
    ends: Vec<usize>,
    charge: Charge,
}

/// The same error for each of `count` commands of a later step: the replies to those before it stay valid.
fn repeated_error(session: &RespSession, error: SessionError, count: usize) -> io::Result<RenderedReplies> {
    let mut bytes = ReplyBuffer::default();
    error.write(&mut RespEncoder::new(&mut bytes, session.version).in_pipeline(true))?;
    let ends = (1..=count).map(|reply| reply * bytes.len()).collect();
    let charge = Charge::new(&session.client.account, Use::Output);
    Ok(RenderedReplies { bytes: bytes.repeat(count).into(), ends, charge })
}

/// Executes the commands on buckets among `commands` as one step. `None`: a watched key has changed.
async fn execute_step(
    table: &CommandTable,
    session: &RespSession,
    watched: &[WatchedKey<'_>],
    commands: &[Queued<'_>],
) -> Result<Option<RenderedReplies>, SessionError> {
    let split = requests(table, session.database, commands);
    let requests: Vec<Request<'_>> = split.iter().cloned().flatten().collect();
    let charge = Charge::new(&session.client.account, Use::Output);
    let mut replies = RenderedReplies { bytes: ReplyBuffer::default(), ends: Vec::new(), charge };
    let mut merger = ReplyMerger::default();
    let (mut commands, mut pending) = (split.iter(), requests.iter());
    let on_reply = |result: Result<Reply<'_>, Error>| {
        if merger.is_done() {
            let command = commands.next().expect("every reply belongs to a command");
            merger.push_expected(command.keys(), command.remaining());
        }
        let request = pending.next().expect("every reply belongs to a request");
        let mut encoder = RespEncoder::new(&mut replies.bytes, session.version).in_pipeline(true);
        // Pages would not show the hash as it was in this step.
        match merger.on_reply(&mut encoder, request, result.as_ref()) {
            Rendered::Complete => {}
            Rendered::Paused(LargeReply::Entries { .. }) => {
                encoder.error("ERR the hash is too large to be listed in a transaction: use HSCAN");
            }
            Rendered::Paused(LargeReply::Sample { .. }) => encoder.error(
                "ERR too many random fields for a transaction: use a smaller count, or HRANDFIELD outside of it",
            ),
        }
        if merger.is_done() {
            replies.ends.push(replies.bytes.len());
        }
    };
    let unchanged = router::transact(&session.context.cluster, watched, &requests, on_reply).await?;
    replies.charge.set(replies.bytes.held());
    Ok(unchanged.then_some(replies))
}

/// Writes the replies of one step, whose commands on buckets took `nanos`, and executes the commands of the
/// session between them, in order.
async fn write_step(
    table: &CommandTable,
    session: &mut RespSession,
    commands: &[Queued<'_>],
    replies: &RenderedReplies,
    nanos: u64,
    output: &mut Output<'_>,
) -> Result<(), SessionError> {
    let context = session.context.clone();
    let on_buckets = |(index, _): &&Queued<'_>| matches!(table.get(*index), CommandRef::Bucket(_));
    let calls: Vec<(usize, u64)> = commands.iter().filter(on_buckets).map(|(index, _)| (*index, 1)).collect();
    context.metrics.record(&calls, calls.len() as u64, nanos);
    let (mut start, mut ends) = (0, replies.ends.iter());
    for (number, (index, raw)) in commands.iter().enumerate() {
        if number > 0 && number.is_multiple_of(EXEC_REPLIES_AT_ONCE) {
            yield_now().await;
        }
        let reply_at = output.bytes.len();
        match table.get(*index) {
            CommandRef::Bucket(command) => match SubRequests::check_arity(command, raw) {
                Ok(()) => {
                    let end = *ends.next().unwrap_or(&start);
                    output.bytes.extend_from(&replies.bytes, start..end);
                    start = end;
                }
                Err(error) => session.write_error(error.into(), output)?,
            },
            CommandRef::Session(command) => {
                let mut clock = BatchClock::read();
                let call = Call { table, session, args: raw.args(), output };
                if let Err(error) = command.execute(call).await {
                    session.write_error(error, output)?;
                }
                context.metrics.record(&[(*index, 1)], 1, clock.lap());
            }
        }
        if output.bytes.get(reply_at) == Some(&b'-') {
            let message = &output.bytes[reply_at + 1..];
            context.metrics.record_error(Some(*index), Failure::Failed, message);
        }
        if output.is_full() {
            output.flush().await?;
        }
    }
    Ok(())
}
