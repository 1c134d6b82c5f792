//! Transactions: what is said before `EXEC`.

use super::other;
use crate::{
    limits::WATCHED,
    pipeline::buffers::Output,
    protocol::resp::{
        session::{Session, Trouble},
        write::Writer,
    },
};
use kv::{Args, CommandError, Op, Reply, Request};

/// `MULTI`
pub(in super::super) fn multi(
    session: &mut Session,
    _: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    if session.transaction.is_open() {
        return Err(other("ERR MULTI calls can not be nested"));
    }
    session.transaction.open();
    writer.ok();
    Ok(())
}

/// `DISCARD`
pub(in super::super) fn discard(
    session: &mut Session,
    _: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    if !session.transaction.is_open() {
        return Err(other("ERR DISCARD without MULTI"));
    }
    session.transaction.close();
    writer.ok();
    Ok(())
}

/// `UNWATCH`
pub(in super::super) fn unwatch(
    session: &mut Session,
    _: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    session.transaction.watched.clear();
    writer.ok();
    Ok(())
}

/// `WATCH key [key ...]`
pub(in super::super) async fn watch(
    session: &mut Session,
    args: Args<'_>,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    if session.transaction.is_open() {
        return Err(other("ERR WATCH inside MULTI is not allowed").into());
    }
    for bucket in args {
        let watched = &session.transaction.watched;
        if watched.contains_key(bucket) {
            continue;
        }
        if watched.len() >= WATCHED {
            return Err(other(&format!("ERR one connection may watch {WATCHED} keys")).into());
        }
        let read = |reply: Reply<'_>| match reply {
            Reply::Number(version) => Ok(version as u64),
            _ => Err(other("LOADING the store is restarting: ask again in a moment")),
        };
        let version = session.server.cluster.execute(Request { bucket, op: Op::Watch }, read).await??;
        session.transaction.watched.insert(bucket.into(), version);
    }
    session.writer(output).ok();
    Ok(())
}
