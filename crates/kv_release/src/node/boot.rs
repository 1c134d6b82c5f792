//! Brings a node up in this order: storage, links, services, console, and then the supervision tree. All
//! ports are bound before the tree starts, so a port in use is one clear error and nothing is half-started.

use super::{descriptors, numbers, runtime};
use crate::{
    config::{AdminAddress, NodeTable, Settings},
    console::{ConfiguredNode, Node, difference},
    control::{run_dir::RunDir, server},
    error::Error,
    release::{Release, Service},
};
use kv_admin::{About, AdminSettings, BoundAdmin};
use kv_cluster::{Cluster, Cookie, Membership, Routes, StoreSettings, differences};
use kv_metrics::MetricsRegistry;
use otp::{ChildSpec, Intensity, Stop, Strategy, Supervisor, SupervisorHandle};
use std::{net::SocketAddr, sync::Arc, time::SystemTime};
use tokio::sync::watch;

/// A node that is up.
pub(crate) struct Running {
    pub(crate) node: Arc<Node>,
    pub(crate) root: SupervisorHandle,
}

/// Brings up the whole node.
pub(super) async fn boot(
    release: Release,
    settings: &Settings,
    joined: Option<Membership>,
    run_dir: &RunDir,
) -> Result<Running, Error> {
    let Release { name, version, bind_clients } = release;
    let cluster = cluster(kv_cluster::Settings { joined, ..cluster_settings(settings) })?;
    cluster.bind().await.map_err(|error| Error::Link(error.to_string()))?;
    let (stop, draining, registry) = (Stop::new(), Stop::new(), MetricsRegistry::default());
    let about = About { release: name, version };
    let admin = bind_admin(settings, &cluster, &registry, about, &draining).await?;
    let clients = match (&settings.node.clients, bind_clients) {
        (Some(address), Some(bind)) => {
            let mut limits = settings.client_limits.clone();
            limits.max_connections = descriptors::fit_clients(
                &cluster,
                admin.as_ref().map_or(0, |_| descriptors::admin_connections()),
                limits.max_connections,
            )?;
            Some(bind(address.clone(), cluster.clone(), limits, stop.clone(), registry.clone()).await?)
        }
        (None, _) | (_, None) => None,
    };
    let control = server::bind(run_dir)?;

    let address = clients.as_ref().map(|clients| clients.address);
    let node = node(name, version, settings, cluster.clone(), address);
    let admin_address = admin.as_ref().map(|admin| admin.address).map_err(Clone::clone);
    let node = Arc::new(Node { stop, draining, registry, admin: admin_address, ..node });
    let intensity = settings.supervision;
    let kv = cluster.clone();
    let mut root = root(settings).child({
        let node = node.clone();
        ChildSpec::supervisor("control", move || server::supervisor(&control, &node).intensity(intensity))
    });
    // It ends almost last, so that one can watch the rest end.
    if let Ok(admin) = admin {
        root = root.child(ChildSpec::supervisor("admin", move || admin.supervisor().intensity(intensity)));
    }
    root = root.child(ChildSpec::supervisor("kv", move || kv.local().supervisor(intensity)));
    let links = cluster.clone();
    root = root.child(ChildSpec::supervisor("kv_cluster", move || links.supervisor().intensity(intensity)));
    // Ranges end before the links, so that another node can take over what this one leads.
    if settings.node.data_dir.is_some() {
        let (local, close_timeout) = (cluster.local().clone(), settings.general.shutdown);
        root = root.child(ChildSpec::supervisor("kv_raft", move || {
            local.range_supervisor(close_timeout).intensity(intensity)
        }));
    }
    if let Some(Service { name, mut supervisor, .. }) = clients {
        root = root.child(ChildSpec::supervisor(name, move || supervisor().intensity(intensity)));
    }
    Ok(start(node, root))
}

/// Binds the address for HTTP, or says why the node goes on without.
async fn bind_admin(
    settings: &Settings,
    cluster: &Cluster,
    registry: &MetricsRegistry,
    about: About,
    draining: &Stop,
) -> Result<Result<BoundAdmin, String>, Error> {
    let Some(AdminAddress { address, is_configured }) = settings.node.admin.clone() else {
        return Ok(Err("none".to_owned()));
    };
    let hosts = settings.general.admin_hosts.clone();
    let bound = kv_admin::bind(
        AdminSettings { address, hosts, connections: descriptors::admin_connections() },
        cluster.clone(),
        registry.clone(),
        about,
        draining.clone(),
    );
    match bound.await {
        Ok(admin) => Ok(Ok(admin)),
        Err(error) if is_configured => Err(Error::Admin(error.to_string())),
        Err(error) => Ok(Err(format!("none: {error}; --admin chooses another"))),
    }
}

/// Brings up a private store for `eval`: no port, no socket, no other node.
pub(crate) fn boot_standalone(release: &Release, settings: &Settings) -> Result<Running, Error> {
    let routes = Routes::all(settings.node.name.clone());
    let store = StoreSettings::default();
    let standalone = kv_cluster::Settings {
        link: None,
        peers: Vec::new(),
        routes,
        store,
        data_dir: None,
        ..cluster_settings(settings)
    };
    let cluster = cluster(standalone)?;
    let node = Arc::new(node(release.name, release.version, settings, cluster.clone(), None));
    let intensity = settings.supervision;
    let kv = ChildSpec::supervisor("kv", move || cluster.local().supervisor(intensity));
    Ok(start(node, root(settings).child(kv)))
}

/// The root allows no restarts: an application that gives up ends the node, and the init system restarts it.
fn root(settings: &Settings) -> Supervisor {
    Supervisor::new(settings.node.name.to_string(), Strategy::OneForOne)
        .intensity(Intensity { max_restarts: 0, within: settings.supervision.within })
}

fn start(node: Arc<Node>, root: Supervisor) -> Running {
    let root = root.start();
    numbers::register(&node, root.view());
    let view = root.view();
    // JSON of numbers and text cannot fail.
    let text = move |children| serde_json::to_vec(&view.tree(children)).unwrap_or_default();
    node.cluster.local().set_tree(text);
    Running { node, root }
}

fn node(
    release: &'static str,
    version: &'static str,
    settings: &Settings,
    cluster: Cluster,
    clients: Option<SocketAddr>,
) -> Node {
    Node {
        release,
        version,
        clients,
        link: cluster.link_address(),
        admin: Err("none".to_owned()),
        cluster,
        file: settings.file.clone(),
        tables: settings.node.tables.iter().map(|(name, table)| (name.clone(), configured(table))).collect(),
        stop: Stop::new(),
        draining: Stop::new(),
        registry: MetricsRegistry::default(),
        started: SystemTime::now(),
        commands: watch::Sender::new(None),
    }
}

fn configured(NodeTable { clients, link, admin, data_dir }: &NodeTable) -> ConfiguredNode {
    ConfiguredNode {
        clients: clients.clone(),
        link: link.clone(),
        admin: admin.clone(),
        data_dir: data_dir.clone(),
    }
}

fn cluster(settings: kv_cluster::Settings) -> Result<Cluster, Error> {
    Cluster::new(settings).map_err(start_error)
}

/// A warning that the configuration says something else than what the node has learned of its cluster, which
/// holds, if it does.
pub(crate) fn saved_difference(settings: &Settings) -> Option<String> {
    let known = match Membership::load(settings.node.data_dir.as_deref()) {
        Ok(known) => known,
        Err(error) => return Some(error.to_string()),
    };
    let joined = settings.joins.then(Membership::default);
    let settings = kv_cluster::Settings { joined, ..cluster_settings(settings) };
    difference(&differences(&known, &settings))
}

/// Why a node does not start.
pub(super) fn start_error(error: kv_cluster::Error) -> Error {
    match error {
        kv_cluster::Error::DataDir(reason) => Error::DataDir(reason),
        error => Error::Config { errors: error.to_string() },
    }
}

pub(super) fn cluster_settings(settings: &Settings) -> kv_cluster::Settings {
    kv_cluster::Settings {
        name: settings.node.name.clone(),
        link: settings.node.link.clone(),
        peers: settings.node.peers.clone(),
        routes: settings.routes.clone(),
        // Only links use it, and a link without a cookie has been refused.
        cookie: Cookie::new(settings.cookie.as_ref().map(|cookie| cookie.0.as_str()).unwrap_or_default()),
        links: settings.links,
        store: StoreSettings {
            threads: runtime::threads(),
            max_memory: settings.storage.max_memory,
            transactions: settings.storage.transactions,
            ..StoreSettings::default()
        },
        data_dir: settings.node.data_dir.clone(),
        joined: None,
        logs: settings.storage.logs,
    }
}
