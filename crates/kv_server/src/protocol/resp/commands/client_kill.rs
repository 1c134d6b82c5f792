//! CLIENT KILL: closes the connections of other clients, or of this one after the reply.

use super::table::{ANY_TIME, Call, SessionCommand, boxed};
use crate::{
    clients::Client,
    protocol::resp::{commands::client::ClientType, reply::error::SessionError},
};
use kv::{Args, CommandError, CommandSpec, Group, args::parse_integer, flag::ADMIN};
use std::net::SocketAddr;

pub(super) const CLIENT_KILL: SessionCommand = SessionCommand::new(
    CommandSpec::new("client|kill", Group::Connection)
        .arity(-3)
        .flags(ADMIN | ANY_TIME)
        .since("2.4.0")
        .syntax(
            "[ID client-id] [TYPE NORMAL|MASTER|REPLICA|PUBSUB] [USER username] [ADDR ip:port] \
             [LADDR ip:port] [SKIPME YES|NO] [MAXAGE seconds]",
        )
        .summary("Closes client connections; with one argument ip:port, the one from there"),
)
.run_async(boxed!(kill));
async fn kill(Call { session, args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let (filter, is_single) = match args.count() {
        1 => (Filter { peer: args.into_iter().next(), ..Filter::default() }, true),
        _ => (Filter::parse(args)?, false),
    };
    let (own, now_ms) = (session.client.id, kv::time::now_ms());
    let mut clients = session.context.clients.all();
    clients.retain(|client| {
        filter.matches(client, session.context.address, now_ms)
            && (is_single || !filter.skips_own || client.id != own)
    });
    for client in &clients {
        if client.id == own {
            session.closing = true;
        } else {
            session.context.clients.close(client);
        }
    }
    let mut encoder = session.encoder(output);
    match (is_single, clients.is_empty()) {
        (true, true) => return Err(SessionError::reply("ERR No such client")),
        (true, false) => encoder.ok(),
        (false, _) => encoder.integer(clients.len() as i64),
    }
    Ok(())
}

/// Which clients to close: those that match all that is given.
#[derive(Debug)]
struct Filter<'a> {
    id: Option<i64>,
    kind: Option<ClientType>,
    peer: Option<&'a [u8]>,
    local: Option<&'a [u8]>,
    max_age_seconds: Option<u64>,
    /// Not the client that asks.
    skips_own: bool,
}

impl Default for Filter<'_> {
    fn default() -> Self {
        Filter { id: None, kind: None, peer: None, local: None, max_age_seconds: None, skips_own: true }
    }
}

impl<'a> Filter<'a> {
    fn parse(mut args: Args<'a>) -> Result<Filter<'a>, SessionError> {
        let mut filter = Filter::default();
        while let Some(option) = args.next() {
            let value = args.next().ok_or(CommandError::Syntax)?;
            match option.to_ascii_lowercase().as_slice() {
                b"id" => filter.id = Some(positive(value, "client-id")?),
                b"maxage" if parse_integer(value).is_none() => {
                    return Err(SessionError::reply("ERR maxage is not an integer or out of range"));
                }
                b"maxage" => filter.max_age_seconds = Some(positive(value, "maxage")?.unsigned_abs()),
                b"type" => filter.kind = Some(ClientType::parse(value)?),
                b"addr" => filter.peer = Some(value),
                b"laddr" => filter.local = Some(value),
                // All clients are this user.
                b"user" if value == b"default" => {}
                b"user" => return Err(SessionError::quoting("ERR No such user '", value, "'")),
                b"skipme" if value.eq_ignore_ascii_case(b"yes") => filter.skips_own = true,
                b"skipme" if value.eq_ignore_ascii_case(b"no") => filter.skips_own = false,
                _ => return Err(CommandError::Syntax.into()),
            }
        }
        Ok(filter)
    }

    fn matches(&self, client: &Client, local: SocketAddr, now_ms: u64) -> bool {
        let is = |wanted: Option<&[u8]>, address: SocketAddr| {
            wanted.is_none_or(|wanted| wanted == address.to_string().as_bytes())
        };
        let age_seconds = now_ms.saturating_sub(client.connected_at_ms) / 1_000;
        self.id.is_none_or(|id| client.id as i64 == id)
            && self.kind.is_none_or(|kind| kind == ClientType::of(client))
            && self.max_age_seconds.is_none_or(|max| age_seconds >= max)
            && is(self.peer, client.peer)
            && is(self.local, local)
    }
}

/// A number above 0.
fn positive(value: &[u8], name: &str) -> Result<i64, SessionError> {
    let number = parse_integer(value).filter(|number| *number > 0);
    number.ok_or_else(|| SessionError::reply(format!("ERR {name} should be greater than 0")))
}
