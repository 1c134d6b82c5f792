//! A release as its `main` describes it: a name, a version, and the services it offers.

use crate::{
    config::{ClientSettings, ReleaseProfile},
    error::Error,
};
use kv_cluster::Cluster;
use kv_metrics::MetricsRegistry;
use otp::{Stop, Supervisor};
use std::{
    fmt::{self, Display},
    net::SocketAddr,
    pin::Pin,
};

/// A release, for [`main`](crate::main) to run.
pub struct Release {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) bind_clients: Option<BindClients>,
}

/// An application that listens: its bound port and its supervisor.
pub struct Service {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) supervisor: Box<dyn FnMut() -> Supervisor + Send>,
}

/// Binds the port for clients.
pub(crate) type BindClients =
    Box<dyn FnOnce(String, Cluster, ClientSettings, Stop, MetricsRegistry) -> BindFuture>;
type BindFuture = Pin<Box<dyn Future<Output = Result<Service, Error>>>>;

impl Service {
    /// The application `name`, whose port is bound at `address`. `supervisor` is called at every start.
    pub fn new(
        name: &'static str,
        address: SocketAddr,
        supervisor: impl FnMut() -> Supervisor + Send + 'static,
    ) -> Service {
        Service { name, address, supervisor: Box::new(supervisor) }
    }
}

impl Release {
    /// A release with the store, links to other nodes, and a console.
    pub fn new(name: &'static str, version: &'static str) -> Release {
        Release { name, version, bind_clients: None }
    }

    /// Lets the release take clients: `bind` binds the configured address. It is also given what stops the
    /// node, and the registry to which it adds its numbers.
    #[must_use]
    pub fn clients<F, E>(
        mut self,
        bind: impl FnOnce(String, Cluster, ClientSettings, Stop, MetricsRegistry) -> F + 'static,
    ) -> Release
    where
        F: Future<Output = Result<Service, E>> + 'static,
        E: Display,
    {
        self.bind_clients = Some(Box::new(|address, cluster, settings, stop, registry| {
            let service = bind(address, cluster, settings, stop, registry);
            Box::pin(async { service.await.map_err(|error| Error::Clients(error.to_string())) })
        }));
        self
    }

    pub(crate) fn profile(&self) -> ReleaseProfile {
        ReleaseProfile { release: self.name, takes_clients: self.bind_clients.is_some() }
    }
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Release({} {})", self.name, self.version)
    }
}
