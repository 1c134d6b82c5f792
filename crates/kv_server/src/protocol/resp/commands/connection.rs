//! Commands about the connection itself.

use super::{
    client,
    table::{ANY_TIME, Call, SessionCommand, boxed},
};
use crate::{
    pipeline::{buffers::Output, router},
    protocol::resp::{
        encoder::{RespEncoder, RespVersion},
        reply::error::SessionError,
        session::{ReplyMode, RespSession},
    },
};
use kv::{Args, CommandError, CommandSpec, Database, Group, LargeValue, args::parse_integer, flag::NO_AUTH};

/// The version of Redis that this server reports to clients: from it on, they let fields expire.
/// docs/protocol.md says why it is not a later one.
pub(super) const REDIS_VERSION: &str = "7.4.0";

pub(super) const PING: SessionCommand = SessionCommand::new(
    CommandSpec::new("ping", Group::Connection)
        .arity(-1)
        .fast()
        .since("1.0.0")
        .syntax("[message]")
        .summary("Returns PONG, or the message"),
)
.allowed_while_subscribed()
.run_async(boxed!(ping));
async fn ping(Call { session, mut args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let message = args.next();
    if args.next().is_some() {
        return Err(CommandError::Arity("ping".into()).into());
    }
    if session.is_subscribed_in_resp2() {
        let mut encoder = session.encoder(output);
        encoder.array(2);
        encoder.bulk(b"pong");
        return write_message(session, message.unwrap_or_default(), output).await;
    }
    match message {
        Some(message) => write_message(session, message, output).await?,
        None => session.encoder(output).simple_string("PONG"),
    }
    Ok(())
}

/// Writes what the client has sent; other connections of this thread run between the pieces of a large
/// message.
async fn write_message(
    session: &RespSession,
    message: &[u8],
    output: &mut Output<'_>,
) -> Result<(), SessionError> {
    match LargeValue::holds(message.len()) {
        true => {
            let copy = router::copy_in_pieces(message).await?;
            session.encoder(output).large_bulk(&copy);
        }
        false => session.encoder(output).bulk(message),
    }
    Ok(())
}

pub(super) const ECHO: SessionCommand = SessionCommand::new(
    CommandSpec::new("echo", Group::Connection)
        .arity(2)
        .flags(ANY_TIME)
        .fast()
        .since("1.0.0")
        .syntax("message")
        .summary("Returns the message"),
)
.run_async(boxed!(echo));
async fn echo(Call { session, mut args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    write_message(session, args.required()?, output).await
}

pub(super) const HELLO: SessionCommand = SessionCommand::new(
    CommandSpec::new("hello", Group::Connection)
        .arity(-1)
        .flags(ANY_TIME | NO_AUTH)
        .fast()
        .since("6.0.0")
        .syntax("[protover [AUTH username password] [SETNAME clientname]]")
        .summary("Chooses RESP2 or RESP3, and describes the server"),
)
.run(hello);
fn hello(session: &mut RespSession, mut args: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    let version = match args.next().map(parse_integer) {
        None => session.version,
        Some(Some(2)) => RespVersion::Resp2,
        Some(Some(3)) => RespVersion::Resp3,
        Some(None) => {
            return Err(SessionError::reply("ERR Protocol version is not an integer or out of range"));
        }
        Some(Some(_)) => return Err(SessionError::reply("NOPROTO unsupported protocol version")),
    };
    let mut name = None;
    while let Some(option) = args.next() {
        let wrong = || SessionError::quoting("ERR Syntax error in HELLO option '", option, "'");
        if option.eq_ignore_ascii_case(b"auth") {
            let (user, _) = args.next().zip(args.next()).ok_or_else(wrong)?;
            authenticate(user)?;
        } else if option.eq_ignore_ascii_case(b"setname") {
            name = Some(args.next().ok_or_else(wrong)?);
        } else {
            return Err(wrong());
        }
    }
    if let Some(name) = name {
        client::set_name(session, name)?;
    }
    session.version = version;
    encoder.version = version;
    encoder.map(7);
    for (field, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        encoder.bulk(field.as_bytes());
        encoder.bulk(value.as_bytes());
    }
    encoder.bulk(b"proto");
    encoder.integer(version.number().into());
    encoder.bulk(b"id");
    encoder.integer(session.client.id as i64);
    for (field, value) in [("mode", "standalone"), ("role", "master")] {
        encoder.bulk(field.as_bytes());
        encoder.bulk(value.as_bytes());
    }
    encoder.bulk(b"modules");
    encoder.array(0);
    Ok(())
}

pub(super) const AUTH: SessionCommand = SessionCommand::new(
    CommandSpec::new("auth", Group::Connection)
        .arity(-2)
        .flags(ANY_TIME | NO_AUTH)
        .fast()
        .since("1.0.0")
        .syntax("[username] password")
        .summary("Authenticates the client; there are no passwords yet"),
)
.run(auth);
fn auth(_: &mut RespSession, mut args: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    let (user, password) = (args.next(), args.next());
    if args.next().is_some() {
        return Err(CommandError::Syntax.into());
    }
    match (user, password) {
        (Some(user), Some(_)) => authenticate(user)?,
        _ => {
            return Err(SessionError::reply(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
            ));
        }
    }
    encoder.ok();
    Ok(())
}

fn authenticate(user: &[u8]) -> Result<(), SessionError> {
    if user == b"default" {
        return Ok(());
    }
    Err(SessionError::reply("WRONGPASS invalid username-password pair or user is disabled."))
}

pub(super) const SELECT: SessionCommand = SessionCommand::new(
    CommandSpec::new("select", Group::Connection)
        .arity(2)
        .flags(ANY_TIME)
        .fast()
        .since("1.0.0")
        .syntax("index")
        .summary("Selects the database of the connection"),
)
.run(select);
fn select(session: &mut RespSession, args: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    session.select(selected_database(args)?);
    encoder.ok();
    Ok(())
}

/// The database that SELECT with these arguments chooses.
pub(super) fn selected_database(mut args: Args) -> Result<Database, CommandError> {
    let index = args.next().and_then(parse_integer).ok_or(CommandError::NotInteger)?;
    usize::try_from(index).ok().and_then(Database::new).ok_or(CommandError::DatabaseIndex)
}

pub(super) const QUIT: SessionCommand = SessionCommand::new(
    CommandSpec::new("quit", Group::Connection)
        .arity(-1)
        .flags(ANY_TIME | NO_AUTH)
        .fast()
        .since("1.0.0")
        .summary("Closes the connection after OK"),
)
.allowed_while_subscribed()
.never_queued()
.run(quit);
fn quit(session: &mut RespSession, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    session.closing = true;
    encoder.ok();
    Ok(())
}

pub(super) const RESET: SessionCommand = SessionCommand::new(
    CommandSpec::new("reset", Group::Connection)
        .flags(ANY_TIME | NO_AUTH)
        .fast()
        .since("6.2.0")
        .summary("Resets the connection state"),
)
.allowed_while_subscribed()
.never_queued()
.run(reset);
fn reset(session: &mut RespSession, _: Args, encoder: &mut RespEncoder) -> Result<(), SessionError> {
    session.transaction.discard();
    session.subscriptions.clear();
    session.reply_mode = ReplyMode::On;
    session.version = RespVersion::Resp2;
    session.select(Database::ZERO);
    session.client.info().name = Box::default();
    encoder.version = RespVersion::Resp2;
    encoder.simple_string("RESET");
    Ok(())
}
