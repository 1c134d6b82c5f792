//! The CONFIG commands: the settings that Redis has too.

use super::{
    info::PERCENTILES,
    table::{ANY_TIME, Call, SessionCommand, boxed},
};
use crate::{
    context::ServerContext,
    limits::ARGUMENTS_AT_ONCE,
    protocol::resp::{encoder::RespEncoder, reply::error::SessionError, session::RespSession},
};
use kv::{
    Args, CommandError, CommandSpec, DATABASES, Group, LISTPACK_BYTES, LISTPACK_ENTRIES,
    args::parse_integer,
    flag::ADMIN,
    syntax::{excerpt::excerpt, glob},
};
use kv_cluster::Fsync;
use std::{collections::BTreeSet, sync::atomic::Ordering::Relaxed};
use tokio::{runtime::Handle, task::yield_now};

/// The settings that CONFIG GET returns, by name, the old names of some included.
fn settings(context: &ServerContext) -> Vec<(&'static str, String)> {
    let memory = context.cluster.local().memory_limit().unwrap_or(0);
    let node = context.cluster.local();
    let (appendonly, appendfsync) = match node.fsync() {
        None => ("no", "no"),
        Some(Fsync::Always) => ("yes", "always"),
        Some(Fsync::Interval(_)) => ("yes", "everysec"),
    };
    let directory = node.data_dir().map_or(String::new(), |path| path.display().to_string());
    let reactors = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
    vec![
        ("appendfsync", appendfsync.into()),
        ("appendonly", appendonly.into()),
        ("bind", context.address.ip().to_string()),
        ("daemonize", "no".into()),
        ("databases", DATABASES.to_string()),
        ("dir", directory),
        ("hash-max-listpack-entries", LISTPACK_ENTRIES.to_string()),
        ("hash-max-listpack-value", LISTPACK_BYTES.to_string()),
        ("hash-max-ziplist-entries", LISTPACK_ENTRIES.to_string()),
        ("hash-max-ziplist-value", LISTPACK_BYTES.to_string()),
        ("io-threads", reactors.to_string()),
        ("latency-monitor-threshold", "0".into()),
        ("latency-tracking", "yes".into()),
        ("latency-tracking-info-percentiles", PERCENTILES.map(|percent| percent.to_string()).join(" ")),
        ("maxclients", context.limits.connections.to_string()),
        ("maxmemory", memory.to_string()),
        ("maxmemory-clients", shown_limit(context.memory.limit()).to_string()),
        ("maxmemory-policy", "noeviction".into()),
        ("notify-keyspace-events", String::new()),
        ("port", context.address.port().to_string()),
        ("proto-max-bulk-len", context.bulk_bytes.load(Relaxed).to_string()),
        ("replicaof", String::new()),
        ("requirepass", String::new()),
        ("save", String::new()),
        ("slaveof", String::new()),
        ("slowlog-log-slower-than", "-1".into()),
        ("slowlog-max-len", "0".into()),
        ("tcp-keepalive", context.keepalive_seconds.load(Relaxed).to_string()),
        ("timeout", context.idle_seconds.load(Relaxed).to_string()),
    ]
}

/// A limit as Redis shows it: 0 for none.
fn shown_limit(bytes: usize) -> usize {
    if bytes == usize::MAX { 0 } else { bytes }
}

pub(super) const CONFIG: SessionCommand = SessionCommand::new(
    CommandSpec::new("config", Group::Server).arity(-2).since("2.0.0").summary("Commands about settings"),
);

pub(super) const CONFIG_GET: SessionCommand = SessionCommand::new(
    CommandSpec::new("config|get", Group::Server)
        .arity(-3)
        .flags(ADMIN | ANY_TIME)
        .since("2.0.0")
        .syntax("parameter [parameter ...]")
        .summary("Returns settings with their values"),
)
.run_async(boxed!(get));
async fn get(Call { session, args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let (mut found, mut rest) = (Vec::new(), settings(&session.context));
    for (number, pattern) in args.enumerate() {
        let pattern = pattern.to_ascii_lowercase();
        found.extend(rest.extract_if(.., |(name, _)| glob::matches(&pattern, name.as_bytes())));
        if number % ARGUMENTS_AT_ONCE == ARGUMENTS_AT_ONCE - 1 {
            yield_now().await;
        }
    }
    found.sort_unstable();
    let mut encoder = session.encoder(output);
    encoder.map(found.len());
    for (name, value) in found {
        encoder.bulk(name.as_bytes());
        encoder.bulk(value.as_bytes());
    }
    Ok(())
}

pub(super) const CONFIG_SET: SessionCommand = SessionCommand::new(
    CommandSpec::new("config|set", Group::Server)
        .arity(-4)
        .flags(ADMIN | ANY_TIME)
        .since("2.0.0")
        .syntax("parameter value [parameter value ...]")
        .summary("Changes settings at run time"),
)
.run(set);
/// Changes all the settings, or none.
fn set(session: &mut RespSession, args: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    if !args.count().is_multiple_of(2) {
        return Err(CommandError::Arity("config|set".into()).into());
    }
    let pairs = || args.step_by(2).zip(args.skip(1).step_by(2));
    let mut names = BTreeSet::new();
    if let Some((name, _)) = pairs().find(|(name, _)| !names.insert(name.to_ascii_lowercase())) {
        return Err(failed(name, "duplicate parameter"));
    }
    for (name, value) in pairs() {
        change(&session.context, name, value, false)?;
    }
    for (name, value) in pairs() {
        change(&session.context, name, value, true)?;
    }
    encoder.ok();
    Ok(())
}

/// The error of a change that is not made.
fn failed(name: &[u8], why: &str) -> SessionError {
    let before = "ERR CONFIG SET failed (possibly related to argument '";
    SessionError::quoting(before, &excerpt(name).to_ascii_lowercase(), &format!("') - {why}"))
}

/// Checks a change, and applies it if `apply` is set.
fn change(context: &ServerContext, name: &[u8], value: &[u8], apply: bool) -> Result<(), SessionError> {
    let failed = |why: &str| failed(name, why);
    let seconds = || {
        let seconds = parse_integer(value);
        let seconds = seconds.ok_or_else(|| failed("argument couldn't be parsed into an integer"))?;
        let seconds = u32::try_from(seconds).ok().filter(|seconds| *seconds < 1 << 31);
        seconds.ok_or_else(|| failed("argument must be between 0 and 2147483647 inclusive"))
    };
    let bytes = || {
        let bytes = std::str::from_utf8(value).ok().and_then(kv::syntax::byte_size::parse);
        bytes.ok_or_else(|| failed("argument must be a memory value"))
    };
    if name.eq_ignore_ascii_case(b"timeout") {
        let seconds = seconds()?;
        if apply {
            context.idle_seconds.store(seconds.into(), Relaxed);
        }
    } else if name.eq_ignore_ascii_case(b"tcp-keepalive") {
        let seconds = seconds()?;
        if apply {
            context.keepalive_seconds.store(seconds, Relaxed);
        }
    } else if name.eq_ignore_ascii_case(b"maxmemory-clients") {
        let bytes = bytes()?;
        if apply {
            context.memory.set_limit(if bytes == 0 { usize::MAX } else { bytes });
        }
    } else if name.eq_ignore_ascii_case(b"proto-max-bulk-len") {
        let (bytes, max) = (bytes()?, context.limits.redis.request_bytes);
        if !(MIN_BULK_BYTES..=max).contains(&bytes) {
            return Err(failed(&format!("argument must be between {MIN_BULK_BYTES} and {max} inclusive")));
        }
        if apply {
            context.bulk_bytes.store(bytes, Relaxed);
        }
    } else if name.eq_ignore_ascii_case(b"maxmemory") {
        let bytes = bytes()?;
        if apply {
            context.cluster.local().set_memory_limit(Some(bytes).filter(|bytes| *bytes > 0));
        }
    } else {
        let known =
            settings(context).into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
        let (_, now) = known.ok_or_else(|| {
            let before = "ERR Unknown option or number of arguments for CONFIG SET - '";
            SessionError::quoting(before, &excerpt(name).to_ascii_lowercase(), "'")
        })?;
        // Setting the current value again changes nothing.
        if now.as_bytes() != value {
            if name.eq_ignore_ascii_case(b"appendonly") && now == "no" {
                return Err(failed("this node has no data directory: start it with --data-dir DIR"));
            }
            return Err(failed("can't set immutable config"));
        }
    }
    Ok(())
}

/// The smallest `proto-max-bulk-len`, as in Redis.
const MIN_BULK_BYTES: usize = 1024 * 1024;

pub(super) const CONFIG_RESETSTAT: SessionCommand = SessionCommand::new(
    CommandSpec::new("config|resetstat", Group::Server)
        .arity(2)
        .flags(ADMIN | ANY_TIME)
        .since("2.0.0")
        .summary("Resets the counters"),
)
.run(resetstat);
fn resetstat(session: &mut RespSession, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    session.context.metrics.reset();
    session.context.clients.reset_totals();
    session.context.cluster.local().reset_counters();
    encoder.ok();
    Ok(())
}
