//! `[nodes."NAME@HOST"]`: this node, its addresses and its peers.

use super::{
    general::GeneralSettings,
    layers::{
        error::{ConfigError, Origin, format_key},
        file::File,
        key::{Key, Section, Table},
        merged::Merged,
    },
};
use crate::suggest::nearest;
use kv_cluster::{NodeName, Routes, is_address};
use serde::Deserialize;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

pub(super) const SECTION: &Section = &Section {
    table: Table::Nodes,
    help: "One table per node. A release starts the node of its name; variables and flags set that node's keys.",
    keys: &[
        Key::string("clients")
            .example(DEFAULT_CLIENTS)
            .variable("KV_CLIENTS")
            .flag("clients", "HOST:PORT")
            .help("Address for clients. If the file lists no nodes, the default is 127.0.0.1:4040; else there is none."),
        Key::string("link")
            .example("127.0.0.1:4051")
            .variable("KV_LINK")
            .flag("link", "HOST:PORT")
            .help("Address for links from other nodes; required if there are several nodes."),
        Key::string("admin")
            .example(DEFAULT_ADMIN)
            .variable("KV_ADMIN")
            .flag("admin", "HOST:PORT")
            .help("Address for HTTP: page, API, health, metrics. Without a file 127.0.0.1:4060; else, by default, none."),
        Key::string("data_dir")
            .example("data/foo")
            .variable("KV_DATA_DIR")
            .flag("data-dir", "DIR")
            .help("Directory for durable buckets, relative to where the node is started; without it, all are volatile."),
    ],
};

/// The first port that errors propose for links.
const FIRST_LINK_PORT: u16 = 4051;

/// The address for clients of a node without a file.
const DEFAULT_CLIENTS: &str = "127.0.0.1:4040";

/// The address for HTTP of a node without a file.
const DEFAULT_ADMIN: &str = "127.0.0.1:4060";

/// The properties of a release that the configuration is checked against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReleaseProfile {
    pub(crate) release: &'static str,
    pub(crate) takes_clients: bool,
}

/// This node and its peers.
#[derive(Debug)]
pub(crate) struct NodeSettings {
    pub(crate) name: NodeName,
    pub(crate) clients: Option<String>,
    pub(crate) link: Option<String>,
    pub(crate) admin: Option<AdminAddress>,
    pub(crate) peers: Vec<(NodeName, String)>,
    /// Where durable buckets are kept; `None`: they are volatile.
    pub(crate) data_dir: Option<PathBuf>,
    /// What the configuration says of all nodes.
    pub(crate) tables: BTreeMap<String, NodeTable>,
}

/// The address for HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AdminAddress {
    pub(crate) address: String,
    /// Whether the configuration has it; else the node starts without, if it is taken.
    pub(crate) is_configured: bool,
}

/// What the configuration says of one node.
#[derive(Debug, Default, Clone, Deserialize)]
pub(crate) struct NodeTable {
    pub(crate) clients: Option<String>,
    pub(crate) link: Option<String>,
    pub(crate) admin: Option<String>,
    pub(crate) data_dir: Option<PathBuf>,
}

/// The name of the node that starts: the wanted one, else the only one of this release in the file, else
/// `RELEASE@127.0.0.1`.
pub(super) fn select_node(
    release: &str,
    wanted: Option<(Origin, &str)>,
    file: Option<&File>,
) -> Result<NodeName, ConfigError> {
    let nodes = file.map(File::nodes).unwrap_or_default();
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    match (wanted, file) {
        (Some((origin, name)), _) => {
            wanted_node(name, &nodes).map_err(|message| ConfigError { origin, key: String::new(), message })
        }
        (None, Some(file)) if !nodes.is_empty() => {
            let name = only_node(release, &nodes).map_err(|message| ConfigError {
                origin: Origin::File(file.path.clone()),
                key: "nodes".to_owned(),
                message,
            })?;
            parse_name(name).map_err(|message| file.error(&["nodes", name], message))
        }
        (None, _) => default_name(release),
    }
}

/// The name of a node that has none.
pub(super) fn default_name(release: &str) -> Result<NodeName, ConfigError> {
    let error = |message| ConfigError { origin: Origin::Default, key: String::new(), message };
    parse_name(&format!("{release}@127.0.0.1")).map_err(error)
}

/// Any name is valid if the file has no nodes.
fn wanted_node(wanted: &str, nodes: &[&str]) -> Result<NodeName, String> {
    let name = parse_name(wanted)?;
    if nodes.is_empty() || nodes.contains(&wanted) {
        return Ok(name);
    }
    Err(match nearest(wanted, nodes.iter().copied()) {
        Some(name) => format!("the file has no node {wanted}; did you mean {name}?"),
        None => format!("the file has no node {wanted}; add [nodes.{wanted:?}]"),
    })
}

fn only_node<'a>(release: &str, nodes: &[&'a str]) -> Result<&'a str, String> {
    let of_release = |name: &&str| name.split('@').next() == Some(release);
    let own: Vec<&str> = nodes.iter().copied().filter(of_release).collect();
    match own[..] {
        [name] => Ok(name),
        [] => Err(format!(
            "no node of the release {release}; add [nodes.\"{release}@127.0.0.1\"], or name one with --node"
        )),
        [..] => Err(format!(
            "several nodes of the release {release}: {}; name one with --node or KV_NODE",
            own.join(", ")
        )),
    }
}

fn parse_name(name: &str) -> Result<NodeName, String> {
    name.parse().map_err(|error| format!("{error}"))
}

impl NodeSettings {
    pub(super) fn resolve(
        merged: &mut Merged,
        name: NodeName,
        profile: ReleaseProfile,
        general: &GeneralSettings,
    ) -> NodeSettings {
        let tables: BTreeMap<String, NodeTable> = merged.read(Table::Nodes);
        let NodeTable { clients, link, admin, data_dir } =
            tables.get(name.as_str()).cloned().unwrap_or_default();
        let clients = client_address(merged, &name, clients, profile, general);
        let admin = admin_address(merged, &name, admin, general);
        let link = link.and_then(|link| link_address(merged, name.as_str(), link, &tables));
        let peers = peers(merged, &name, &tables);
        check_distinct(merged, &tables);
        if data_dir.as_ref().is_some_and(|data_dir| data_dir.as_os_str().is_empty()) {
            let message = "is empty; name a directory, or leave it out for volatile buckets".to_owned();
            merged.error(&["nodes", name.as_str(), "data_dir"], message);
        }
        if data_dir.as_ref().is_some_and(|data_dir| data_dir.to_string_lossy().starts_with('~')) {
            let message = "only a shell knows ~: write the whole path, from / on".to_owned();
            merged.error(&["nodes", name.as_str(), "data_dir"], message);
        }
        NodeSettings { name, clients, link, admin, peers, data_dir, tables }
    }
}

/// The address for clients: the configured one, else the default of a node without a file.
fn client_address(
    merged: &mut Merged,
    node: &NodeName,
    configured: Option<String>,
    profile: ReleaseProfile,
    general: &GeneralSettings,
) -> Option<String> {
    let path = ["nodes", node.as_str(), "clients"];
    let is_standalone = merged.file().is_none_or(|file| file.nodes().is_empty());
    match (profile.takes_clients, configured) {
        (true, Some(clients)) => {
            let clients = address(merged, &path, clients, DEFAULT_CLIENTS)?;
            if !is_loopback(&clients) && !general.allow_public_clients {
                let message = format!(
                    "{clients} is reachable from other machines and there is no client authentication; \
                     use 127.0.0.1, or write allow_public_clients = true at the top of the file \
                     (or set KV_ALLOW_PUBLIC_CLIENTS=true)"
                );
                merged.error(&path, message);
            }
            Some(clients)
        }
        (true, None) if is_standalone => {
            merged.note_default(&path, DEFAULT_CLIENTS);
            Some(DEFAULT_CLIENTS.to_owned())
        }
        (true | false, None) => None,
        (false, Some(_)) => {
            merged.error(&path, format!("{} takes no clients; remove it", profile.release));
            None
        }
    }
}

/// The address for HTTP: the configured one, else the default of a node without a file.
fn admin_address(
    merged: &mut Merged,
    node: &NodeName,
    configured: Option<String>,
    general: &GeneralSettings,
) -> Option<AdminAddress> {
    let path = ["nodes", node.as_str(), "admin"];
    let Some(admin) = configured else {
        let is_default = merged.file().is_none();
        return is_default.then(|| {
            merged.note_default(&path, DEFAULT_ADMIN);
            AdminAddress { address: DEFAULT_ADMIN.to_owned(), is_configured: false }
        });
    };
    let admin = address(merged, &path, admin, DEFAULT_ADMIN)?;
    if !is_loopback(&admin) && !general.allow_public_admin {
        let message = format!(
            "{admin} is reachable from other machines, and shows all names and values to everyone; use 127.0.0.1, or \
             write allow_public_admin = true at the top of the file (or set KV_ALLOW_PUBLIC_ADMIN=true)"
        );
        merged.error(&path, message);
    }
    Some(AdminAddress { address: admin, is_configured: true })
}

/// The other nodes. If there are any, every node needs a link.
fn peers(
    merged: &mut Merged,
    own: &NodeName,
    tables: &BTreeMap<String, NodeTable>,
) -> Vec<(NodeName, String)> {
    let several = tables.len() > 1;
    let mut peers = Vec::new();
    for (name, table) in tables {
        let path = ["nodes", name, "link"];
        match &table.link {
            None if several && !merged.is_suspect(&path) => {
                merged.error(&path[..2], format!("has no link; write link = {:?}", free_link(name, tables)));
            }
            Some(link) if name != own.as_str() => {
                let parsed = parse_name(name).map_err(|message| merged.error(&path[..2], message));
                let link = link_address(merged, name, link.clone(), tables);
                peers.extend(parsed.ok().zip(link));
            }
            None | Some(_) => {}
        }
    }
    peers
}

/// A node with a replica of a row has a place for it.
pub(super) fn check_replicas(merged: &mut Merged, node: &NodeSettings, routes: &Routes) {
    let name = node.name.as_str();
    let Some(row) = routes.spans_of(&node.name).find(|row| row.is_replicated()) else { return };
    let path = ["nodes", name, "data_dir"];
    if node.data_dir.is_none() && !merged.is_suspect(&path) {
        let message = format!(
            "has no data_dir, and a replica of {:?}; write data_dir = {:?}, on a disk of its own",
            row.buckets(),
            format!("data/{}", node.name.name())
        );
        merged.error(&path[..2], message);
    }
}

/// An address for the links of a node, to be written into the file. Each node has another one, whose port no
/// node has.
fn free_link(node: &str, tables: &BTreeMap<String, NodeTable>) -> String {
    let port = |address: &String| address.rsplit_once(':')?.1.parse::<u16>().ok();
    let addresses = tables.values().flat_map(|table| [&table.clients, &table.link, &table.admin]).flatten();
    let taken: Vec<u16> = addresses.filter_map(port).collect();
    let mut free = (FIRST_LINK_PORT..).filter(|port| !taken.contains(port));
    // Those of nodes before it which need one as well.
    let before = tables.iter().take_while(|(name, _)| *name != node);
    let before = before.filter(|(_, table)| table.link.as_ref().and_then(port).is_none()).count();
    format!("127.0.0.1:{}", free.nth(before).unwrap_or(FIRST_LINK_PORT))
}

/// Addresses of one machine differ, and so do those where nodes link.
fn check_distinct(merged: &mut Merged, tables: &BTreeMap<String, NodeTable>) {
    let mut seen: Vec<(&str, &str, (&str, &str))> = Vec::new();
    for (node, table) in tables {
        let addresses = [("clients", &table.clients), ("link", &table.link), ("admin", &table.admin)];
        for (key, address) in addresses.iter().filter_map(|(key, address)| Some((*key, address.as_deref()?)))
        {
            let Some((host, port)) = address.rsplit_once(':').filter(|(_, port)| *port != "0") else {
                continue;
            };
            let is_same_machine = |other: &str| node.rsplit('@').next() == other.rsplit('@').next();
            let collides = |(other, other_key, (other_host, other_port)): &&(&str, &str, (&str, &str))| {
                let both_links = key == "link" && *other_key == "link" && host == *other_host;
                let any = [host, *other_host].iter().any(|host| ["0.0.0.0", "[::]"].contains(host));
                port == *other_port && (both_links || is_same_machine(other) && (host == *other_host || any))
            };
            if let Some((other, other_key, _)) = seen.iter().find(collides) {
                let message = format!(
                    "{address} is taken: {} has the same port; write another one",
                    format_key(&["nodes", other, other_key])
                );
                merged.error(&["nodes", node, key], message);
            }
            seen.push((node, key, (host, port)));
        }
    }
}

fn link_address(
    merged: &mut Merged,
    node: &str,
    link: String,
    tables: &BTreeMap<String, NodeTable>,
) -> Option<String> {
    address(merged, &["nodes", node, "link"], link, &free_link(node, tables))
}

/// An address is `host:port`.
fn address(merged: &mut Merged, path: &[&str], address: String, example: &str) -> Option<String> {
    if is_address(&address) {
        return Some(address);
    }
    let name = path.last().copied().unwrap_or_default();
    merged.error(path, format!("invalid address: {address:?}; write {name} = {example:?}"));
    None
}

/// Whether only this machine can reach the address.
pub(super) fn is_loopback(address: &str) -> bool {
    match address.parse::<SocketAddr>() {
        Ok(address) => address.ip().is_loopback(),
        Err(_) => address.starts_with("localhost:"),
    }
}
