//! The four layers, and what comes out when they lie upon each other: defaults < file < variables < flags.

use super::{
    environment::Environment,
    file::File,
    problem::{Place, Problem, written},
    schema::{self, KEYS, Key, Kind, Section},
};
use crate::cli::Flags;
use config::{Config, ConfigError, FileFormat, Map, Source, Value};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt};

/// The layers above the defaults.
pub(crate) struct Layers {
    pub(crate) file: Option<File>,
    /// Variables, then flags: of two that set one key the later holds.
    given: Vec<Given>,
}

/// One key that a variable or a flag sets.
#[derive(Clone)]
struct Given {
    place: Place,
    path: Vec<String>,
    value: Value,
}

/// The file's shape, with nothing judged but names and types. Not to be printed: it holds the cookie.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    pub(crate) cookie: Option<String>,
    pub(crate) cookie_file: Option<String>,
    pub(crate) run_dir: Option<String>,
    pub(crate) allow_public_clients: bool,
    pub(crate) shutdown_seconds: u64,
    pub(crate) log: Log,
    pub(crate) supervision: Supervision,
    pub(crate) client_limits: ClientLimits,
    pub(crate) storage: Storage,
    pub(crate) links: Links,
    #[serde(default)]
    pub(crate) nodes: BTreeMap<String, Node>,
    #[serde(default)]
    pub(crate) routes: Vec<Route>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) level: String,
    pub(crate) format: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Supervision {
    pub(crate) max_restarts: u32,
    pub(crate) within_seconds: u64,
}

/// What one client, and all of them together, may take, and how they are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientLimits {
    /// How many clients may be connected at once.
    pub max_connections: usize,
    /// The longest line that a client may send, in bytes.
    pub max_line_bytes: usize,
    /// Whether they are served by io_uring where the kernel has it.
    pub io_uring: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Storage {
    pub(crate) max_memory: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Links {
    pub(crate) heartbeat_ms: u64,
    pub(crate) missed_heartbeats: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    pub(crate) clients: Option<String>,
    pub(crate) link: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    #[serde(default)]
    pub(crate) buckets: String,
    #[serde(default)]
    pub(crate) nodes: Vec<String>,
}

impl Layers {
    /// Gathers the layers of the node `me`.
    pub(crate) fn gather(
        file: Option<File>,
        me: &str,
        environment: &Environment,
        flags: &Flags,
    ) -> Result<Layers, Vec<Problem>> {
        let mut given = Vec::new();
        let mut problems = Vec::new();
        for key in KEYS {
            let Some(variable) = key.variable else { continue };
            let Some(text) = environment.variables.get(variable) else { continue };
            let path = key.section.path(me, key.name);
            match value(key, text) {
                Some(value) => given.push(Given { place: Place::Variable(variable), path, value }),
                None => problems.push(Problem {
                    place: Place::Variable(variable),
                    key: String::new(),
                    wrong: format!("{text:?} is not {}; set it to {}", key.kind.wanted(), key.example),
                }),
            }
        }
        for (flag, section, name, text) in flag_values(flags) {
            let path = section.path(me, name);
            given.push(Given { place: Place::Flag(flag), path, value: text.into() });
        }
        if problems.is_empty() { Ok(Layers { file, given }) } else { Err(problems) }
    }

    /// Lays them over each other.
    pub(crate) fn merge(&self) -> Result<Document, ConfigError> {
        let mut builder = Config::builder()
            .add_source(config::File::from_str(include_str!("defaults.toml"), FileFormat::Toml));
        if let Some(file) = &self.file {
            builder = builder.add_source(config::File::from_str(file.text(), FileFormat::Toml));
        }
        for given in &self.given {
            builder = builder.add_source(given.clone());
        }
        builder.build()?.try_deserialize()
    }

    /// Whether no file names any node, so that this one stands alone.
    pub(crate) fn no_nodes(&self) -> bool {
        self.file.as_ref().is_none_or(|file| file.nodes().is_empty())
    }

    /// A mistake at `path`, placed where the value came from.
    pub(crate) fn problem(&self, path: &[&str], wrong: impl Into<String>) -> Problem {
        Problem { place: self.place(path), key: written(path), wrong: wrong.into() }
    }

    /// Where the value at `path` came from: the topmost layer that has it.
    fn place(&self, path: &[&str]) -> Place {
        if let Some(given) = self.given.iter().rev().find(|given| given.path == path) {
            return given.place.clone();
        }
        let Some(file) = &self.file else { return Place::Default };
        match file.line(path) {
            Some(line) => Place::Line(file.path.clone(), line),
            None => Place::File(file.path.clone()),
        }
    }
}

/// Without the value, which may be the cookie.
impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Given({})", self.place)
    }
}

impl Source for Given {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let nest = |value: Value, part: &String| Value::from(Map::from([(part.clone(), value)]));
        self.path.iter().rev().fold(self.value.clone(), nest).into_table()
    }
}

fn value(key: &Key, text: &str) -> Option<Value> {
    match key.kind {
        Kind::Text => Some(text.into()),
        Kind::Number { at_least } => {
            text.parse::<i64>().ok().filter(|number| *number >= at_least).map(Value::from)
        }
        Kind::Truth => text.parse::<bool>().ok().map(Value::from),
        Kind::Texts => None,
    }
}

/// The flags that set a key.
fn flag_values(flags: &Flags) -> Vec<(&'static str, Section, &'static str, String)> {
    [
        ("--clients", Section::Node, "clients", &flags.clients),
        ("--link", Section::Node, "link", &flags.link),
        ("--run-dir", Section::Top, "run_dir", &flags.run_dir),
        ("--log-level", Section::Table("log"), "level", &flags.log_level),
        ("--log-format", Section::Table("log"), "format", &flags.log_format),
    ]
    .into_iter()
    .filter_map(|(flag, section, name, text)| Some((flag, section, name, text.clone()?)))
    .collect()
}

/// A warning for every `KV_` variable that means nothing here.
pub(crate) fn unknown_variables(environment: &Environment) -> Vec<String> {
    let known: Vec<&str> =
        KEYS.iter().filter_map(|key| key.variable).chain(schema::CHOOSERS.iter().copied()).collect();
    let unknown = environment.variables.keys().filter(|name| !known.contains(&name.as_str()));
    unknown
        .map(|name| match super::suggest::nearest(name, known.iter().copied()) {
            Some(word) => format!("the variable {name} means nothing here; did you mean {word}?"),
            None => format!("the variable {name} means nothing here"),
        })
        .collect()
}
