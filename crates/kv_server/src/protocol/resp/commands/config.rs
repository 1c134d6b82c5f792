//! The settings that clients ask for by the names that Redis gives them.

use super::{is, number, other};
use crate::{
    context::ServerContext,
    protocol::resp::{session::Session, write::Writer},
};
use kv::{Args, CommandError};
use std::sync::atomic::Ordering::Relaxed;

/// Settings by name, as CONFIG GET shows them.
fn settings(server: &ServerContext) -> Vec<(&'static str, String)> {
    let memory = server.cluster.local().memory_limit().unwrap_or(0);
    vec![
        ("appendonly", "no".into()),
        ("bind", server.address.ip().to_string()),
        ("databases", "1".into()),
        ("maxclients", server.limits.connections.to_string()),
        ("maxmemory", memory.to_string()),
        ("maxmemory-policy", "noeviction".into()),
        ("notify-keyspace-events", String::new()),
        ("port", server.address.port().to_string()),
        ("proto-max-bulk-len", server.bulk_bytes.load(Relaxed).to_string()),
        ("requirepass", String::new()),
        ("save", String::new()),
        ("slowlog-log-slower-than", "-1".into()),
        ("slowlog-max-len", "0".into()),
        ("timeout", server.idle_seconds.load(Relaxed).to_string()),
    ]
}

/// `CONFIG GET parameter [parameter ...]`
pub(in super::super) fn get(
    session: &mut Session,
    args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    let mut found = settings(&session.server);
    found.retain(|(name, _)| {
        args.into_iter().any(|pattern| kv::glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    });
    writer.map(found.len());
    for (name, value) in found {
        writer.bulk(name.as_bytes());
        writer.bulk(value.as_bytes());
    }
    Ok(())
}

/// `CONFIG SET parameter value [parameter value ...]`: all of them, or none.
pub(in super::super) fn set(
    session: &mut Session,
    args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    if !args.count().is_multiple_of(2) {
        return Err(CommandError::Arity("config|set".into()));
    }
    let pairs = || args.step_by(2).zip(args.skip(1).step_by(2));
    for (name, value) in pairs() {
        change(&session.server, name, value, false)?;
    }
    for (name, value) in pairs() {
        change(&session.server, name, value, true)?;
    }
    writer.ok();
    Ok(())
}

/// Judges a change, and makes it when it is meant.
fn change(server: &ServerContext, name: &[u8], value: &[u8], meant: bool) -> Result<(), CommandError> {
    let shown = String::from_utf8_lossy(name).to_ascii_lowercase();
    let failed =
        |why: &str| other(&format!("ERR CONFIG SET failed (possibly related to argument '{shown}') - {why}"));
    if is(name, "timeout") {
        let seconds = number(Some(value));
        let seconds = seconds.ok_or_else(|| failed("argument couldn't be parsed into an integer"))?;
        let range = "argument must be between 0 and 2147483647 inclusive";
        let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds < 1 << 31);
        let seconds = seconds.ok_or_else(|| failed(range))?;
        if meant {
            server.idle_seconds.store(seconds, Relaxed);
        }
    } else if is(name, "proto-max-bulk-len") {
        let bytes = number(Some(value)).and_then(|bytes| usize::try_from(bytes).ok());
        let bytes = bytes.filter(|bytes| (LEAST_BULK_BYTES..=server.limits.request_bytes).contains(bytes));
        let most = server.limits.request_bytes;
        let wrong = || failed(&format!("argument must be between {LEAST_BULK_BYTES} and {most} inclusive"));
        let bytes = bytes.ok_or_else(wrong)?;
        if meant {
            server.bulk_bytes.store(bytes, Relaxed);
        }
    } else if is(name, "maxmemory") {
        let bytes = std::str::from_utf8(value).ok().and_then(kv::parse_byte_size);
        let bytes = bytes.ok_or_else(|| failed("argument must be a memory value"))?;
        if meant {
            server.cluster.local().set_memory_limit(Some(bytes).filter(|bytes| *bytes > 0));
        }
    } else {
        let known = settings(server).into_iter().find(|(known, _)| is(name, known));
        let (_, now) = known.ok_or_else(|| {
            other(&format!("ERR Unknown option or number of arguments for CONFIG SET - '{shown}'"))
        })?;
        // What already is so need not be set.
        if now.as_bytes() != value {
            return Err(failed("can't set immutable config"));
        }
    }
    Ok(())
}

/// The least that one argument may have, as in Redis.
const LEAST_BULK_BYTES: usize = 1024 * 1024;

/// `CONFIG RESETSTAT`
pub(in super::super) fn resetstat(
    session: &mut Session,
    _: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    session.server.metrics.reset();
    writer.ok();
    Ok(())
}
