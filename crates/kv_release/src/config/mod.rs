//! Configuration: four layers become one typed value, before any port is bound.
//!
//! Follow it in this order: [`environment`] and [`mod@file`] -> [`identity`] -> [`layers`] -> [`check`] -> [`Settings`].

mod check;
pub(crate) mod environment;
mod file;
mod identity;
mod layers;
mod problem;
mod schema;
pub(crate) mod suggest;
#[cfg(test)]
mod tests;

pub use layers::ClientLimits;

use crate::{cli::Flags, error::Error, log::LogFormat};
use environment::Environment;
use file::File;
use kv_cluster::{NodeName, Routes};
use layers::Layers;
use otp::Intensity;
use problem::{Place, Problem};
use std::{fmt, path::PathBuf, time::Duration};

/// What a node is to be: checked, complete, and the same for every verb.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) node: NodeName,
    /// The file that this came from, if there was one.
    pub(crate) file: Option<PathBuf>,
    pub(crate) clients: Option<String>,
    pub(crate) link: Option<String>,
    pub(crate) peers: Vec<(NodeName, String)>,
    pub(crate) routes: Routes,
    pub(crate) cookie: Option<Secret>,
    pub(crate) run_dir: PathBuf,
    pub(crate) log_level: String,
    pub(crate) log_format: LogFormat,
    pub(crate) shutdown: Duration,
    pub(crate) intensity: Intensity,
    pub(crate) client_limits: ClientLimits,
    /// Bytes that the buckets of this node may take.
    pub(crate) max_memory: Option<usize>,
    pub(crate) heartbeat: Duration,
    pub(crate) missed_heartbeats: u32,
    /// What is allowed, and perhaps not meant.
    pub(crate) warnings: Vec<String>,
}

/// A cookie on its way to those who need it; never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// What a release brings that the configuration is checked against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReleaseProfile {
    pub(crate) release: &'static str,
    pub(crate) takes_clients: bool,
}

/// The address for clients when nobody names one.
const CLIENTS: &str = "127.0.0.1:4040";

impl Settings {
    /// Reads and checks all layers.
    pub(crate) fn load(
        profile: ReleaseProfile,
        flags: &Flags,
        environment: &Environment,
    ) -> Result<Settings, Error> {
        load(profile, flags, environment).map_err(|problems| Error::Config {
            errors: problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        })
    }

    /// What the configuration means, for `check-config`.
    pub(crate) fn summary(&self) -> String {
        let file = self.file.as_ref().map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
        let (nodes, rows) = (1 + self.peers.len(), self.routes.rows().len());
        let warnings: String = self.warnings.iter().map(|warning| format!("\nwarning: {warning}")).collect();
        format!("{file}: good; this is {}, of {nodes} nodes, with {rows} routes{warnings}", self.node)
    }

    /// The names of the settings that differ in `other` and cannot change while the node runs.
    pub(crate) fn restart_required_changes(&self, other: &Settings) -> Vec<&'static str> {
        let mut names = Vec::new();
        let mut compare = |name, same: bool| {
            if !same {
                names.push(name);
            }
        };
        compare("the node's name", self.node == other.node);
        compare("clients", self.clients == other.clients);
        compare("link", self.link == other.link);
        compare("nodes", self.peers == other.peers);
        compare("routes", self.routes == other.routes);
        compare("cookie", self.cookie == other.cookie);
        compare("run_dir", self.run_dir == other.run_dir);
        compare("log.format", self.log_format == other.log_format);
        compare("shutdown_seconds", self.shutdown == other.shutdown);
        compare("supervision", self.intensity == other.intensity);
        compare("client_limits", self.client_limits == other.client_limits);
        compare(
            "links",
            (self.heartbeat, self.missed_heartbeats) == (other.heartbeat, other.missed_heartbeats),
        );
        names
    }
}

fn load(profile: ReleaseProfile, flags: &Flags, environment: &Environment) -> Result<Settings, Vec<Problem>> {
    let chosen = flags.config.clone().or_else(|| environment.variables.get("KV_CONFIG").map(PathBuf::from));
    let file = chosen.map(|path| File::read(&path)).transpose().map_err(|problem| vec![problem])?;
    understand(profile, file, flags, environment)
}

fn understand(
    profile: ReleaseProfile,
    file: Option<File>,
    flags: &Flags,
    environment: &Environment,
) -> Result<Settings, Vec<Problem>> {
    if let Some(file) = &file {
        let problems = file.problems();
        if !problems.is_empty() {
            return Err(problems);
        }
    }
    let flag = flags.node.as_deref().map(|name| (Place::Flag("--node"), name));
    let variable =
        environment.variables.get("KV_NODE").map(|name| (Place::Variable("KV_NODE"), name.as_str()));
    let me = identity::identify(profile.release, flag.or(variable), file.as_ref())
        .map_err(|problem| vec![problem])?;
    let layers = Layers::gather(file, &me, environment, flags)?;
    check::settings(profile, &me, &layers, environment)
}
