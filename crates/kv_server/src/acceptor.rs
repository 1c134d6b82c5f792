//! Accepts clients, and makes the supervisor of this crate. The port is bound once, before the supervisor is
//! started, so a restarted acceptor keeps it.

use crate::{
    connection,
    context::ServerContext,
    error::Error,
    limits::{KEEPALIVE_PROBES, Limits},
    metrics::Metrics,
    numbers,
    protocol::resp::command_table,
    reactor::ReactorPool,
};
use kv_cluster::Cluster;
use kv_metrics::MetricsRegistry;
use otp::{
    AcceptErrors, ChildSpec, LogLimiter, Stop, Strategy, Supervisor, TaskSupervisor, is_out_of_descriptors,
};
use rustix::net::sockopt;
use std::{
    io::{self, Write},
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream};

/// What a client beyond the limit receives, as from Redis. It has not said yet which protocol it speaks.
const AT_CAPACITY: &[u8] = b"-ERR max number of clients reached\r\n";

/// A server whose port is bound and whose supervisor is not started yet.
#[derive(Debug)]
pub struct BoundServer {
    /// The bound address, with the actual port if port 0 was requested.
    pub address: SocketAddr,
    listener: Arc<TcpListener>,
    context: Arc<ServerContext>,
}

/// Binds the address for clients. They are accepted once [`BoundServer::supervisor`] is started. INFO shows
/// the path of the configuration file; `stop_node` is cancelled when a client stops the node. The numbers of
/// clients are added to `registry`.
pub async fn bind(
    address: &str,
    cluster: Cluster,
    limits: Limits,
    config_file: Option<PathBuf>,
    stop_node: Stop,
    registry: &MetricsRegistry,
) -> Result<BoundServer, Error> {
    let error = |source| Error::Bind { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).await.map_err(error)?;
    let address = listener.local_addr().map_err(error)?;
    let metrics = Metrics::new(command_table().len());
    let context = ServerContext::new(cluster, limits, address, metrics);
    let context = Arc::new(ServerContext { config_file, stop_node, ..context });
    let counted = context.clone();
    registry.register(move |families| {
        let commands = command_table().specs().map(|spec| spec.name);
        numbers::families(&counted, commands, families);
    });
    Ok(BoundServer { address, listener: Arc::new(listener), context })
}

impl BoundServer {
    /// The supervisor `kv_server`: the reactors, the connections that they serve, and the acceptor of new
    /// ones. Connections outlive a crash of the acceptor.
    pub fn supervisor(&self) -> Supervisor {
        let connections = TaskSupervisor::new("connections", self.context.limits.connections);
        let reactors = ReactorPool::new(self.context.limits.io_uring, self.context.memory.clone());
        let acceptor = Arc::new(Acceptor {
            listener: self.listener.clone(),
            context: self.context.clone(),
            connections: connections.clone(),
            reactors: reactors.clone(),
            errors: AcceptErrors::new("clients"),
            refusals: LogLimiter::new("clients were refused", 1),
            spare: Mutex::default(),
        });
        let (counted, context) = (self.context.clone(), self.context.clone());
        let reactors = move |stop| {
            let counted = counted.clone();
            reactors.run(stop, move || counted.metrics.total_calls())
        };
        Supervisor::new("kv_server", Strategy::RestForOne)
            .child(ChildSpec::worker("reactors", reactors))
            .child(ChildSpec::tasks(connections))
            .child(ChildSpec::worker("acceptor", move |stop| acceptor.clone().run(stop)))
            .child(ChildSpec::worker("sampler", move |stop| context.clone().sample(stop)))
    }
}

/// Accepts clients, whatever the system is short of.
struct Acceptor {
    listener: Arc<TcpListener>,
    context: Arc<ServerContext>,
    connections: TaskSupervisor,
    reactors: ReactorPool,
    errors: AcceptErrors,
    refusals: LogLimiter,
    /// Closed when the process has no other descriptor left, so that a client can be refused instead of left
    /// waiting.
    spare: Mutex<Option<OwnedFd>>,
}

impl Acceptor {
    async fn run(self: Arc<Acceptor>, stop: Stop) -> Result<(), io::Error> {
        loop {
            self.keep_spare();
            let accepted = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.serve(stream, peer),
                Err(error) => {
                    if is_out_of_descriptors(&error) {
                        self.refuse_with_spare();
                    }
                    stop.run_until_cancelled(self.errors.pause(&error)).await;
                }
            }
        }
    }

    fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        if self.connections.count() >= self.context.limits.connections {
            return self.refuse(stream, peer);
        }
        tracing::debug!(%peer, "client connected");
        set_socket_options(&stream, self.context.keepalive_seconds.load(Relaxed));
        let context = self.context.clone();
        let serve = |stream| {
            self.connections
                .supervise_future(peer, move |stop| connection::serve(stream, peer, context, stop))
        };
        let served = stream.into_std().and_then(|socket| self.reactors.serve(socket, serve));
        if let Err(reason) = served
            && self.refusals.admit()
        {
            tracing::warn!(%peer, %reason, "client refused");
        }
    }

    /// Sends the reason and closes the connection, without waiting for the client.
    fn refuse(&self, stream: TcpStream, peer: SocketAddr) {
        self.context.metrics.rejected_connections.fetch_add(1, Relaxed);
        if let Ok(mut socket) = stream.into_std() {
            // A new connection has room for a line; one that the client has closed is lost anyway.
            drop(socket.write(AT_CAPACITY));
        }
        if self.refusals.admit() {
            let connections = self.context.limits.connections;
            let remedy = "raise max_connections, or the limit of open files that it has been lowered to";
            tracing::warn!(%peer, connections, remedy, "client refused: the maximum of clients is connected");
        }
    }

    /// Refuses one client with the descriptor that is kept for it.
    fn refuse_with_spare(&self) {
        drop(self.lock_spare().take());
        let accepted = self.listener.poll_accept(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(Ok((stream, peer))) = accepted {
            self.refuse(stream, peer);
        }
    }

    /// Another thread may have taken the descriptor while it was free: then the next free one is kept.
    fn keep_spare(&self) {
        let mut spare = self.lock_spare();
        if spare.is_none() {
            *spare = self.listener.as_fd().try_clone_to_owned().ok();
        }
    }

    fn lock_spare(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets what makes a socket better, and can do without.
fn set_socket_options(socket: &TcpStream, keepalive_seconds: u32) {
    socket.set_nodelay(true).ok();
    if keepalive_seconds > 0 {
        let silence = Duration::from_secs(keepalive_seconds.into());
        let interval = Duration::from_secs((keepalive_seconds / 3).max(1).into());
        sockopt::set_socket_keepalive(socket, true).ok();
        sockopt::set_tcp_keepidle(socket, silence).ok();
        sockopt::set_tcp_keepintvl(socket, interval).ok();
        sockopt::set_tcp_keepcnt(socket, KEEPALIVE_PROBES).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silent_clients_are_probed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let socket = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("a connection");
        set_socket_options(&socket, 0);
        assert_eq!(sockopt::socket_keepalive(&socket), Ok(false));
        set_socket_options(&socket, 300);
        assert_eq!(sockopt::socket_keepalive(&socket), Ok(true));
        assert_eq!(sockopt::tcp_keepidle(&socket), Ok(Duration::from_secs(300)));
        assert_eq!(sockopt::tcp_keepintvl(&socket), Ok(Duration::from_secs(100)));
        assert_eq!(sockopt::tcp_keepcnt(&socket), Ok(KEEPALIVE_PROBES));
    }
}
