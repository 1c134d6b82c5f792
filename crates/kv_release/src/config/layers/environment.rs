//! The process's environment: its variables, its own program and arguments. Nothing else in the project reads
//! `std::env`.

use std::{collections::BTreeMap, env, ffi::OsString, io, path::PathBuf};

/// The variable that selects the configuration file.
pub(crate) const CONFIG_VARIABLE: &str = "KV_CONFIG";
/// The variable that selects the node.
pub(crate) const NODE_VARIABLE: &str = "KV_NODE";

/// The environment as a value, so that tests can have their own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    /// The variables that begin with `KV_`; an empty one counts as unset.
    pub(crate) variables: BTreeMap<String, String>,
    /// The default run directory.
    pub(crate) run_dir: PathBuf,
    /// Where systemd puts the credentials of its unit.
    pub(crate) credentials: Option<PathBuf>,
}

impl Environment {
    /// The real environment. A variable that is not UTF-8 is read with replacement characters, so that the
    /// check of its value rejects it.
    pub(crate) fn read() -> Environment {
        let variables = env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .filter(|(name, value)| name.starts_with("KV_") && !value.is_empty())
            .collect();
        let run_dir = match env::var_os("XDG_RUNTIME_DIR") {
            Some(dir) if !dir.is_empty() => PathBuf::from(dir).join("kv"),
            _ => env::temp_dir().join(format!("kv-{}", rustix::process::geteuid().as_raw())),
        };
        let credentials = env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Environment { variables, run_dir, credentials }
    }
}

#[cfg(test)]
impl Environment {
    /// An environment with a run directory of this test process alone.
    pub(crate) fn scratch() -> Environment {
        let run_dir = env::temp_dir().join(format!("kv-test-{}", std::process::id()));
        Environment { run_dir, ..Environment::default() }
    }
}

/// The path of the running program, to start it again.
pub(crate) fn program() -> io::Result<PathBuf> {
    env::current_exe()
}

/// The program as it was called, for commands that are shown.
pub(crate) fn called_as() -> String {
    env::args_os().next().map_or_else(String::new, |program| program.to_string_lossy().into_owned())
}

/// The arguments of this process.
pub(crate) fn arguments() -> impl Iterator<Item = OsString> {
    env::args_os().skip(1)
}
