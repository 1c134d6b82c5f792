//! Judges what the layers say, value by value, and makes [`Settings`] of it.

use super::{
    CLIENTS, ReleaseProfile, Secret, Settings,
    environment::Environment,
    layers::{self, Document, Layers, Route},
    problem::Problem,
    suggest::nearest,
};
use crate::{
    limits::COOKIE_BYTES,
    log::{LogFormat, level_problem},
};
use kv_cluster::{NodeName, RouteError, RouteRow, Routes};
use otp::Intensity;
use std::{
    collections::BTreeSet, fs, io::Read, net::SocketAddr, os::unix::fs::PermissionsExt, path::PathBuf,
    time::Duration,
};

/// The cookie of the shipped file: everyone knows it, so it protects loopback alone.
const SHIPPED_COOKIE: &str = "weknoweachother";

const NO_ROUTES: &str = "there are several nodes and no routes; write [[routes]], buckets = \"..\",";

/// All that can be judged about the merged layers.
pub(super) fn settings(
    profile: ReleaseProfile,
    me: &str,
    layers: &Layers,
    environment: &Environment,
) -> Result<Settings, Vec<Problem>> {
    let document = layers.merge().map_err(|error| vec![layers.problem(&[], error.to_string())])?;
    let mut check = Check { layers, document: &document, problems: Vec::new() };
    let node = check.node_name(me, &["nodes", me]);
    let clients = check.clients(profile, me);
    let link = check.link(me);
    let peers = check.peers(me);
    let routes = check.routes(me);
    let cookie = check.cookie(me, link.as_deref());
    let log_format = check.log_format();
    check.log_level();
    let max_memory = check.max_memory();
    let problems = check.problems;
    let (Some(node), Some(routes), Some(log_format)) = (node, routes, log_format) else {
        return Err(problems);
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut warnings = layers::unknown_variables(environment);
    let uncovered = routes.uncovered();
    if !uncovered.is_empty() {
        warnings.push(format!("no route for buckets with names {}", uncovered.join(", ")));
    }
    Ok(Settings {
        node,
        file: layers.file.as_ref().map(|file| file.path.clone()),
        clients,
        link,
        peers,
        routes,
        cookie: cookie.map(Secret),
        run_dir: document.run_dir.map_or_else(|| environment.run_dir.clone(), PathBuf::from),
        log_level: document.log.level,
        log_format,
        shutdown: Duration::from_secs(document.shutdown_seconds),
        intensity: Intensity {
            max_restarts: document.supervision.max_restarts,
            within: Duration::from_secs(document.supervision.within_seconds),
        },
        client_limits: document.client_limits,
        max_memory,
        heartbeat: Duration::from_millis(document.links.heartbeat_ms),
        missed_heartbeats: document.links.missed_heartbeats,
        warnings,
    })
}

struct Check<'a> {
    layers: &'a Layers,
    document: &'a Document,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn wrong(&mut self, path: &[&str], wrong: impl Into<String>) {
        self.problems.push(self.layers.problem(path, wrong));
    }

    fn node_name(&mut self, name: &str, path: &[&str]) -> Option<NodeName> {
        name.parse().map_err(|error| self.wrong(path, format!("{error}"))).ok()
    }

    /// How much memory buckets may take; 0: as much as they want.
    fn max_memory(&mut self) -> Option<usize> {
        let said = &self.document.storage.max_memory;
        let bytes = kv::parse_byte_size(said);
        if bytes.is_none() {
            self.wrong(
                &["storage", "max_memory"],
                format!("{said:?} is no size; write max_memory = \"512mb\", or \"0\" for no limit"),
            );
        }
        bytes.filter(|bytes| *bytes > 0)
    }

    /// Where clients connect: what was said, else the default of a node that stands alone.
    fn clients(&mut self, profile: ReleaseProfile, me: &str) -> Option<String> {
        let path = ["nodes", me, "clients"];
        let said = self.document.nodes.get(me).and_then(|node| node.clients.clone());
        match (profile.takes_clients, said) {
            (true, Some(address)) => self.public_clients(&path, address),
            (true, None) if self.layers.no_nodes() => Some(CLIENTS.to_owned()),
            (true | false, None) => None,
            (false, Some(_)) => {
                self.wrong(&path, format!("{} takes no clients; remove it", profile.release));
                None
            }
        }
    }

    fn public_clients(&mut self, path: &[&str], address: String) -> Option<String> {
        let address = self.address(path, address, CLIENTS)?;
        if !is_loopback(&address) && !self.document.allow_public_clients {
            self.wrong(
                path,
                format!(
                    "{address} is open to other machines and clients are not asked who they are; \
                     keep to 127.0.0.1, or write allow_public_clients = true at the top of the file \
                     (or set KV_ALLOW_PUBLIC_CLIENTS=true)"
                ),
            );
        }
        Some(address)
    }

    fn link(&mut self, me: &str) -> Option<String> {
        let said = self.document.nodes.get(me)?.link.clone()?;
        self.address(&["nodes", me, "link"], said, "127.0.0.1:4051")
    }

    /// The other nodes. Of several nodes each needs a link.
    fn peers(&mut self, me: &str) -> Vec<(NodeName, String)> {
        let mut peers = Vec::new();
        let several = self.document.nodes.len() > 1;
        for (name, node) in &self.document.nodes {
            let path = ["nodes", name, "link"];
            match &node.link {
                None if several => {
                    self.wrong(&path[..2], "has no link; write link = \"127.0.0.1:4051\"");
                }
                Some(link) if name != me => {
                    let parsed = self.node_name(name, &path[..2]);
                    let link = self.address(&path, link.clone(), "127.0.0.1:4052");
                    peers.extend(parsed.zip(link));
                }
                None | Some(_) => {}
            }
        }
        peers
    }

    /// An address is `host:port`.
    fn address(&mut self, path: &[&str], address: String, example: &str) -> Option<String> {
        let good = address.parse::<SocketAddr>().is_ok()
            || address.rsplit_once(':').is_some_and(|(host, port)| {
                let named = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_';
                !host.is_empty() && host.chars().all(named) && port.parse::<u16>().is_ok()
            });
        if good {
            return Some(address);
        }
        let name = path.last().copied().unwrap_or_default();
        self.wrong(path, format!("{address:?} is no address; write {name} = {example:?}"));
        None
    }

    /// Who owns what; a node that stands alone owns everything.
    fn routes(&mut self, me: &str) -> Option<Routes> {
        let names: BTreeSet<&str> = self.document.nodes.keys().map(String::as_str).chain([me]).collect();
        let rows = &self.document.routes;
        if rows.is_empty() {
            if self.document.nodes.len() > 1 {
                self.wrong(&["routes"], format!("{NO_ROUTES} nodes = [{me:?}]"));
            }
            return me.parse().map(Routes::all).ok();
        }
        for (index, row) in rows.iter().enumerate() {
            for stranger in row.nodes.iter().filter(|name| !names.contains(name.as_str())) {
                let advice = match nearest(stranger, names.iter().copied()) {
                    Some(name) => format!("did you mean {name:?}?"),
                    None => format!("add [nodes.{stranger:?}]"),
                };
                let path = ["routes", &index.to_string(), "nodes"];
                self.wrong(&path, format!("no node is called {stranger:?}; {advice}"));
            }
        }
        if !self.problems.is_empty() {
            return None;
        }
        let known: Vec<NodeName> = names.iter().filter_map(|name| name.parse().ok()).collect();
        let as_written = |row: &Route| RouteRow { buckets: row.buckets.clone(), nodes: row.nodes.clone() };
        let rows: Vec<RouteRow> = rows.iter().map(as_written).collect();
        let refused = |error: RouteError| {
            let key = if rows[error.row].nodes.len() == 1 { "buckets" } else { "nodes" };
            self.wrong(&["routes", &error.row.to_string(), key], error.to_string());
        };
        Routes::new(&rows, &known).map_err(refused).ok()
    }

    /// The secret that nodes share. A link needs one, and a link that other machines reach one of its own.
    fn cookie(&mut self, me: &str, link: Option<&str>) -> Option<String> {
        let cookie = match (&self.document.cookie, &self.document.cookie_file) {
            (Some(_), Some(_)) => {
                self.wrong(&["cookie"], "there is a cookie_file as well; write one of the two");
                return None;
            }
            (Some(cookie), None) => Some(cookie.clone()),
            (None, Some(file)) => Some(self.cookie_file(file)?),
            (None, None) => None,
        };
        let link = link?;
        let path = ["nodes", me, "link"];
        match cookie.as_deref() {
            None | Some("") => self.wrong(
                &path,
                "links need a cookie; write cookie = \"a secret that all nodes share\", or set KV_COOKIE or cookie_file",
            ),
            Some(SHIPPED_COOKIE) if !is_loopback(link) => self.wrong(
                &path,
                format!(
                    "{link} is open to other machines and the cookie is the shipped one, which everyone knows; \
                     write a cookie of your own, or set KV_COOKIE or cookie_file"
                ),
            ),
            Some(_) => {}
        }
        cookie
    }

    fn cookie_file(&mut self, file: &str) -> Option<String> {
        match read_cookie(file) {
            Ok(cookie) => Some(cookie),
            Err(wrong) => {
                self.wrong(&["cookie_file"], wrong);
                None
            }
        }
    }

    fn log_level(&mut self) {
        if let Some(wrong) = level_problem(&self.document.log.level) {
            self.wrong(&["log", "level"], wrong);
        }
    }

    fn log_format(&mut self) -> Option<LogFormat> {
        match self.document.log.format.as_str() {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            other => {
                self.wrong(&["log", "format"], format!("{other:?} is no format; write \"text\" or \"json\""));
                None
            }
        }
    }
}

fn read_cookie(path: &str) -> Result<String, String> {
    let unreadable = |error| format!("{path} cannot be read: {error}");
    let file = fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("{path} can be read by others (mode {mode:o}); run chmod 600 {path}"));
    }
    let mut cookie = String::new();
    file.take(COOKIE_BYTES as u64 + 1).read_to_string(&mut cookie).map_err(unreadable)?;
    if cookie.len() > COOKIE_BYTES {
        return Err(format!("{path} is longer than {COOKIE_BYTES} bytes; a cookie is one line"));
    }
    Ok(cookie.trim().to_owned())
}

fn is_loopback(address: &str) -> bool {
    match address.parse::<SocketAddr>() {
        Ok(address) => address.ip().is_loopback(),
        Err(_) => address.starts_with("localhost:"),
    }
}
