//! A release as its `main` describes it: a name, a version, and what it serves.

use crate::{
    config::{ClientLimits, Profile},
    error::Error,
};
use kv_cluster::Cluster;
use otp::Supervisor;
use std::{
    fmt::{self, Display},
    net::SocketAddr,
    pin::Pin,
};

/// A release, for [`main`](crate::main) to run.
pub struct Release {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) open_clients: Option<OpenClients>,
}

/// A face of the node: a bound port, and the supervisor of those who come to it.
pub struct Face {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) supervisor: Box<dyn FnMut() -> Supervisor + Send>,
}

/// Binds the port for clients.
pub(crate) type OpenClients = Box<dyn FnOnce(String, Cluster, ClientLimits) -> Opening>;
type Opening = Pin<Box<dyn Future<Output = Result<Face, Error>>>>;

impl Face {
    /// The application `name`, whose port is bound at `address`. `supervisor` is called at every start.
    pub fn new(
        name: &'static str,
        address: SocketAddr,
        supervisor: impl FnMut() -> Supervisor + Send + 'static,
    ) -> Face {
        Face { name, address, supervisor: Box::new(supervisor) }
    }
}

impl Release {
    /// A release that serves other nodes and its console.
    pub fn new(name: &'static str, version: &'static str) -> Release {
        Release { name, version, open_clients: None }
    }

    /// Lets the release take clients: `open` binds the configured address.
    #[must_use]
    pub fn clients<F, E>(mut self, open: impl FnOnce(String, Cluster, ClientLimits) -> F + 'static) -> Release
    where
        F: Future<Output = Result<Face, E>> + 'static,
        E: Display,
    {
        self.open_clients = Some(Box::new(|address, cluster, limits| {
            let opening = open(address, cluster, limits);
            Box::pin(async { opening.await.map_err(|error| Error::Clients(error.to_string())) })
        }));
        self
    }

    pub(crate) fn profile(&self) -> Profile {
        Profile { release: self.name, takes_clients: self.open_clients.is_some() }
    }
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Release({} {})", self.name, self.version)
    }
}
