//! Commands about the connection itself.

use super::{client, is, number, other};
use crate::protocol::resp::{
    session::{Replies, Session},
    write::{Version, Writer},
};
use kv::{Args, CommandError};

/// The version of Redis whose commands this server has; clients choose by it what they ask for.
pub(super) const REDIS_VERSION: &str = "7.2.0";

/// `PING [message]`
pub(in super::super) fn ping(
    session: &mut Session,
    mut args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    let message = args.next();
    if args.next().is_some() {
        return Err(CommandError::Arity("ping".into()));
    }
    match message {
        _ if session.is_subscribed() && session.version == Version::Resp2 => {
            writer.list(2);
            writer.bulk(b"pong");
            writer.bulk(message.unwrap_or_default());
        }
        Some(message) => writer.bulk(message),
        None => writer.word("PONG"),
    }
    Ok(())
}

/// `ECHO message`
pub(in super::super) fn echo(
    _: &mut Session,
    mut args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    writer.bulk(args.next().ok_or(CommandError::Syntax)?);
    Ok(())
}

/// `HELLO [protover [AUTH username password] [SETNAME clientname]]`
pub(in super::super) fn hello(
    session: &mut Session,
    mut args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    let version = match args.next().map(|version| number(Some(version))) {
        None => session.version,
        Some(Some(2)) => Version::Resp2,
        Some(Some(3)) => Version::Resp3,
        Some(None) => return Err(other("ERR Protocol version is not an integer or out of range")),
        Some(Some(_)) => return Err(other("NOPROTO unsupported protocol version")),
    };
    let mut name = None;
    while let Some(option) = args.next() {
        let wrong =
            || other(&format!("ERR Syntax error in HELLO option '{}'", String::from_utf8_lossy(option)));
        if is(option, "auth") {
            let (user, _) = args.next().zip(args.next()).ok_or_else(wrong)?;
            authenticate(user)?;
        } else if is(option, "setname") {
            name = Some(args.next().ok_or_else(wrong)?);
        } else {
            return Err(wrong());
        }
    }
    if let Some(name) = name {
        client::rename(session, name)?;
    }
    session.version = version;
    writer.version = version;
    let proto = if version == Version::Resp3 { 3 } else { 2 };
    session.client.info().resp = proto;
    writer.map(7);
    for (field, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        writer.bulk(field.as_bytes());
        writer.bulk(value.as_bytes());
    }
    writer.bulk(b"proto");
    writer.number(proto.into());
    writer.bulk(b"id");
    writer.number(session.client.id as i64);
    for (field, value) in [("mode", "standalone"), ("role", "master")] {
        writer.bulk(field.as_bytes());
        writer.bulk(value.as_bytes());
    }
    writer.bulk(b"modules");
    writer.list(0);
    Ok(())
}

/// `AUTH [username] password`: there are no users yet, and no passwords.
pub(in super::super) fn auth(
    _: &mut Session,
    mut args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    let (user, password) = (args.next(), args.next());
    if args.next().is_some() {
        return Err(CommandError::Syntax);
    }
    match (user, password) {
        (Some(user), Some(_)) => authenticate(user)?,
        _ => {
            return Err(other(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
            ));
        }
    }
    writer.ok();
    Ok(())
}

fn authenticate(user: &[u8]) -> Result<(), CommandError> {
    if user == b"default" {
        return Ok(());
    }
    Err(other("WRONGPASS invalid username-password pair or user is disabled."))
}

/// `SELECT index`: there is one database.
pub(in super::super) fn select(
    _: &mut Session,
    mut args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    match number(args.next()) {
        Some(0) => writer.ok(),
        Some(_) => return Err(other("ERR DB index is out of range")),
        None => return Err(CommandError::NotInteger),
    }
    Ok(())
}

/// `QUIT`
pub(in super::super) fn quit(
    session: &mut Session,
    _: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    session.closing = true;
    writer.ok();
    Ok(())
}

/// `RESET`: as if the client had just come.
pub(in super::super) fn reset(
    session: &mut Session,
    _: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    session.transaction.close();
    session.topics.clear();
    session.replies = Replies::On;
    session.version = Version::Resp2;
    {
        let mut info = session.client.info();
        info.name = Box::default();
        info.resp = 2;
    }
    session.tell();
    writer.version = Version::Resp2;
    writer.word("RESET");
    Ok(())
}
