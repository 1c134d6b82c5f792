//! One client: reads what has arrived, has it answered as a batch, and writes the replies at once.

use crate::{
    input::Input,
    output::Output,
    protocol::{Progress, Session},
    reactor::Stream,
    server::Server,
};
use otp::Stop;
use std::{
    future::{pending, poll_fn, ready},
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time;

/// Serves one client until it leaves, is told to leave, or the node stops.
pub(crate) async fn serve(stream: Stream, peer: SocketAddr, server: Arc<Server>, stop: Stop) {
    let ended = converse(&stream, peer, &server, stop).await.and(stream.flush().await);
    match ended {
        Ok(()) => tracing::debug!("connection closed"),
        Err(error) => tracing::debug!(%error, "connection lost"),
    }
}

async fn converse(stream: &Stream, peer: SocketAddr, server: &Arc<Server>, stop: Stop) -> io::Result<()> {
    let mut stopped = pin!(stop.cancelled());
    let mut input = Input::default();
    let mut output = Output::new(stream);
    let connected = server.clients.enter(peer);
    let mut session = None;
    loop {
        let listens = session.as_ref().is_some_and(Session::is_listening);
        let idle = server.idle().filter(|_| !session.as_ref().is_some_and(Session::is_subscribed));
        tokio::select! {
            biased;
            read = poll_fn(|_| input.poll_read(stream)) => {
                if read? == 0 { return Ok(()) }
            }
            still_open = next_events(&mut session, &mut output.bytes), if listens => {
                output.flush().await?;
                if still_open { continue } else { return Ok(()) }
            }
            () = silence(idle), if idle.is_some() => return Ok(()),
            () = &mut stopped => return Ok(()),
        }
        output.wake();
        let first = input.unread()[0];
        let session = session.get_or_insert_with(|| Session::begin(first, server, &connected.client));
        loop {
            let now = kv::time::now_ms();
            connected.client.heard.store(now, Relaxed);
            let progress = session.answer(now, &mut input, &mut output).await?;
            if progress != Progress::More || output.is_full() {
                output.flush().await?;
            }
            match progress {
                Progress::More => {}
                Progress::Starved => break,
                Progress::Close => return Ok(()),
            }
        }
        // One who always has something to ask hears what it has subscribed to all the same.
        if session.is_listening() && !next_events_if_any(session, &mut output).await? {
            return Ok(());
        }
        output.rest();
    }
}

async fn next_events(session: &mut Option<Session>, output: &mut Vec<u8>) -> bool {
    match session {
        Some(session) => session.next_events(output).await,
        None => pending().await,
    }
}

/// Writes what has come for the client by now, if anything; `false` as [`Session::next_events`] says it.
async fn next_events_if_any(session: &mut Session, output: &mut Output<'_>) -> io::Result<bool> {
    tokio::select! {
        biased;
        still_open = session.next_events(&mut output.bytes) => {
            output.flush().await?;
            Ok(still_open)
        }
        () = ready(()) => Ok(true),
    }
}

/// Waits until the client has been silent for too long.
async fn silence(allowed: Option<Duration>) {
    match allowed {
        Some(allowed) => time::sleep(allowed).await,
        None => pending().await,
    }
}
