//! The flags that select and override the configuration, as `cli` has parsed them, and as arguments again:
//! for a release that starts itself, and for the commands that the banner prints.

use super::environment::{CONFIG_VARIABLE, Environment, NODE_VARIABLE};
use std::{ffi::OsString, path::PathBuf};

/// The flags as they were given. All verbs take them, since the running node is found by the same
/// configuration that started it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Flags {
    /// The configuration file.
    pub(crate) config: Option<PathBuf>,
    /// The name of this node in the file.
    pub(crate) node: Option<String>,
    /// Flags that set a key, by their names without dashes.
    pub(crate) values: Vec<(&'static str, String)>,
}

impl Flags {
    /// The flags as arguments, for a release that starts itself.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let config = self.config.iter().flat_map(|file| ["--config".into(), file.into()]);
        let node = self.node.iter().flat_map(|node| ["--node".into(), node.into()]);
        let values = self.values.iter().flat_map(|(name, value)| [format!("--{name}").into(), value.into()]);
        config.chain(node).chain(values).collect()
    }

    /// The flags with which another process, which may have other variables, finds the same node.
    pub(crate) fn locating(&self, environment: &Environment) -> Vec<String> {
        let variable = |name| environment.variables.get(name).cloned();
        let config = self.config.as_ref().map(|file| file.display().to_string());
        let flags = [
            ("--config", config.or_else(|| variable(CONFIG_VARIABLE))),
            ("--node", self.node.clone().or_else(|| variable(NODE_VARIABLE))),
            ("--run-dir", self.value("run-dir").map(str::to_owned).or_else(|| variable("KV_RUN_DIR"))),
        ];
        let given = flags.into_iter().filter_map(|(flag, value)| Some([flag.to_owned(), value?]));
        given.flatten().collect()
    }

    /// The value of the flag of this name.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_starts_itself_with_the_same_flags() {
        let flags = Flags {
            config: Some("a.toml".into()),
            node: Some("foo@a".to_owned()),
            values: vec![("log-level", "debug".to_owned())],
        };
        assert_eq!(flags.arguments(), ["--config", "a.toml", "--node", "foo@a", "--log-level", "debug"]);
        assert!(Flags::default().arguments().is_empty());
    }

    #[test]
    fn flags_and_variables_that_locate_the_node_become_flags() {
        let variables = [("KV_CONFIG", "b.toml"), ("KV_RUN_DIR", "/run/b"), ("KV_LOG", "debug")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let environment = Environment { variables, ..Environment::default() };
        let flags = Flags { config: Some("a.toml".into()), ..Flags::default() };
        assert_eq!(flags.locating(&environment), ["--config", "a.toml", "--run-dir", "/run/b"]);
        assert!(Flags::default().locating(&Environment::default()).is_empty());
    }
}
