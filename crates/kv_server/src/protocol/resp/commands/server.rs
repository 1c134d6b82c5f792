//! Commands about the server: time, memory, and those that monitoring tools need.

use super::table::{ANY_TIME, Call, SessionCommand, boxed};
use crate::{
    limits::LONGEST_SLEEP,
    pipeline::router,
    protocol::resp::{encoder::RespEncoder, reply::error::SessionError, session::RespSession},
};
use kv::{
    Args, CommandError, CommandSpec, Group, KeySpec, Op, Reply, Request,
    args::parse_integer,
    flag::{ADMIN, READ},
};
use std::time::Duration;
use tokio::task::yield_now;

pub(super) const TIME: SessionCommand = SessionCommand::new(
    CommandSpec::new("time", Group::Server)
        .flags(ANY_TIME)
        .fast()
        .since("2.6.0")
        .summary("Server time: Unix time in seconds, and microseconds"),
)
.run(time);
fn time(_: &mut RespSession, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    encoder.array(2);
    encoder.bulk(since.as_secs().to_string().as_bytes());
    encoder.bulk(since.subsec_micros().to_string().as_bytes());
    Ok(())
}

pub(super) const SLOWLOG: SessionCommand = SessionCommand::new(
    CommandSpec::new("slowlog", Group::Server)
        .arity(-2)
        .since("2.2.12")
        .summary("For monitoring tools; slow commands are not recorded"),
);

pub(super) const SLOWLOG_GET: SessionCommand = SessionCommand::new(
    CommandSpec::new("slowlog|get", Group::Server)
        .arity(-2)
        .flags(ADMIN | ANY_TIME)
        .since("2.2.12")
        .syntax("[count]")
        .summary("Returns an empty list: slow commands are not recorded"),
)
.run(slowlog_get);
fn slowlog_get(_: &mut RespSession, mut args: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    let count = args.next().map_or(Some(-1), parse_integer);
    if count.is_none_or(|count| count < -1) {
        return Err(SessionError::reply("ERR count should be greater than or equal to -1"));
    }
    encoder.array(0);
    Ok(())
}

pub(super) const SLOWLOG_LEN: SessionCommand = SessionCommand::new(
    CommandSpec::new("slowlog|len", Group::Server)
        .arity(2)
        .flags(ADMIN | ANY_TIME)
        .since("2.2.12")
        .summary("Returns 0: slow commands are not recorded"),
)
.run(zero_reply);
pub(super) fn zero_reply(
    _: &mut RespSession,
    _: Args,
    encoder: &mut RespEncoder,
) -> Result<(), SessionError> {
    encoder.integer(0);
    Ok(())
}

pub(super) const SLOWLOG_RESET: SessionCommand = SessionCommand::new(
    CommandSpec::new("slowlog|reset", Group::Server)
        .arity(2)
        .flags(ADMIN | ANY_TIME)
        .since("2.2.12")
        .summary("Returns OK: slow commands are not recorded"),
)
.run(ok_reply);
fn ok_reply(_: &mut RespSession, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    encoder.ok();
    Ok(())
}

pub(super) const MEMORY: SessionCommand = SessionCommand::new(
    CommandSpec::new("memory", Group::Server).arity(-2).since("4.0.0").summary("Commands about memory usage"),
);

pub(super) const MEMORY_DOCTOR: SessionCommand = SessionCommand::new(
    CommandSpec::new("memory|doctor", Group::Server)
        .arity(2)
        .since("4.0.0")
        .summary("Reports no memory problem"),
)
.run(doctor);
fn doctor(_: &mut RespSession, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    encoder.verbatim("No problem with the memory of this node is known.");
    Ok(())
}

pub(super) const MEMORY_USAGE: SessionCommand = SessionCommand::new(
    CommandSpec::new("memory|usage", Group::Server)
        .arity(-3)
        .flags(READ)
        .keys(KeySpec::One)
        .since("4.0.0")
        .syntax("key [SAMPLES count]")
        .summary("Approximate size of a key in bytes"),
)
.run_async(boxed!(usage));
async fn usage(Call { session, mut args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let bucket = args.required()?;
    match (args.next(), args.next().and_then(parse_integer)) {
        (None, _) => {}
        (Some(option), Some(count)) if option.eq_ignore_ascii_case(b"samples") && count >= 0 => {}
        _ => return Err(CommandError::Syntax.into()),
    }
    let cluster = &session.context.cluster;
    let (mut bytes, mut cursor) = (0, 0);
    loop {
        let request = Request { database: session.database, bucket, op: Op::MemoryUsage { cursor } };
        let page = router::execute_one(cluster, request, |reply| match reply {
            Reply::Page { items, next } => match items[..] {
                [Reply::Number(bytes)] => Ok(Some((bytes, next))),
                _ => Ok(None),
            },
            Reply::Error(error) => Err(error),
            _ => Ok(None),
        });
        let Some((page, next)) = page.await?? else {
            session.encoder(output).null();
            return Ok(());
        };
        (bytes, cursor) = (bytes + page, next);
        if cursor == 0 {
            session.encoder(output).integer(bytes);
            return Ok(());
        }
        // Other connections of this thread run between two pages.
        yield_now().await;
    }
}

pub(super) const DEBUG: SessionCommand = SessionCommand::new(
    CommandSpec::new("debug", Group::Server)
        .arity(-2)
        .flags(ADMIN | ANY_TIME)
        .since("1.0.0")
        .summary("Commands for tests of clients"),
);

pub(super) const DEBUG_SLEEP: SessionCommand = SessionCommand::new(
    CommandSpec::new("debug|sleep", Group::Server)
        .arity(3)
        .flags(ADMIN | ANY_TIME)
        .since("1.0.0")
        .syntax("seconds")
        .summary("Blocks this connection"),
)
.run_async(boxed!(sleep));
/// Other connections are not blocked. As in Redis, what is no time (negative, infinite, not a number) takes
/// none. A client that leaves ends its sleep.
async fn sleep(Call { session, mut args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let seconds = args.next().and_then(|seconds| std::str::from_utf8(seconds).ok()?.parse().ok());
    let pause = Duration::try_from_secs_f64(seconds.ok_or(CommandError::NotFloat)?).unwrap_or_default();
    tokio::select! {
        () = tokio::time::sleep(pause.min(LONGEST_SLEEP)) => {}
        () = output.client_closed() => {}
    }
    session.encoder(output).ok();
    Ok(())
}
