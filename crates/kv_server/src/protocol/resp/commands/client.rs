//! Commands about the clients that are connected.

use super::{is, number, other};
use crate::{
    clients::Client,
    limits::CLIENT_NAME_BYTES,
    protocol::resp::{
        session::{Replies, Session},
        write::Writer,
    },
};
use kv::{Args, CommandError};
use std::{fmt::Write, sync::atomic::Ordering::Relaxed};

/// `CLIENT ID`
pub(in super::super) fn id(
    session: &mut Session,
    _: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    writer.number(session.client.id as i64);
    Ok(())
}

/// `CLIENT GETNAME`
pub(in super::super) fn getname(
    session: &mut Session,
    _: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    match &*session.client.info().name {
        [] => writer.nil(),
        name => writer.bulk(name),
    }
    Ok(())
}

/// `CLIENT SETNAME connection-name`
pub(in super::super) fn setname(
    session: &mut Session,
    mut args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    rename(session, args.next().ok_or(CommandError::Syntax)?)?;
    writer.ok();
    Ok(())
}

/// Gives the client a name, which CLIENT LIST can show.
pub(super) fn rename(session: &Session, name: &[u8]) -> Result<(), CommandError> {
    check(name, "ERR Client names cannot contain spaces, newlines or special characters.")?;
    session.client.info().name = name.into();
    Ok(())
}

fn check(name: &[u8], wrong: &str) -> Result<(), CommandError> {
    if name.len() > CLIENT_NAME_BYTES {
        return Err(other(&format!("ERR a client's name may have {CLIENT_NAME_BYTES} bytes")));
    }
    if name.iter().all(u8::is_ascii_graphic) { Ok(()) } else { Err(other(wrong)) }
}

/// `CLIENT SETINFO LIB-NAME libname|LIB-VER libver`
pub(in super::super) fn setinfo(
    session: &mut Session,
    mut args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    let (what, value) = args.next().zip(args.next()).ok_or(CommandError::Syntax)?;
    let shown = String::from_utf8_lossy(what);
    let wrong = format!("ERR {shown} cannot contain spaces, newlines or special characters.");
    let mut info = session.client.info();
    if is(what, "lib-name") {
        check(value, &wrong)?;
        info.library = value.into();
    } else if is(what, "lib-ver") {
        check(value, &wrong)?;
        info.library_version = value.into();
    } else {
        return Err(other(&format!("ERR Unrecognized option '{shown}'")));
    }
    writer.ok();
    Ok(())
}

/// `CLIENT INFO`
pub(in super::super) fn info(
    session: &mut Session,
    _: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    session.tell();
    writer.text(&line(session, &session.client));
    Ok(())
}

/// `CLIENT LIST [TYPE type] [ID client-id [client-id ...]]`
pub(in super::super) fn list(
    session: &mut Session,
    mut args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    session.tell();
    let mut clients = session.server.clients.all();
    match args.next() {
        None => {}
        Some(option) if is(option, "type") => {
            let kind = args.next().ok_or(CommandError::Syntax)?;
            let pubsub = is(kind, "pubsub");
            match kind.to_ascii_lowercase().as_slice() {
                b"normal" | b"pubsub" => clients.retain(|client| client.info().is_pubsub() == pubsub),
                b"master" | b"replica" | b"slave" => clients.clear(),
                _ => {
                    let kind = String::from_utf8_lossy(kind);
                    return Err(other(&format!("ERR Unknown client type '{kind}'")));
                }
            }
        }
        Some(option) if is(option, "id") && !args.is_empty() => {
            let ids = args.map(|id| number(Some(id)).ok_or_else(|| other("ERR Invalid client ID")));
            let ids: Vec<i64> = ids.collect::<Result<_, _>>()?;
            clients.retain(|client| ids.contains(&(client.id as i64)));
        }
        Some(_) => return Err(CommandError::Syntax),
    }
    let lines: String = clients.iter().map(|client| line(session, client)).collect();
    writer.text(&lines);
    Ok(())
}

/// One client as Redis describes it, as far as there is something to say.
fn line(session: &Session, client: &Client) -> String {
    let (now, info) = (kv::time::now_ms(), client.info().clone());
    let age = now.saturating_sub(client.connected_at_ms) / 1_000;
    let idle = now.saturating_sub(client.last_active_ms.load(Relaxed)) / 1_000;
    let multi = info.queued.map_or(-1, |queued| queued as i64);
    let flags = if info.is_pubsub() {
        "P"
    } else if multi >= 0 {
        "x"
    } else {
        "N"
    };
    let mut line = String::new();
    let _ = writeln!(
        line,
        "id={} addr={} laddr={} name={} age={age} idle={idle} flags={flags} db=0 sub={} psub={} multi={multi} user=default resp={} lib-name={} lib-ver={}",
        client.id,
        client.peer,
        session.server.address,
        String::from_utf8_lossy(&info.name),
        info.channels,
        info.patterns,
        info.resp,
        String::from_utf8_lossy(&info.library),
        String::from_utf8_lossy(&info.library_version),
    );
    line
}

/// `CLIENT NO-EVICT ON|OFF`: no client is ever evicted.
pub(in super::super) fn no_evict(
    _: &mut Session,
    args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    on_or_off(args, writer)
}

/// `CLIENT NO-TOUCH ON|OFF`: no key is ever evicted.
pub(in super::super) fn no_touch(
    _: &mut Session,
    args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    on_or_off(args, writer)
}

fn on_or_off(mut args: Args<'_>, writer: &mut Writer<'_>) -> Result<(), CommandError> {
    let word = args.next().ok_or(CommandError::Syntax)?;
    if !is(word, "on") && !is(word, "off") {
        return Err(CommandError::Syntax);
    }
    writer.ok();
    Ok(())
}

/// `CLIENT REPLY ON|OFF|SKIP`
pub(in super::super) fn reply(
    session: &mut Session,
    mut args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    let mode = args.next().ok_or(CommandError::Syntax)?;
    if is(mode, "on") {
        session.replies = Replies::On;
        writer.ok();
    } else if is(mode, "off") {
        session.replies = Replies::Off;
    } else if is(mode, "skip") {
        if session.replies == Replies::On {
            session.replies = Replies::SkipNext;
        }
    } else {
        return Err(CommandError::Syntax);
    }
    Ok(())
}

/// `CLIENT HELP`
pub(in super::super) fn help(
    _: &mut Session,
    _: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    const LINES: [&str; 10] = [
        "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GETNAME, SETNAME <name>",
        "    The name of this connection.",
        "ID, INFO",
        "    The number of this connection, and what is known of it.",
        "LIST [TYPE <type>] [ID <id> ...]",
        "    All connections.",
        "REPLY (ON|OFF|SKIP)",
        "    Whether commands of this connection are replied to.",
        "SETINFO (LIB-NAME|LIB-VER) <value>",
    ];
    writer.list(LINES.len());
    LINES.iter().for_each(|line| writer.word(line));
    Ok(())
}
