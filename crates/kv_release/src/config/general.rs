//! Keys about the node as a whole: its run directory, its shutdown, and who may reach it.

use super::layers::{
    environment::Environment,
    key::{Key, Section, Table},
    merged::Merged,
};
use serde::Deserialize;
use std::{path::PathBuf, time::Duration};

pub(super) const SECTION: &Section = &Section {
    table: Table::Top,
    help: "The node as a whole.",
    keys: &[
        Key::string("run_dir").example("/run/kv").variable("KV_RUN_DIR").flag("run-dir", "DIRECTORY").help(
            "Directory of control socket and pid file; by default $XDG_RUNTIME_DIR/kv, else /tmp/kv-UID.",
        ),
        Key::integer("shutdown_seconds", 1)
            .default("10")
            .variable("KV_SHUTDOWN_SECONDS")
            .help("How long a drain may take before remaining tasks are aborted."),
        Key::boolean("allow_public_clients")
            .default("false")
            .variable("KV_ALLOW_PUBLIC_CLIENTS")
            .help("Whether other machines may reach `clients`, although there is no client authentication."),
        Key::boolean("allow_public_admin")
            .default("false")
            .variable("KV_ALLOW_PUBLIC_ADMIN")
            .help("Whether other machines may reach `admin`, which shows all names and values to everyone."),
        Key::string_list("admin_hosts")
            .example("foo.example.com")
            .help("Host names in URLs of `admin`, besides localhost, those of node and address, and any IP address."),
    ],
};

/// The settings of the node as a whole.
#[derive(Debug)]
pub(crate) struct GeneralSettings {
    pub(crate) run_dir: PathBuf,
    pub(crate) shutdown: Duration,
    pub(super) allow_public_clients: bool,
    pub(super) allow_public_admin: bool,
    /// Names of hosts in URLs of the HTTP port.
    pub(crate) admin_hosts: Vec<String>,
}

#[derive(Default, Deserialize)]
struct GeneralTable {
    run_dir: Option<PathBuf>,
    shutdown_seconds: u64,
    allow_public_clients: bool,
    allow_public_admin: bool,
    #[serde(default)]
    admin_hosts: Vec<String>,
}

impl GeneralSettings {
    pub(super) fn resolve(merged: &mut Merged, environment: &Environment) -> GeneralSettings {
        let table: GeneralTable = merged.read(Table::Top);
        merged.note_default(&["run_dir"], environment.run_dir.display().to_string());
        GeneralSettings {
            run_dir: table.run_dir.unwrap_or_else(|| environment.run_dir.clone()),
            shutdown: Duration::from_secs(table.shutdown_seconds),
            allow_public_clients: table.allow_public_clients,
            allow_public_admin: table.allow_public_admin,
            admin_hosts: table.admin_hosts,
        }
    }
}
