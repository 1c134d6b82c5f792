//! The languages that clients speak. The first byte of a connection says which: `*` begins a command of Redis's protocol,
//! and no line of text.

mod end_reason;
mod progress;
pub(crate) mod resp;
pub(crate) mod text;

pub(crate) use progress::Progress;

use crate::{clients::Client, context::ServerContext, input::Input, output::Output};
use std::{io, sync::Arc};

/// A conversation in one of the languages.
pub(crate) enum Session {
    Text(text::Session),
    Resp(Box<resp::RespSession>),
}

impl Session {
    /// The conversation that begins with this byte.
    pub(crate) fn begin(first: u8, server: &Arc<ServerContext>, client: &Arc<Client>) -> Session {
        match first {
            b'*' => Session::Resp(Box::new(resp::RespSession::new(server.clone(), client.clone()))),
            _ => Session::Text(text::Session::new(server.cluster.clone(), server.limits)),
        }
    }

    /// Answers one batch of what the input holds, as of `now` in milliseconds since 1970.
    pub(crate) async fn answer(
        &mut self,
        now: u64,
        input: &mut Input,
        output: &mut Output<'_>,
    ) -> io::Result<Progress> {
        match self {
            Session::Text(session) => session.answer(now, input, output).await,
            Session::Resp(session) => session.answer(now, input, output).await,
        }
    }

    /// Waits for what the client has subscribed to and renders all that has come. `false`: it did not keep up, and the
    /// conversation is over. Without a subscription it waits for ever.
    pub(crate) async fn next_events(&mut self, output: &mut Vec<u8>) -> bool {
        match self {
            Session::Text(session) => session.next_events(output).await,
            Session::Resp(session) => session.next_events(output).await,
        }
    }

    /// Whether something may come that the client did not ask for just now.
    pub(crate) fn is_listening(&self) -> bool {
        match self {
            Session::Text(session) => session.is_subscribed(),
            Session::Resp(session) => session.is_listening(),
        }
    }

    /// Whether the client waits for what it has subscribed to, and so may be silent itself.
    pub(crate) fn is_subscribed(&self) -> bool {
        match self {
            Session::Text(session) => session.is_subscribed(),
            Session::Resp(session) => session.is_subscribed(),
        }
    }
}

#[cfg(test)]
mod tests;
