//! The process's surroundings: its variables, its own program and arguments. Nothing else in the
//! project reads `std::env`.

use std::{collections::BTreeMap, env, ffi::OsString, io, path::PathBuf};

/// What the process was started with, as a value, so that tests can have surroundings of their own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    /// The variables that begin with `KV_`; an empty one counts as unset.
    pub(crate) variables: BTreeMap<String, String>,
    /// Where control sockets go when nobody says.
    pub(crate) run_dir: PathBuf,
}

impl Environment {
    /// The real surroundings. A `KV_` variable that is not UTF-8 is read with its odd bytes replaced,
    /// so that the check of its value refuses it.
    pub(crate) fn read() -> Environment {
        let variables = env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .filter(|(name, value)| name.starts_with("KV_") && !value.is_empty())
            .collect();
        let run_dir = match env::var_os("XDG_RUNTIME_DIR") {
            Some(dir) if !dir.is_empty() => PathBuf::from(dir).join("kv"),
            _ => env::temp_dir().join(format!("kv-{}", rustix::process::geteuid().as_raw())),
        };
        Environment { variables, run_dir }
    }
}

#[cfg(test)]
impl Environment {
    /// Surroundings of this test process alone.
    pub(crate) fn scratch() -> Environment {
        let run_dir = env::temp_dir().join(format!("kv-test-{}", std::process::id()));
        Environment { variables: BTreeMap::new(), run_dir }
    }
}

/// The program that runs, to start it again.
pub(crate) fn program() -> io::Result<PathBuf> {
    env::current_exe()
}

/// The arguments that it was started with.
pub(crate) fn arguments() -> impl Iterator<Item = OsString> {
    env::args_os().skip(1)
}
