//! Where a running node is found, for the verbs that reach it.

use super::{
    SECTIONS, config_error,
    general::GeneralSettings,
    layers::{
        environment::Environment,
        error::{ConfigError, Origin},
        flags::Flags,
        merged::Merged,
    },
    node_name,
    nodes::ReleaseProfile,
    read_file,
};
use crate::{control::run_dir::RunDir, error::Error};
use kv_cluster::NodeName;
use std::{path::PathBuf, time::Duration};

/// A node's name and run directory. Other parts of the configuration do not matter for that: they may have
/// changed since the node was started, and its cookie may be for it alone.
#[derive(Debug)]
pub(crate) struct Location {
    pub(crate) node: NodeName,
    pub(crate) run_dir: PathBuf,
    pub(crate) shutdown: Duration,
}

impl Location {
    /// Reads all layers, as [`Settings::load`].
    pub(crate) fn load(
        profile: ReleaseProfile,
        flags: &Flags,
        environment: &Environment,
    ) -> Result<Location, Error> {
        locate(profile, flags, environment).map_err(config_error)
    }

    /// The same node, as its systemd unit runs it, if nothing runs at the default place.
    fn or_of_unit(self, release: &str) -> Location {
        let of_unit = PathBuf::from(format!("/run/kv-{release}"));
        let runs_here = RunDir::new(&self.run_dir, &self.node).socket().exists();
        if runs_here || !of_unit.is_dir() { self } else { Location { run_dir: of_unit, ..self } }
    }
}

fn locate(
    profile: ReleaseProfile,
    flags: &Flags,
    environment: &Environment,
) -> Result<Location, Vec<ConfigError>> {
    let file = read_file(flags, environment)?;
    let node = node_name(profile, file.as_ref(), flags, environment)?;
    let merged = &mut Merged::new(SECTIONS, file, node.as_str(), environment, flags)?;
    let general = GeneralSettings::resolve(merged, environment);
    if !merged.errors().is_empty() {
        return Err(merged.errors().to_vec());
    }
    let location = Location { node, run_dir: general.run_dir, shutdown: general.shutdown };
    Ok(match merged.origin(&["run_dir"]) {
        Origin::Default => location.or_of_unit(profile.release),
        _ => location,
    })
}
