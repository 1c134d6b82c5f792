//! Commands about what is on disk, and SHUTDOWN. A snapshot is a save and a rewrite of the append-only file
//! in one: the log of each durable range goes on behind it.

use super::{
    info::persistence::{is_saving, last_save},
    table::{ANY_TIME, Call, SessionCommand, boxed},
};
use crate::protocol::resp::{encoder::RespEncoder, reply::error::SessionError, session::RespSession};
use kv::{
    Args, CommandError, CommandSpec, Group,
    flag::{ADMIN, NO_MULTI},
};
use std::{future::ready, time::Duration};
use tokio::time::sleep;

/// The error of commands that a node without durable buckets cannot execute.
const VOLATILE: &str = "ERR no bucket of this node is durable: start it with --data-dir DIR, and without \
                        durable = false on all its rows of [[routes]]";

pub(super) const SAVE: SessionCommand = SessionCommand::new(
    CommandSpec::new("save", Group::Server)
        .flags(ADMIN | NO_MULTI)
        .since("1.0.0")
        .summary("Takes a snapshot of all durable buckets of the node, cuts their log, and waits for it"),
)
.run_async(boxed!(save));
async fn save(Call { session, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    check_durable(session)?;
    let taken = session.context.cluster.local().take_snapshots();
    // They are taken although the client has left.
    tokio::select! {
        taken = taken => taken.map_err(kv_cluster::Error::from)?,
        () = output.client_closed() => {}
    }
    session.encoder(output).ok();
    Ok(())
}

pub(super) const BGSAVE: SessionCommand = SessionCommand::new(
    CommandSpec::new("bgsave", Group::Server)
        .arity(-1)
        .flags(ADMIN)
        .since("1.0.0")
        .syntax("[SCHEDULE]")
        .summary("Takes a snapshot of all durable buckets of the node in the background, and cuts their log"),
)
.run(bgsave);
fn bgsave(session: &mut RespSession, mut args: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    let is_scheduled = match (args.next(), args.next()) {
        (None, _) => false,
        (Some(word), None) if word.eq_ignore_ascii_case(b"schedule") => true,
        _ => return Err(CommandError::Syntax.into()),
    };
    let is_saving = check_saving(session)?;
    if is_saving && !is_scheduled {
        return Err(SessionError::reply("ERR Background save already in progress"));
    }
    begin_snapshots(session)?;
    encoder.simple_string(if is_saving {
        "Background saving scheduled"
    } else {
        "Background saving started"
    });
    Ok(())
}

pub(super) const BGREWRITEAOF: SessionCommand = SessionCommand::new(
    CommandSpec::new("bgrewriteaof", Group::Server)
        .flags(ADMIN)
        .since("1.0.0")
        .summary("Cuts the log of all durable buckets of the node behind a new snapshot, as BGSAVE does"),
)
.run(bgrewriteaof);
fn bgrewriteaof(session: &mut RespSession, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    if check_saving(session)? {
        return Err(SessionError::reply("ERR Background append only file rewriting already in progress"));
    }
    begin_snapshots(session)?;
    encoder.simple_string("Background append only file rewriting started");
    Ok(())
}

/// Whether a snapshot is being taken; an error if there is nothing to take one of.
fn check_saving(session: &RespSession) -> Result<bool, SessionError> {
    check_durable(session)?;
    Ok(is_saving(&session.context.cluster.local().range_statuses()))
}

fn check_durable(session: &RespSession) -> Result<(), SessionError> {
    match session.context.cluster.local().ranges()[..] {
        [] => Err(SessionError::reply(VOLATILE)),
        [..] => Ok(()),
    }
}

/// Has snapshots taken of the ranges that are ready; the error is that of one which is not, or which has no
/// log.
fn begin_snapshots(session: &RespSession) -> Result<(), SessionError> {
    let local = session.context.cluster.local();
    // They are taken although nobody waits for them.
    drop(local.take_snapshots());
    Ok(local.check_ranges().and_then(|()| local.check_logs()).map_err(kv_cluster::Error::from)?)
}

pub(super) const LASTSAVE: SessionCommand = SessionCommand::new(
    CommandSpec::new("lastsave", Group::Server)
        .flags(ANY_TIME)
        .fast()
        .since("1.0.0")
        .summary("Unix time in seconds of the oldest of the newest snapshots of all durable ranges"),
)
.run(lastsave);
fn lastsave(session: &mut RespSession, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    check_durable(session)?;
    let ranges = session.context.cluster.local().range_statuses();
    encoder.integer(last_save(&session.context, &ranges) as i64);
    Ok(())
}

pub(super) const WAIT: SessionCommand = SessionCommand::new(
    CommandSpec::new("wait", Group::Generic).arity(3).since("3.0.0").syntax("numreplicas timeout").summary(
        "Returns how many other nodes have what was acknowledged, without waiting: 0 unless they have copies",
    ),
)
.run(wait);
fn wait(session: &mut RespSession, mut args: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    args.integer()?;
    timeout(&mut args)?;
    encoder.integer(session.context.cluster.acknowledging_replicas() as i64);
    Ok(())
}

/// How long to wait at most; `None` for no limit.
fn timeout(args: &mut Args) -> Result<Option<Duration>, SessionError> {
    match args.integer() {
        Ok(0) => Ok(None),
        Ok(milliseconds @ 1..) => Ok(Some(Duration::from_millis(milliseconds.unsigned_abs()))),
        Ok(_) => Err(SessionError::reply("ERR timeout is negative")),
        Err(_) => Err(SessionError::reply("ERR timeout is not an integer or out of range")),
    }
}

pub(super) const WAITAOF: SessionCommand = SessionCommand::new(
    CommandSpec::new("waitaof", Group::Generic)
        .arity(4)
        .since("7.2.0")
        .syntax("numlocal numreplicas timeout")
        .summary("Returns 1 when what the node has acknowledged is on disk, 0 if not in time or if not all its buckets are durable; and 0 replicas"),
)
.run_async(boxed!(waitaof));
async fn waitaof(Call { session, mut args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let wanted = args.integer()?;
    if !(0..=1).contains(&wanted) {
        return Err(CommandError::OutOfBounds { min: 0, max: 1 }.into());
    }
    if args.integer().ok().is_none_or(|replicas| replicas < 0) {
        return Err(SessionError::reply("ERR value is out of range, must be positive"));
    }
    let timeout = timeout(&mut args)?;
    let node = session.context.cluster.local();
    let is_durable = !node.ranges().is_empty() && node.volatile_rows().next().is_none();
    let is_synced = is_durable
        && tokio::select! {
            biased;
            synced = node.wait_until_synced() => synced.map(|()| true).map_err(kv_cluster::Error::from)?,
            () = ready(()), if wanted == 0 => false,
            () = sleep(timeout.unwrap_or_default()), if timeout.is_some() => false,
            () = output.client_closed() => false,
        };
    let mut encoder = session.encoder(output);
    encoder.array(2);
    encoder.integer(is_synced.into());
    encoder.integer(0);
    Ok(())
}

pub(super) const SHUTDOWN: SessionCommand = SessionCommand::new(
    CommandSpec::new("shutdown", Group::Server)
        .arity(-1)
        .flags(ADMIN | ANY_TIME | NO_MULTI)
        .since("1.0.0")
        .syntax("[NOSAVE|SAVE] [NOW] [FORCE] [ABORT]")
        .summary("Drains the node and ends it; with SAVE it takes a snapshot of all durable buckets first"),
)
.run_async(boxed!(shutdown));
/// There is no reply: the connection is closed. What was acknowledged is on disk with and without a snapshot.
async fn shutdown(Call { session, args, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let (mut save, mut nosave, mut now, mut force, mut abort) = (false, false, false, false, false);
    for word in args {
        let option = match word.to_ascii_lowercase().as_slice() {
            b"save" => &mut save,
            b"nosave" => &mut nosave,
            b"now" => &mut now,
            b"force" => &mut force,
            b"abort" => &mut abort,
            _ => return Err(CommandError::Syntax.into()),
        };
        *option = true;
    }
    if save && nosave || abort && (save || nosave || now || force) {
        return Err(CommandError::Syntax.into());
    }
    if abort {
        // A drain that has begun closes this connection, and is not taken back.
        return Err(SessionError::reply("ERR No shutdown in progress."));
    }
    if !nosave
        && !force
        && let Err(failure) = session.context.cluster.local().check_logs()
    {
        tracing::error!(%failure, "SHUTDOWN is refused: the data of a range are in memory alone; NOSAVE and FORCE lose them");
        return Err(SessionError::reply("ERR Errors trying to SHUTDOWN. Check logs."));
    }
    if save {
        let saved = match check_durable(session) {
            // The node is not stopped without them because the client has left.
            Ok(()) => session.context.cluster.local().take_snapshots().await.map_err(|failure| {
                tracing::error!(%failure, "SHUTDOWN SAVE: a snapshot was not taken");
                kv_cluster::Error::from(failure).into()
            }),
            Err(error) => Err(error),
        };
        if !force {
            saved?;
        }
    }
    session.context.stop_node.cancel();
    session.closing = true;
    Ok(())
}
