//! Commands of transactions: MULTI, DISCARD, WATCH and UNWATCH. EXEC has a file of its own.

use super::table::{ANY_TIME, Call, SessionCommand, boxed};
use crate::{
    limits::{ARGUMENTS_AT_ONCE, WATCHED, WATCHED_KEY_BYTES},
    pipeline::router,
    protocol::resp::{
        encoder::RespEncoder, queue::WatchedKeys, reply::error::SessionError, session::RespSession,
    },
};
use kv::{Args, CommandSpec, Group, KeySpec, Op, Reply, Request, flag::NO_MULTI};
use kv_cluster::Cluster;
use tokio::task::yield_now;

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
/// Watches all keys, or, if that fails, none of those that were not watched before.
async fn watch(Call { session, args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    if session.transaction.is_open() {
        return Err(SessionError::reply("ERR WATCH inside MULTI is not allowed"));
    }
    let RespSession { transaction, context, client, database, .. } = &mut *session;
    let op = Op::Watch { watcher: Cluster::watcher(client.id) };
    let requests: Vec<_> = args.map(|bucket| Request { database: *database, bucket, op }).collect();
    // EXEC needs them on one node. All that are watched already are on the same one.
    let known = transaction.watched.iter().flat_map(|watched| watched.versions.keys().take(1));
    let names = known.map(|(_, name)| &**name).chain(requests.iter().map(|request| request.bucket));
    context.cluster.single_owner(names)?;
    router::look_ahead(&context.cluster, requests.clone().into_iter()).await?;
    let watched =
        transaction.watched.get_or_insert_with(|| WatchedKeys::new(context.cluster.clone(), client));
    let mut added = Vec::new();
    for (number, request) in requests.into_iter().enumerate() {
        if number > 0 && number.is_multiple_of(ARGUMENTS_AT_ONCE) {
            yield_now().await;
        }
        let key = (*database, Box::from(request.bucket));
        if watched.versions.contains_key(&key) {
            continue;
        }
        // The watch ends with the connection, even if that ends before the reply.
        watched.versions.insert(key.clone(), None);
        added.push(key);
        let version = match watched.versions.len() {
            ..=WATCHED => version(&context.cluster, request).await,
            _ => Err(SessionError::reply(format!("ERR one connection may watch {WATCHED} keys"))),
        };
        match version {
            Ok(version) => {
                watched.charge.add(request.bucket.len() + WATCHED_KEY_BYTES);
                watched.versions.insert((*database, request.bucket.into()), Some(version));
            }
            Err(error) => {
                watched.remove(&added);
                if watched.versions.is_empty() {
                    transaction.watched = None;
                }
                return Err(error);
            }
        }
    }
    session.encoder(output).ok();
    Ok(())
}

/// The version of a key, which is watched from now on.
async fn version(cluster: &Cluster, request: Request<'_>) -> Result<u64, SessionError> {
    let read = |reply: Reply<'_>| match reply {
        Reply::Number(version) => Ok(version as u64),
        Reply::Error(error) => Err(SessionError::Command(error)),
        _ => Err(SessionError::Restarting),
    };
    router::execute_one(cluster, request, read).await?
}
