//! Accepts connections and runs each of them, within limits. The port is bound once, before the supervisor is
//! started, so a restarted acceptor keeps it.

use crate::{
    context::Context,
    error::Error,
    hosts::Hosts,
    limits::{HEAD_BYTES, HEADER_TIMEOUT, HEADERS, RETRY_AFTER, STOP_WAIT},
    observer::{Observer, seen::About},
    router::router,
    write_deadline::WriteDeadline,
};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use kv_cluster::Cluster;
use kv_metrics::MetricsRegistry;
use otp::{AcceptErrors, ChildSpec, LogLimiter, Stop, Strategy, Supervisor, TaskSupervisor};
use std::{
    io::{self, Write},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// The settings of the port.
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// Where to listen, as `host:port`.
    pub address: String,
    /// Names of hosts that requests may be sent to, besides those that follow from the address and from the
    /// name of the node.
    pub hosts: Vec<String>,
    /// Connections at once; further ones are refused.
    pub connections: usize,
}

/// A port that is bound and whose supervisor is not started yet.
#[derive(Debug)]
pub struct BoundAdmin {
    /// The bound address, with the actual port if port 0 was requested.
    pub address: SocketAddr,
    listener: Arc<TcpListener>,
    connections: usize,
    context: Context,
}

/// Binds the address. It is served once [`BoundAdmin::supervisor`] is started. `draining` is cancelled when
/// the node begins to drain.
pub async fn bind(
    settings: AdminSettings,
    cluster: Cluster,
    registry: MetricsRegistry,
    about: About,
    draining: Stop,
) -> Result<BoundAdmin, Error> {
    let AdminSettings { address, hosts, connections } = settings;
    let error = |source| Error::Bind { address: address.clone(), source };
    let listener = TcpListener::bind(&address).await.map_err(error)?;
    let hosts = Arc::new(Hosts::new(cluster.node_name().host(), &address, &hosts));
    let address = listener.local_addr().map_err(error)?;
    let observer = Observer::new(cluster.clone(), registry.clone(), about, draining.clone());
    let context = Context { cluster, registry, draining, observer, hosts };
    Ok(BoundAdmin { address, listener: Arc::new(listener), connections, context })
}

impl BoundAdmin {
    /// The supervisor `admin`: the connections, and the acceptor of new ones.
    pub fn supervisor(&self) -> Supervisor {
        let connections = TaskSupervisor::new("connections", self.connections);
        let acceptor = Arc::new(Acceptor {
            listener: self.listener.clone(),
            router: router(self.context.clone()),
            max_connections: self.connections,
            connections: connections.clone(),
            errors: AcceptErrors::new("HTTP connections"),
            refusals: LogLimiter::new("HTTP connections were refused", 1),
        });
        let observer = self.context.observer.clone();
        Supervisor::new("admin", Strategy::RestForOne)
            .child(ChildSpec::worker("observer", move |stop| observer.clone().run(stop)))
            .child(ChildSpec::tasks(connections))
            .child(ChildSpec::worker("acceptor", move |stop| acceptor.clone().run(stop)))
    }
}

struct Acceptor {
    listener: Arc<TcpListener>,
    router: Router,
    max_connections: usize,
    connections: TaskSupervisor,
    errors: AcceptErrors,
    refusals: LogLimiter,
}

impl Acceptor {
    async fn run(self: Arc<Acceptor>, stop: Stop) -> io::Result<()> {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => self.serve(socket, peer),
                Err(error) => {
                    stop.run_until_cancelled(self.errors.pause(&error)).await;
                }
            }
        }
    }

    fn serve(&self, socket: TcpStream, peer: SocketAddr) {
        if self.connections.count() >= self.max_connections {
            return self.refuse(socket, peer);
        }
        let router = self.router.clone();
        // It fails only when the port is being stopped.
        let spawned = self.connections.spawn(peer, move |stop| serve_connection(socket, router, stop));
        drop(spawned);
    }

    /// Says why, and closes the connection, without waiting for the client.
    fn refuse(&self, socket: TcpStream, peer: SocketAddr) {
        if let Ok(mut socket) = socket.into_std() {
            let body = r#"{"error":"too many connections"}"#;
            let response = format!(
                "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                 Retry-After: {RETRY_AFTER}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            // A new connection has room for it; one that the client has closed is lost anyway.
            drop(socket.write(response.as_bytes()));
        }
        if self.refusals.admit() {
            let connections = self.max_connections;
            tracing::warn!(%peer, connections, "HTTP connection refused: too many are open");
        }
    }
}

async fn serve_connection(socket: TcpStream, router: Router, stop: Stop) {
    // Without it responses wait for the acknowledgement of what was sent before; it can do without.
    socket.set_nodelay(true).ok();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(WriteDeadline::new(socket)), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            timeout(STOP_WAIT, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "HTTP connection failed");
    }
}
