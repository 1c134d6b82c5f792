//! The LATENCY commands. The times of commands are recorded, as histograms; events of the server are not.

use super::{
    server::zero_reply,
    table::{ANY_TIME, Call, SessionCommand, boxed},
};
use crate::protocol::resp::{encoder::RespEncoder, reply::error::SessionError, session::RespSession};
use kv::{Args, CommandSpec, Group, flag::ADMIN};
use std::collections::HashSet;

pub(super) const LATENCY: SessionCommand = SessionCommand::new(
    CommandSpec::new("latency", Group::Server).arity(-2).since("2.8.13").summary("Commands about latencies"),
);

pub(super) const LATENCY_HISTOGRAM: SessionCommand = SessionCommand::new(
    CommandSpec::new("latency|histogram", Group::Server)
        .arity(-2)
        .flags(ADMIN | ANY_TIME)
        .since("7.0.0")
        .syntax("[command [command ...]]")
        .summary("Calls of commands by the microseconds that they took, in powers of two"),
)
.run_async(boxed!(histogram));
async fn histogram(Call { table, session, args, output }: Call<'_, '_>) -> Result<(), SessionError> {
    let named: HashSet<&str> = args.into_iter().filter_map(|arg| Some(table.find(arg)?.name)).collect();
    let is_named = |name: &str| {
        let container = name.split('|').next().unwrap_or(name);
        args.is_empty() || named.contains(name) || named.contains(container)
    };
    let commands = table.specs().zip(session.context.metrics.commands());
    let called: Vec<_> = commands.filter(|(spec, stats)| stats.calls > 0 && is_named(spec.name)).collect();
    let mut encoder = session.encoder(output);
    encoder.map(called.len());
    for (spec, stats) in called {
        encoder.bulk(spec.name.as_bytes());
        encoder.map(2);
        encoder.bulk(b"calls");
        encoder.integer(stats.calls as i64);
        encoder.bulk(b"histogram_usec");
        let powers = stats.latencies.by_powers_of_two();
        encoder.map(powers.len());
        for (micros, calls) in powers {
            encoder.integer(micros as i64);
            encoder.integer(calls as i64);
        }
    }
    Ok(())
}

pub(super) const LATENCY_LATEST: SessionCommand = SessionCommand::new(
    CommandSpec::new("latency|latest", Group::Server)
        .arity(2)
        .flags(ADMIN | ANY_TIME)
        .since("2.8.13")
        .summary("Returns an empty list: events are not recorded"),
)
.run(empty_list);

pub(super) const LATENCY_HISTORY: SessionCommand = SessionCommand::new(
    CommandSpec::new("latency|history", Group::Server)
        .arity(3)
        .flags(ADMIN | ANY_TIME)
        .since("2.8.13")
        .syntax("event")
        .summary("Returns an empty list: events are not recorded"),
)
.run(empty_list);
fn empty_list(_: &mut RespSession, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    encoder.array(0);
    Ok(())
}

pub(super) const LATENCY_GRAPH: SessionCommand = SessionCommand::new(
    CommandSpec::new("latency|graph", Group::Server)
        .arity(3)
        .flags(ADMIN | ANY_TIME)
        .since("2.8.13")
        .syntax("event")
        .summary("Always an error: events are not recorded"),
)
.run(graph);
fn graph(_: &mut RespSession, mut args: Args, _: &mut RespEncoder) -> Result<(), SessionError> {
    Err(SessionError::quoting("ERR No samples available for event '", args.required()?, "'"))
}

pub(super) const LATENCY_DOCTOR: SessionCommand = SessionCommand::new(
    CommandSpec::new("latency|doctor", Group::Server)
        .arity(2)
        .flags(ADMIN | ANY_TIME)
        .since("2.8.13")
        .summary("Says where latencies can be seen"),
)
.run(doctor);
fn doctor(_: &mut RespSession, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    encoder.verbatim(
        "Latency monitoring is disabled in this node: the times of commands are in LATENCY HISTOGRAM and INFO \
         latencystats.",
    );
    Ok(())
}

pub(super) const LATENCY_RESET: SessionCommand = SessionCommand::new(
    CommandSpec::new("latency|reset", Group::Server)
        .arity(-2)
        .flags(ADMIN | ANY_TIME)
        .since("2.8.13")
        .syntax("[event [event ...]]")
        .summary("Returns 0: events are not recorded"),
)
.run(zero_reply);
