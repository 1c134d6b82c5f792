//! Accepts clients. The port is bound once, before the supervisor is started, so a restarted acceptor keeps
//! it.

use crate::{
    connection,
    context::ServerContext,
    error::Error,
    limits::{KEEPALIVE_PROBES, Limits},
    metrics::Metrics,
    protocol::resp::command_table,
    reactor::ReactorPool,
};
use kv_cluster::Cluster;
use otp::{ChildSpec, Stop, Strategy, Supervisor, TaskSupervisor};
use rustix::net::sockopt;
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time,
};

/// The pause when the system has no file descriptor left for a client.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

/// A server whose port is bound and whose supervisor is not started yet.
#[derive(Debug)]
pub struct BoundServer {
    /// The bound address, with the actual port if port 0 was requested.
    pub address: SocketAddr,
    listener: Arc<TcpListener>,
    context: Arc<ServerContext>,
}

/// Binds the address for clients. They are accepted once [`BoundServer::supervisor`] is started.
pub async fn bind(address: &str, cluster: Cluster, limits: Limits) -> Result<BoundServer, Error> {
    let error = |source| Error::Bind { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).await.map_err(error)?;
    let address = listener.local_addr().map_err(error)?;
    let metrics = Metrics::new(command_table().len());
    let context = Arc::new(ServerContext::new(cluster, limits, address, metrics));
    Ok(BoundServer { address, listener: Arc::new(listener), context })
}

impl BoundServer {
    /// The supervisor `kv_server`: the reactors, the connections that they serve, and the acceptor of new
    /// ones. Connections outlive a crash of the acceptor.
    pub fn supervisor(&self) -> Supervisor {
        let connections = TaskSupervisor::new("connections", self.context.limits.connections);
        let reactors = ReactorPool::new(self.context.limits.io_uring, self.context.memory.clone());
        let acceptor = {
            let (listener, context) = (self.listener.clone(), self.context.clone());
            let (connections, reactors) = (connections.clone(), reactors.clone());
            ChildSpec::worker("acceptor", move |stop| {
                accept(listener.clone(), context.clone(), connections.clone(), reactors.clone(), stop)
            })
        };
        Supervisor::new("kv_server", Strategy::RestForOne)
            .child(ChildSpec::worker("reactors", move |stop| reactors.run(stop)))
            .child(ChildSpec::tasks(connections))
            .child(acceptor)
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

async fn accept(
    listener: Arc<TcpListener>,
    context: Arc<ServerContext>,
    connections: TaskSupervisor,
    reactors: ReactorPool,
    stop: Stop,
) -> Result<(), io::Error> {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                tracing::debug!(%peer, "client connected");
                set_socket_options(&stream, context.keepalive_seconds.load(Relaxed));
                let context = context.clone();
                let serve = |stream| {
                    connections
                        .supervise_future(peer, move |stop| connection::serve(stream, peer, context, stop))
                };
                if let Err(reason) = stream.into_std().and_then(|socket| reactors.serve(socket, serve)) {
                    tracing::warn!(%peer, %reason, "client refused");
                }
            }
            // Without file descriptors, every client fails until others disconnect. Other errors concern only
            // this client.
            Err(error) if matches!(error.raw_os_error(), Some(23 | 24)) => {
                tracing::error!(%error, "cannot accept clients");
                time::sleep(OUT_OF_DESCRIPTORS).await;
            }
            Err(error) => tracing::debug!(%error, "client lost before it was accepted"),
        }
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
