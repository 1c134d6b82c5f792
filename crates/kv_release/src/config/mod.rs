//! Configuration: four layers become one typed value, before any port is bound.
//!
//! A section is one file of this folder: its keys, each described once, and the settings made of them. A new
//! key is a row and a field in that file; variables, flags, defaults, the reference and the comparison after
//! a reload follow from the row. All releases read all sections. [`layers`] holds what the sections share.

mod client_limits;
mod cookie;
mod general;
pub(crate) mod layers;
mod links;
mod location;
mod log;
mod nodes;
mod routes;
mod storage;
mod supervision;
#[cfg(test)]
mod tests;

pub use client_limits::ClientSettings;
pub(crate) use layers::flags::Flags;
pub(crate) use location::Location;
pub(crate) use nodes::{AdminAddress, NodeTable, ReleaseProfile};

use crate::{error::Error, output::counted};
use cookie::Secret;
use general::GeneralSettings;
use kv_cluster::{LinkSettings, NodeName, Routes};
use layers::{
    environment::{CONFIG_VARIABLE, Environment, NODE_VARIABLE},
    error::{ConfigError, Origin},
    file::File,
    in_force::in_force,
    key::Section,
    merged::{self, Merged},
    restart_required::StartupValues,
};
use log::LogSettings;
use nodes::{NodeSettings, select_node};
use otp::Intensity;
use routes::RouteSettings;
use std::path::{self, PathBuf};
use storage::StorageSettings;

/// Every section, in the order of the reference.
pub(crate) const SECTIONS: &[&Section] = &[
    cookie::SECTION,
    general::SECTION,
    nodes::SECTION,
    routes::SECTION,
    client_limits::SECTION,
    storage::SECTION,
    log::SECTION,
    links::SECTION,
    supervision::SECTION,
];

/// The settings of a node, checked and complete; the same for every verb.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The file this came from, if there was one.
    pub(crate) file: Option<PathBuf>,
    pub(crate) cookie: Option<Secret>,
    pub(crate) general: GeneralSettings,
    pub(crate) node: NodeSettings,
    pub(crate) routes: Routes,
    /// How many rows the configuration has of them; a row with holes is several.
    route_rows: usize,
    /// Whether it has none, and the node joins the cluster of another one.
    pub(crate) joins: bool,
    pub(crate) client_limits: ClientSettings,
    pub(crate) storage: StorageSettings,
    pub(crate) log: LogSettings,
    pub(crate) links: LinkSettings,
    pub(crate) supervision: Intensity,
    startup: StartupValues,
    /// Every value and where it comes from, as `check-config --print` shows it.
    pub(crate) in_force: String,
    /// What is valid, but may be a mistake.
    pub(crate) warnings: Vec<String>,
}

impl Settings {
    /// Reads and checks all layers.
    pub(crate) fn load(
        profile: ReleaseProfile,
        flags: &Flags,
        environment: &Environment,
    ) -> Result<Settings, Error> {
        load(profile, flags, environment).map_err(config_error)
    }

    /// The summary that `check-config` prints.
    pub(crate) fn summary(&self) -> String {
        let file = self.file.as_ref().map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
        let nodes = counted(1 + self.node.peers.len() as u64, "node", "nodes");
        let routes = counted(self.route_rows as u64, "route", "routes");
        let warnings: String = self.warnings.iter().map(|warning| format!("\nwarning: {warning}")).collect();
        let (name, storage) = (&self.node.name, self.storage_text());
        if self.joins {
            let others: Vec<_> = self.node.peers.iter().map(|(peer, _)| peer.as_str()).collect();
            let others = others.join(", ");
            return format!("{file}: ok: node {name}, {storage}, joins the cluster of {others}{warnings}");
        }
        format!("{file}: ok: node {name}, {storage}, {nodes}, {routes}{warnings}")
    }

    /// Where buckets are durable, and which are not.
    fn storage_text(&self) -> String {
        let own = self.routes.spans_of(&self.node.name);
        let (durable, volatile): (Vec<_>, Vec<_>) = own.partition(|row| row.is_durable());
        let Some(data_dir) = &self.node.data_dir else { return "volatile".to_owned() };
        if durable.is_empty() && !volatile.is_empty() {
            return "volatile (each row has durable = false)".to_owned();
        }
        let data_dir = path::absolute(data_dir).unwrap_or_else(|_| data_dir.clone());
        let volatile: Vec<&str> = volatile.iter().map(|row| row.buckets()).collect();
        match volatile[..] {
            [] => format!("durable in {}", data_dir.display()),
            [..] => format!("durable in {} (volatile: {})", data_dir.display(), volatile.join(", ")),
        }
    }

    /// The keys that differ in `other` and take effect only at a restart.
    pub(crate) fn restart_required_changes(&self, other: &Settings) -> Vec<String> {
        let mut keys = self.startup.changes(&other.startup);
        // The cookie file may hold another cookie although its key is the same.
        if self.cookie != other.cookie && !keys.iter().any(|key| key.starts_with("cookie")) {
            keys.push("cookie_file".to_owned());
        }
        keys
    }
}

fn config_error(errors: Vec<ConfigError>) -> Error {
    Error::Config { errors: errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n") }
}

fn read_file(flags: &Flags, environment: &Environment) -> Result<Option<File>, Vec<ConfigError>> {
    let variable = || environment.variables.get(CONFIG_VARIABLE).map(PathBuf::from);
    let path = flags.config.clone().or_else(variable);
    path.map(|path| File::read(&path)).transpose().map_err(|error| vec![error])
}

fn node_name(
    profile: ReleaseProfile,
    file: Option<&File>,
    flags: &Flags,
    environment: &Environment,
) -> Result<NodeName, Vec<ConfigError>> {
    let flag = flags.node.as_deref().map(|name| (Origin::Flag("node"), name));
    let variable = environment.variables.get(NODE_VARIABLE);
    let variable = variable.map(|name| (Origin::Variable(NODE_VARIABLE), name.as_str()));
    select_node(profile.release, flag.or(variable), file).map_err(|error| vec![error])
}

fn load(
    profile: ReleaseProfile,
    flags: &Flags,
    environment: &Environment,
) -> Result<Settings, Vec<ConfigError>> {
    resolve(profile, read_file(flags, environment)?, flags, environment)
}

fn resolve(
    profile: ReleaseProfile,
    file: Option<File>,
    flags: &Flags,
    environment: &Environment,
) -> Result<Settings, Vec<ConfigError>> {
    let (file, mut errors) = match file.map(|file| file.without_invalid(SECTIONS)) {
        Some((file, errors)) => (Some(file), errors),
        None => (None, Vec::new()),
    };
    // As many errors as can be found are reported together: with the default name the rest can be checked.
    let name = match node_name(profile, file.as_ref(), flags, environment) {
        Ok(name) => name,
        Err(found) => {
            errors.extend(found);
            nodes::default_name(profile.release).map_err(|_| errors.clone())?
        }
    };
    let path = file.as_ref().map(|file| file.path.clone());
    let merged = Merged::new(SECTIONS, file, name.as_str(), environment, flags);
    let merged = &mut merged.map_err(|found| [errors.clone(), found].concat())?;
    let general = GeneralSettings::resolve(merged, environment);
    let node = NodeSettings::resolve(merged, name, profile, &general);
    let RouteSettings { routes, rows: route_rows, joins } = routes::resolve(merged, &node);
    nodes::check_replicas(merged, &node, &routes);
    let storage = StorageSettings::resolve(merged);
    let settings = Settings {
        file: path,
        cookie: cookie::resolve(merged, environment, node.name.as_str(), node.link.as_deref()),
        client_limits: client_limits::resolve(merged),
        storage,
        log: LogSettings::resolve(merged),
        links: links::resolve(merged),
        supervision: supervision::resolve(merged),
        startup: StartupValues::new(SECTIONS, merged),
        in_force: in_force(SECTIONS, merged, node.name.as_str()),
        warnings: warnings(environment, &routes, node.data_dir.as_ref().and_then(|_| storage.warning())),
        general,
        node,
        routes,
        route_rows,
        joins,
    };
    for error in merged.errors() {
        if !errors.contains(error) {
            errors.push(error.clone());
        }
    }
    if errors.is_empty() { Ok(settings) } else { Err(errors) }
}

fn warnings(environment: &Environment, routes: &Routes, storage: Option<String>) -> Vec<String> {
    let mut warnings = merged::unknown_variables(SECTIONS, environment);
    warnings.extend(storage);
    let uncovered = routes.uncovered();
    if !uncovered.is_empty() {
        warnings.push(format!("no route for buckets with names {}", uncovered.join(", ")));
    }
    warnings
}
