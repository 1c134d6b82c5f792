//! Accepts clients. The port is bound once, before supervision begins, so a restarted acceptor keeps it.

use crate::{
    Error, Limits, connection, protocol::resp::catalog, reactor::ReactorPool, server::Server, stats::Stats,
};
use kv_cluster::Cluster;
use otp::{ChildSpec, Stop, Strategy, Supervisor, TaskSupervisor};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, time};

/// A bound port that waits for its supervisor to be started.
#[derive(Debug)]
pub struct Listening {
    /// The address as bound: the real port where 0 was asked for.
    pub address: SocketAddr,
    listener: Arc<TcpListener>,
    server: Arc<Server>,
}

/// Binds the address for clients. They are accepted once [`Listening::supervisor`] is started.
pub async fn listen(address: &str, cluster: Cluster, limits: Limits) -> Result<Listening, Error> {
    let bind = |source| Error::Bind { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let server = Arc::new(Server::new(cluster, limits, address, Stats::new(catalog().specs().len())));
    Ok(Listening { address, listener: Arc::new(listener), server })
}

impl Listening {
    /// `kv_server`: the reactors, the connections that they serve and, after them, the acceptor that starts these.
    /// Connections outlive a crash of the acceptor.
    pub fn supervisor(&self) -> Supervisor {
        let connections = TaskSupervisor::new("connections", self.server.limits.connections);
        let reactors = ReactorPool::new(self.server.limits.io_uring);
        let acceptor = {
            let (listener, server) = (self.listener.clone(), self.server.clone());
            let (connections, reactors) = (connections.clone(), reactors.clone());
            ChildSpec::worker("acceptor", move |stop| {
                accept(listener.clone(), server.clone(), connections.clone(), reactors.clone(), stop)
            })
        };
        Supervisor::new("kv_server", Strategy::RestForOne)
            .child(ChildSpec::worker("reactors", move |stop| reactors.run(stop)))
            .child(ChildSpec::tasks(connections))
            .child(acceptor)
    }
}

/// How long to wait when the system has no descriptor left for a client.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

async fn accept(
    listener: Arc<TcpListener>,
    server: Arc<Server>,
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
                stream.set_nodelay(true).ok();
                let server = server.clone();
                let serve = |stream| {
                    connections
                        .supervise_future(peer, move |stop| connection::serve(stream, peer, server, stop))
                };
                if let Err(reason) = stream.into_std().and_then(|socket| reactors.serve(socket, serve)) {
                    tracing::warn!(%peer, %reason, "client refused");
                }
            }
            // What the next client can meet too: wait for others to leave. Anything else was this client's own.
            Err(error) if matches!(error.raw_os_error(), Some(23 | 24)) => {
                tracing::error!(%error, "cannot accept clients");
                time::sleep(OUT_OF_DESCRIPTORS).await;
            }
            Err(error) => tracing::debug!(%error, "client lost before it was accepted"),
        }
    }
}
