//! The process's environment: its variables, its own program and arguments. Nothing else in the project reads
//! `std::env`.

use std::{collections::BTreeMap, env, ffi::OsString, io, path::PathBuf};

/// The environment as a value, so that tests can have their own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    /// The variables that begin with `KV_`; an empty one counts as unset.
    pub(crate) variables: BTreeMap<String, String>,
    /// The default run directory.
    pub(crate) run_dir: PathBuf,
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
        Environment { variables, run_dir }
    }
}

#[cfg(test)]
impl Environment {
    /// An environment with a run directory of this test process alone.
    pub(crate) fn scratch() -> Environment {
        let run_dir = env::temp_dir().join(format!("kv-test-{}", std::process::id()));
        Environment { variables: BTreeMap::new(), run_dir }
    }
}

/// The path of the running program, to start it again.
pub(crate) fn program() -> io::Result<PathBuf> {
    env::current_exe()
}

/// The arguments of this process.
pub(crate) fn arguments() -> impl Iterator<Item = OsString> {
    env::args_os().skip(1)
}
