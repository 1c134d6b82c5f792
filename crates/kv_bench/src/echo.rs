//! `kv_bench echo`: answers every batch of bytes with a prepared batch of replies. It parses and stores
//! nothing, so it shows the limit of the machine and its network stack.

use crate::{
    error::{Context, Error},
    interrupt::Interrupt,
    limits,
    load::require_loopback,
    workload::{Protocol, Workload},
};
use clap::Args;
use mio::{
    Events, Interest, Poll, Registry, Token,
    net::{TcpListener, TcpStream},
};
use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
};

#[derive(Debug, Clone, Args)]
pub(crate) struct Echo {
    /// Where to listen; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:0")]
    address: SocketAddr,
    #[command(flatten)]
    workload: Workload,
}

const LISTENER: Token = Token(usize::MAX);

/// Serves until interrupted.
pub(crate) fn serve(echo: &Echo, interrupt: &Interrupt) -> Result<(), Error> {
    require_loopback(echo.address)?;
    echo.workload.check()?;
    if echo.workload.protocol == Protocol::Etcd {
        return Err(Error::Unsupported("the echo has no --protocol etcd: replies depend on the request"));
    }
    let batch = echo.workload.requests().bytes() * echo.workload.pipeline;
    let replies = echo.workload.reply().repeat(echo.workload.pipeline);

    let mut poll = Poll::new().context("cannot create an epoll instance")?;
    let mut listener = TcpListener::bind(echo.address).context(format!("cannot bind {}", echo.address))?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)
        .context("cannot register the listener")?;
    println!("{}", listener.local_addr().context("cannot read the listener's address")?);

    let mut clients = HashMap::new();
    let mut events = Events::with_capacity(limits::EVENTS);
    let mut buffer = vec![0; limits::READ_BYTES];
    loop {
        match poll.poll(&mut events, Some(limits::POLL_TIMEOUT)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            polled => polled.context("cannot wait for sockets")?,
        }
        if interrupt.check().is_err() {
            return Ok(());
        }
        for event in &events {
            let token = event.token();
            if token == LISTENER {
                accept(&listener, poll.registry(), &mut clients)?;
            } else if let Some(client) = clients.get_mut(&token)
                && client.answer(batch, replies.as_bytes(), &mut buffer).is_err()
            {
                clients.remove(&token);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    registry: &Registry,
    clients: &mut HashMap<Token, Client>,
) -> Result<(), Error> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("cannot accept"),
        };
        // Clients beyond the limit are disconnected at once.
        let Some(token) = (0..limits::CONNECTIONS).map(Token).find(|token| !clients.contains_key(token))
        else {
            continue;
        };
        let both = Interest::READABLE | Interest::WRITABLE;
        let prepared = stream.set_nodelay(true).and_then(|()| registry.register(&mut stream, token, both));
        prepared.context("cannot register a socket")?;
        clients.insert(token, Client { stream, received: 0, unsent: 0 });
    }
}

/// One connection.
#[derive(Debug)]
struct Client {
    stream: TcpStream,
    /// Bytes of a batch that has not arrived completely.
    received: usize,
    /// Bytes of replies that the socket has not accepted yet.
    unsent: usize,
}

impl Client {
    /// Reads until the socket is empty and replies to complete batches. An error ends the connection.
    fn answer(&mut self, batch: usize, replies: &[u8], buffer: &mut [u8]) -> io::Result<()> {
        self.send(replies)?;
        // Reads no more until all replies are sent, so nothing accumulates.
        while self.unsent == 0 {
            let got = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.received += got;
            self.unsent = self.received / batch * replies.len();
            self.received %= batch;
            self.send(replies)?;
            if got < buffer.len() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn send(&mut self, replies: &[u8]) -> io::Result<()> {
        while self.unsent > 0 {
            let start = (replies.len() - self.unsent % replies.len()) % replies.len();
            match self.stream.write(&replies[start..]) {
                Ok(sent) => self.unsent -= sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
