//! The protocols that clients speak. The first byte of a connection decides: `*` begins a RESP command, and no line of
//! text.

mod end_reason;
pub(crate) mod resp;
pub(crate) mod text;

use crate::{
    clients::Client,
    context::ServerContext,
    pipeline::{
        Next, batch,
        buffers::{Input, Output},
    },
};
use std::{io, sync::Arc};

/// A connection's session in one of the protocols.
pub(crate) enum Session {
    Text(text::TextSession),
    Resp(Box<resp::RespState>),
}

impl Session {
    /// The session of a connection that begins with the byte `first`.
    pub(crate) fn begin(first: u8, context: &Arc<ServerContext>, client: &Arc<Client>) -> Session {
        match first {
            b'*' => Session::Resp(Box::new(resp::RespState::new(context.clone(), client.clone()))),
            _ => Session::Text(text::TextSession::new(context.cluster.clone(), context.limits)),
        }
    }

    /// Answers one batch of what `input` holds, as of `now_ms` (Unix time).
    pub(crate) async fn answer(
        &mut self,
        context: &ServerContext,
        now_ms: u64,
        input: &mut Input,
        output: &mut Output<'_>,
    ) -> io::Result<Next> {
        match self {
            Session::Text(session) => batch::answer(&context.cluster, session, now_ms, input, output).await,
            Session::Resp(session) => {
                batch::answer(&context.cluster, &mut **session, now_ms, input, output).await
            }
        }
    }

    /// Waits for events of what the client is subscribed to and renders those that have arrived; waits for ever without
    /// a subscription. `false`: the client did not keep up, and is to be disconnected.
    pub(crate) async fn next_events(&mut self, output: &mut Vec<u8>) -> bool {
        match self {
            Session::Text(session) => session.next_events(output).await,
            Session::Resp(session) => session.next_events(output).await,
        }
    }

    /// Whether [`Session::next_events`] has something to wait for.
    pub(crate) fn awaits_events(&self) -> bool {
        match self {
            Session::Text(session) => session.is_subscribed(),
            Session::Resp(session) => session.awaits_events(),
        }
    }

    /// Whether the client is subscribed to something, and so need not send anything.
    pub(crate) fn is_subscribed(&self) -> bool {
        match self {
            Session::Text(session) => session.is_subscribed(),
            Session::Resp(session) => session.is_subscribed(),
        }
    }
}

#[cfg(test)]
mod tests;
