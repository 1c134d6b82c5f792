//! One client connection: reads what has arrived, executes it in batches, and writes the replies of a batch
//! together. The first byte decides the protocol: `*` begins a RESP command, never a line of text. A text
//! connection may become RESP later.

use crate::{
    clients::Client,
    context::ServerContext,
    limits::TURN,
    pipeline::{
        Next, batch,
        buffers::{Input, Output, ReplyBuffer},
        clock::BatchClock,
    },
    protocol::{resp::RespSession, text::TextSession},
    reactor::Stream,
};
use otp::Stop;
use std::{
    future::{pending, ready},
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{task::yield_now, time};

/// Serves one client until it disconnects, must be disconnected, or the node stops.
pub(crate) async fn serve(stream: Stream, peer: SocketAddr, context: Arc<ServerContext>, stop: Stop) {
    match run(&stream, peer, &context, stop).await {
        Ok(()) => tracing::debug!("connection closed"),
        Err(error) => tracing::debug!(%error, "connection lost"),
    }
}

async fn run(stream: &Stream, peer: SocketAddr, context: &Arc<ServerContext>, stop: Stop) -> io::Result<()> {
    let mut output = Output::new(stream);
    handle_connection(stream, peer, context, stop, &mut output).await?;
    output.finish().await
}

/// Answers the client until it disconnects, must be disconnected, or the node stops.
async fn handle_connection(
    stream: &Stream,
    peer: SocketAddr,
    context: &Arc<ServerContext>,
    stop: Stop,
    output: &mut Output<'_>,
) -> io::Result<()> {
    let mut stopped = pin!(stop.cancelled());
    let mut input = Input::new(stream.account());
    let registered = context.clients.register(peer, stream.account());
    let client = &registered.client;
    let mut session = None;
    loop {
        // A client that has unsubscribed may still have events queued, but the idle timeout applies again.
        let awaits_events = session.as_ref().is_some_and(Session::awaits_events);
        let timeout = context.idle_timeout();
        let idle = timeout.filter(|_| !session.as_ref().is_some_and(Session::is_subscribed));
        tokio::select! {
            biased;
            read = input.read(stream) => {
                match read? {
                    0 => return Ok(()),
                    bytes => client.count_received(bytes),
                }
            }
            still_open = next_events(&mut session, &mut output.bytes), if awaits_events => {
                output.flush().await?;
                client.set_sent(output.sent_bytes, output.writes);
                output.release_buffer();
                if still_open { continue } else { return Ok(()) }
            }
            () = sleep(idle), if idle.is_some() => return Ok(()),
            () = &mut stopped => return Ok(()),
        }
        output.acquire_buffer(timeout);
        // At least one byte has been read.
        let first = input.unparsed()[0];
        let session = session.get_or_insert_with(|| Session::begin(first, context, client));
        let mut clock = BatchClock::read();
        let mut turn = clock;
        loop {
            client.last_active_ms.store(clock.unix_ms(), Relaxed);
            let next = session.run_batch(context, &mut clock, &mut input, output).await?;
            if next != Next::Continue || output.is_full() {
                output.flush().await?;
                client.set_sent(output.sent_bytes, output.writes);
                clock = BatchClock::read();
            }
            match next {
                Next::Continue if clock.since(turn) < TURN => {}
                Next::Continue => {
                    yield_now().await;
                    clock = BatchClock::read();
                    turn = clock;
                }
                Next::NeedInput => break,
                Next::Close => return Ok(()),
            }
        }
        // The `select` above prefers input, so a client that never stops sending gets its events here.
        if session.awaits_events() && !poll_events(session, output).await? {
            return Ok(());
        }
        output.release_buffer();
    }
}

async fn next_events(session: &mut Option<Session>, output: &mut ReplyBuffer) -> bool {
    match session {
        Some(session) => session.next_events(output).await,
        None => pending().await,
    }
}

/// Writes the events that have arrived, if any; `false` as for [`Session::next_events`].
async fn poll_events(session: &mut Session, output: &mut Output<'_>) -> io::Result<bool> {
    tokio::select! {
        biased;
        still_open = session.next_events(&mut output.bytes) => {
            output.flush().await?;
            Ok(still_open)
        }
        () = ready(()) => Ok(true),
    }
}

async fn sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => time::sleep(duration).await,
        None => pending().await,
    }
}

/// A connection's session in one of the protocols.
pub(crate) enum Session {
    Text(TextSession),
    Resp(Box<RespSession>),
}

impl Session {
    /// The session of a connection whose first byte is `first`.
    pub(crate) fn begin(first: u8, context: &Arc<ServerContext>, client: &Arc<Client>) -> Session {
        match first {
            b'*' => Session::Resp(Box::new(RespSession::new(context.clone(), client.clone()))),
            _ => Session::Text(TextSession::new(context.clone(), client.clone())),
        }
    }

    /// Runs one batch of what `input` holds. `clock` was read just before, and is read again after it.
    pub(crate) async fn run_batch(
        &mut self,
        context: &ServerContext,
        clock: &mut BatchClock,
        input: &mut Input,
        output: &mut Output<'_>,
    ) -> io::Result<Next> {
        match self {
            Session::Text(session) => {
                let next = batch::run(context, session, clock, input, output).await;
                if let Some(session) = session.take_resp_session() {
                    *self = Session::Resp(session);
                }
                next
            }
            Session::Resp(session) => batch::run(context, &mut **session, clock, input, output).await,
        }
    }

    /// Waits for events of the client's subscriptions, and renders those that have arrived; waits forever
    /// without a subscription. `false`: the client did not keep up and must be disconnected.
    pub(crate) async fn next_events(&mut self, output: &mut ReplyBuffer) -> bool {
        match self {
            Session::Text(session) => session.next_events(output).await,
            Session::Resp(session) => session.next_events(output).await,
        }
    }

    /// Whether [`Session::next_events`] can return: there is a subscription, or was one with queued events.
    pub(crate) fn awaits_events(&self) -> bool {
        match self {
            Session::Text(session) => session.is_subscribed(),
            Session::Resp(session) => session.awaits_events(),
        }
    }

    /// Whether the client is subscribed to something, and so may be idle.
    pub(crate) fn is_subscribed(&self) -> bool {
        match self {
            Session::Text(session) => session.is_subscribed(),
            Session::Resp(session) => session.is_subscribed(),
        }
    }
}
