//! The CLIENT commands: about this connection, and the list of all.

use super::table::{ANY_TIME, Call, CommandTable, SessionCommand, boxed};
use crate::{
    clients::{Client, SessionNumbers},
    limits::{ARGUMENTS_AT_ONCE, CLIENT_NAME_BYTES},
    memory::Use,
    protocol::resp::{
        encoder::RespEncoder,
        reply::error::SessionError,
        session::{ReplyMode, RespSession},
    },
};
use kv::{
    Args, CommandError, CommandSpec, Group,
    args::parse_integer,
    flag::{ADMIN, NO_MULTI},
};
use std::{collections::BTreeSet, fmt::Write, sync::atomic::Ordering::Relaxed};
use tokio::task::yield_now;

pub(super) const CLIENT: SessionCommand = SessionCommand::new(
    CommandSpec::new("client", Group::Connection)
        .arity(-2)
        .since("2.4.0")
        .summary("Commands about client connections"),
);

pub(super) const CLIENT_ID: SessionCommand = SessionCommand::new(
    CommandSpec::new("client|id", Group::Connection)
        .arity(2)
        .flags(ANY_TIME)
        .since("5.0.0")
        .summary("Returns the id of the connection"),
)
.run(id);
fn id(session: &mut RespSession, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    encoder.integer(session.client.id as i64);
    Ok(())
}

pub(super) const CLIENT_GETNAME: SessionCommand = SessionCommand::new(
    CommandSpec::new("client|getname", Group::Connection)
        .arity(2)
        .flags(ANY_TIME)
        .since("2.6.9")
        .summary("Returns the name of the connection"),
)
.run(getname);
fn getname(session: &mut RespSession, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    match &*session.client.info().name {
        [] => encoder.null(),
        name => encoder.bulk(name),
    }
    Ok(())
}

pub(super) const CLIENT_SETNAME: SessionCommand = SessionCommand::new(
    CommandSpec::new("client|setname", Group::Connection)
        .arity(3)
        .flags(ANY_TIME)
        .since("2.6.9")
        .syntax("connection-name")
        .summary("Names the connection"),
)
.run(setname);
fn setname(session: &mut RespSession, mut args: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    set_name(session, args.required()?)?;
    encoder.ok();
    Ok(())
}

/// Sets the name that CLIENT LIST shows.
pub(super) fn set_name(session: &RespSession, name: &[u8]) -> Result<(), SessionError> {
    check_client_name(name, || {
        SessionError::reply("ERR Client names cannot contain spaces, newlines or special characters.")
    })?;
    session.client.info().name = name.into();
    Ok(())
}

/// Checks a text for CLIENT LIST; `invalid` is the error if it contains characters that are not allowed
/// there.
fn check_client_name(name: &[u8], invalid: impl FnOnce() -> SessionError) -> Result<(), SessionError> {
    if name.len() > CLIENT_NAME_BYTES {
        return Err(SessionError::reply(format!("ERR a client's name may have {CLIENT_NAME_BYTES} bytes")));
    }
    if name.iter().all(u8::is_ascii_graphic) { Ok(()) } else { Err(invalid()) }
}

pub(super) const CLIENT_SETINFO: SessionCommand = SessionCommand::new(
    CommandSpec::new("client|setinfo", Group::Connection)
        .arity(4)
        .flags(ANY_TIME)
        .since("7.2.0")
        .syntax("LIB-NAME libname|LIB-VER libver")
        .summary("Sets the name or version of the client library"),
)
.run(setinfo);
fn setinfo(session: &mut RespSession, mut args: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    let (what, value) = args.next().zip(args.next()).ok_or(CommandError::Syntax)?;
    let invalid =
        || SessionError::quoting("ERR ", what, " cannot contain spaces, newlines or special characters.");
    let mut info = session.client.info();
    if what.eq_ignore_ascii_case(b"lib-name") {
        check_client_name(value, invalid)?;
        info.library = value.into();
    } else if what.eq_ignore_ascii_case(b"lib-ver") {
        check_client_name(value, invalid)?;
        info.library_version = value.into();
    } else {
        return Err(SessionError::quoting("ERR Unrecognized option '", what, "'"));
    }
    encoder.ok();
    Ok(())
}

pub(super) const CLIENT_INFO: SessionCommand = SessionCommand::new(
    CommandSpec::new("client|info", Group::Connection)
        .arity(2)
        .flags(ANY_TIME)
        .since("6.2.0")
        .summary("Describes this connection, as CLIENT LIST does"),
)
.run_async(boxed!(info));
async fn info(Call { table, session, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    session.encoder(output).verbatim(&client_list_line(table, session, &session.client));
    Ok(())
}

pub(super) const CLIENT_LIST: SessionCommand = SessionCommand::new(
    CommandSpec::new("client|list", Group::Connection)
        .arity(-2)
        .flags(ADMIN | ANY_TIME)
        .since("2.4.0")
        .syntax("[TYPE NORMAL|MASTER|REPLICA|PUBSUB] [ID client-id [client-id ...]]")
        .summary("Lists client connections, one per line"),
)
.run_async(boxed!(list));
async fn list(Call { table, session, mut args, output }: Call<'_, '_>) -> Result<(), SessionError> {
    let mut clients = session.context.clients.all();
    while let Some(option) = args.next() {
        if option.eq_ignore_ascii_case(b"type") {
            let kind = ClientType::parse(args.required()?)?;
            clients.retain(|client| ClientType::of(client) == kind);
        } else if option.eq_ignore_ascii_case(b"id") && !args.is_empty() {
            let mut ids = BTreeSet::new();
            while let Some(id) = args.next_if(|id| !id.eq_ignore_ascii_case(b"type")) {
                let id = parse_integer(id).filter(|id| *id > 0);
                ids.insert(id.ok_or_else(|| SessionError::reply("ERR Invalid client ID"))?);
            }
            clients.retain(|client| ids.contains(&(client.id as i64)));
        } else {
            return Err(CommandError::Syntax.into());
        }
    }
    let mut lines = String::new();
    for (number, client) in clients.iter().enumerate() {
        if number > 0 && number.is_multiple_of(ARGUMENTS_AT_ONCE) {
            yield_now().await;
        }
        lines += &client_list_line(table, session, client);
    }
    session.encoder(output).verbatim(&lines);
    Ok(())
}

/// The types that clients can be chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientType {
    Normal,
    Pubsub,
    /// A master or a replica: there are none.
    Replication,
}

impl ClientType {
    pub(super) fn parse(name: &[u8]) -> Result<ClientType, SessionError> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(ClientType::Normal),
            b"pubsub" => Ok(ClientType::Pubsub),
            b"master" | b"replica" | b"slave" => Ok(ClientType::Replication),
            _ => Err(SessionError::quoting("ERR Unknown client type '", name, "'")),
        }
    }

    pub(super) fn of(client: &Client) -> ClientType {
        if client.session.is_pubsub() { ClientType::Pubsub } else { ClientType::Normal }
    }
}

/// One client as Redis describes it. There is one buffer in each direction, which grows and is given back as
/// a whole: neither has a part of its own that is free or fixed, and arguments are read where they arrived.
fn client_list_line(table: &CommandTable, session: &RespSession, client: &Client) -> String {
    let (now, info, numbers) = (kv::time::now_ms(), client.info().clone(), &client.session);
    let age = now.saturating_sub(client.connected_at_ms) / 1_000;
    let idle = now.saturating_sub(client.last_active_ms.load(Relaxed)) / 1_000;
    let queued = numbers.queued.load(Relaxed);
    let traffic = client.traffic();
    // Of the client that asks, it is this one.
    let own = session.uncounted.last().filter(|_| client.id == session.client.id).map(|(index, _)| *index);
    let command = own.or(client.last_command()).map_or("NULL", |index| table.get(index).spec().name);
    let output = client.account.held_for(Use::Output);
    let events = if output > 0 { "rw" } else { "r" };
    let mut line = String::new();
    let _ = writeln!(
        line,
        "id={} addr={} laddr={} fd={} name={} age={age} idle={idle} flags={} db={} sub={} psub={} ssub=0 multi={} watch={} qbuf={} qbuf-free=0 argv-mem=0 multi-mem={} rbs=0 rbp=0 obl={output} oll=0 omem={output} tot-mem={} events={events} cmd={command} user=default redir=-1 resp={} lib-name={} lib-ver={} tot-net-in={} tot-net-out={} tot-cmds={}",
        client.id,
        client.peer,
        session.context.address,
        client.account.descriptor(),
        String::from_utf8_lossy(&info.name),
        flags(numbers),
        numbers.database.load(Relaxed),
        numbers.channels.load(Relaxed),
        numbers.patterns.load(Relaxed),
        queued as i64 - 1,
        numbers.watched.load(Relaxed),
        client.account.held_for(Use::Input),
        numbers.queued_bytes.load(Relaxed),
        client.account.held(),
        numbers.resp.load(Relaxed),
        String::from_utf8_lossy(&info.library),
        String::from_utf8_lossy(&info.library_version),
        traffic.received,
        traffic.sent,
        client.commands(),
    );
    line
}

/// `P`: subscribed, `x`: within MULTI, `N`: neither.
fn flags(numbers: &SessionNumbers) -> String {
    let flags = [(numbers.is_pubsub(), 'P'), (numbers.queued.load(Relaxed) > 0, 'x')];
    let set: String = flags.into_iter().filter_map(|(is_set, flag)| is_set.then_some(flag)).collect();
    if set.is_empty() { "N".to_owned() } else { set }
}

pub(super) const CLIENT_NO_EVICT: SessionCommand = SessionCommand::new(
    CommandSpec::new("client|no-evict", Group::Connection)
        .arity(3)
        .flags(ADMIN | ANY_TIME)
        .since("7.0.0")
        .syntax("ON|OFF")
        .summary("Accepted without effect: the client can be evicted"),
)
.run(no_evict);
fn no_evict(_: &mut RespSession, args: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    on_or_off(args, encoder)
}

pub(super) const CLIENT_NO_TOUCH: SessionCommand = SessionCommand::new(
    CommandSpec::new("client|no-touch", Group::Connection)
        .arity(3)
        .flags(ANY_TIME)
        .since("7.2.0")
        .syntax("ON|OFF")
        .summary("Accepted; accesses to keys are not recorded"),
)
.run(no_touch);
fn no_touch(_: &mut RespSession, args: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    on_or_off(args, encoder)
}

fn on_or_off(mut args: Args<'_>, encoder: &mut RespEncoder<'_>) -> Result<(), SessionError> {
    let word = args.required()?;
    if !word.eq_ignore_ascii_case(b"on") && !word.eq_ignore_ascii_case(b"off") {
        return Err(CommandError::Syntax.into());
    }
    encoder.ok();
    Ok(())
}

pub(super) const CLIENT_REPLY: SessionCommand = SessionCommand::new(
    CommandSpec::new("client|reply", Group::Connection)
        .arity(3)
        .flags(ANY_TIME | NO_MULTI)
        .since("3.2.0")
        .syntax("ON|OFF|SKIP")
        .summary("Turns replies to this connection on or off"),
)
.run(reply);
fn reply(session: &mut RespSession, mut args: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    let mode = args.required()?;
    if mode.eq_ignore_ascii_case(b"on") {
        session.reply_mode = ReplyMode::On;
        encoder.ok();
    } else if mode.eq_ignore_ascii_case(b"off") {
        session.reply_mode = ReplyMode::Off;
    } else if mode.eq_ignore_ascii_case(b"skip") {
        if session.reply_mode != ReplyMode::Off {
            session.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(CommandError::Syntax.into());
    }
    Ok(())
}
