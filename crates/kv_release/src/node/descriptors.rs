//! File descriptors: the process takes as many as it may have, and clients get what the node itself leaves.

use super::runtime;
use crate::{
    error::Error,
    limits::{ADMIN_CONNECTIONS, ADMIN_SHARE, CONTROL_CONNECTIONS, DESCRIPTORS_OF_THREAD, OWN_DESCRIPTORS},
};
use kv_cluster::Cluster;
use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one. Fails only where a system forbids that, which then
/// keeps its limit.
pub(super) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::info!(%error, "cannot raise the limit of open files");
    }
}

/// The number of HTTP connections: few, where few files may be open.
pub(super) fn admin_connections() -> usize {
    let limit = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
    limit.map_or(ADMIN_CONNECTIONS, |limit| ADMIN_CONNECTIONS.min(limit / ADMIN_SHARE))
}

/// The number of clients, up to `wanted`, whose sockets fit beside what the node itself needs, and beside
/// `admin_connections`.
pub(super) fn fit_clients(
    cluster: &Cluster,
    admin_connections: usize,
    wanted: usize,
) -> Result<usize, Error> {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return Ok(wanted) };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let reserved = OWN_DESCRIPTORS
        + CONTROL_CONNECTIONS
        + admin_connections
        + runtime::threads() * DESCRIPTORS_OF_THREAD
        + cluster.link_descriptors()
        + cluster.local().range_descriptors();
    let room = limit.saturating_sub(reserved);
    if room == 0 {
        return Err(Error::TooFewDescriptors { limit, reserved });
    }
    if room < wanted {
        tracing::warn!(
            max_connections = room,
            configured = wanted,
            open_files = limit,
            remedy = "raise the limit of open files (ulimit -n, or LimitNOFILE= of a systemd unit)",
            "max_connections is lowered to what fits"
        );
    }
    Ok(wanted.min(room))
}
