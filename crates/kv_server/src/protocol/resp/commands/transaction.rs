//! Commands of transactions: MULTI, DISCARD, WATCH and UNWATCH. EXEC has a file of its own.

use super::table::{ANY_TIME, Call, SessionCommand, boxed};
use crate::{
    limits::{WATCHED, WATCHED_KEY_BYTES},
    pipeline::router,
    protocol::resp::{
        encoder::RespEncoder, queue::WatchedKeys, reply::error::SessionError, session::RespSession,
    },
};
use kv::{Args, CommandSpec, Group, KeySpec, Op, Reply, Request, flag::NO_MULTI};

pub(super) const MULTI: SessionCommand = SessionCommand::new(
    CommandSpec::new("multi", Group::Transactions)
        .flags(ANY_TIME | NO_MULTI)
        .fast()
        .since("1.2.0")
        .summary("Queues the commands that follow, until EXEC"),
)
.never_queued()
.run(multi);
fn multi(session: &mut RespSession, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    if session.transaction.is_open() {
        return Err(SessionError::reply("ERR MULTI calls can not be nested"));
    }
    session.transaction.open();
    encoder.ok();
    Ok(())
}

pub(super) const DISCARD: SessionCommand = SessionCommand::new(
    CommandSpec::new("discard", Group::Transactions)
        .flags(ANY_TIME)
        .fast()
        .since("2.0.0")
        .summary("Discards all commands queued since MULTI"),
)
.never_queued()
.run(discard);
fn discard(session: &mut RespSession, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    if !session.transaction.is_open() {
        return Err(SessionError::reply("ERR DISCARD without MULTI"));
    }
    session.transaction.discard();
    encoder.ok();
    Ok(())
}

pub(super) const UNWATCH: SessionCommand = SessionCommand::new(
    CommandSpec::new("unwatch", Group::Transactions)
        .flags(ANY_TIME)
        .fast()
        .since("2.2.0")
        .summary("Stops watching all keys"),
)
.run(unwatch);
fn unwatch(session: &mut RespSession, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    session.transaction.watched = None;
    encoder.ok();
    Ok(())
}

pub(super) const WATCH: SessionCommand = SessionCommand::new(
    CommandSpec::new("watch", Group::Transactions)
        .arity(-2)
        .flags(ANY_TIME | NO_MULTI)
        .fast()
        .keys(KeySpec::EachListed)
        .since("2.2.0")
        .syntax("key [key ...]")
        .summary("Makes EXEC fail if one of the keys changes before it"),
)
.never_queued()
.run_async(boxed!(watch));
async fn watch(Call { session, args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    if session.transaction.is_open() {
        return Err(SessionError::reply("ERR WATCH inside MULTI is not allowed"));
    }
    let RespSession { transaction, context, client, database, .. } = &mut *session;
    for bucket in args {
        let key = (*database, Box::from(bucket));
        let watched =
            transaction.watched.get_or_insert_with(|| WatchedKeys::new(context.cluster.clone(), client));
        if watched.versions.contains_key(&key) {
            continue;
        }
        if watched.versions.len() >= WATCHED {
            return Err(SessionError::reply(format!("ERR one connection may watch {WATCHED} keys")));
        }
        let read = |reply: Reply<'_>| match reply {
            Reply::Number(version) => Ok(version as u64),
            Reply::Error(error) => Err(SessionError::Command(error)),
            _ => Err(SessionError::Restarting),
        };
        let op = Op::Watch { watcher: watched.watcher };
        let request = Request { database: *database, bucket, op };
        // The watch ends with the connection, even if that ends before the reply.
        watched.versions.insert(key.clone(), None);
        let version = router::execute_one(&context.cluster, request, read).await;
        let version = version.map_err(SessionError::from).flatten();
        match version {
            Ok(version) => {
                watched.charge.add(bucket.len() + WATCHED_KEY_BYTES);
                watched.versions.insert(key, Some(version))
            }
            Err(error) => {
                watched.versions.remove(&key);
                return Err(error);
            }
        };
    }
    session.encoder(output).ok();
    Ok(())
}
