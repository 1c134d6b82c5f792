//! The merged layers: defaults < file < variables < flags. Sections read their values from here, and report
//! errors in them.

use super::{
    environment::{CONFIG_VARIABLE, Environment, NODE_VARIABLE},
    error::{ConfigError, Origin, format_key},
    file::File,
    flags::Flags,
    key::{Key, Section, Table},
};
use crate::suggest::nearest;
use config::{Config, FileFormat, Map, Source, Value, ValueKind};
use serde::de::DeserializeOwned;
use std::fmt;

/// The merged layers. Not to be printed, since they contain the cookie.
pub(crate) struct Merged {
    config: Config,
    file: Option<File>,
    /// Variables, then flags: the later of two that set one key wins.
    overrides: Vec<Override>,
    noted_defaults: Vec<(Vec<String>, Value)>,
    errors: Vec<ConfigError>,
}

/// The value of one key, in a layer other than the file.
#[derive(Clone)]
struct Override {
    origin: Origin,
    path: Vec<String>,
    value: Value,
}

impl Merged {
    /// Merges the layers of the node `node`.
    pub(crate) fn new(
        sections: &[&Section],
        file: Option<File>,
        node: &str,
        environment: &Environment,
        flags: &Flags,
    ) -> Result<Merged, Vec<ConfigError>> {
        let (overrides, errors) = overrides(sections, node, environment, flags);
        let mut builder = Config::builder();
        for default in defaults(sections, node) {
            builder = builder.add_source(default);
        }
        if let Some(file) = &file {
            builder = builder.add_source(config::File::from_str(file.text(), FileFormat::Toml));
        }
        for given in &overrides {
            builder = builder.add_source(given.clone());
        }
        let origin = file.as_ref().map_or(Origin::Default, |file| Origin::File(file.path.clone()));
        let config = builder
            .build()
            .map_err(|error| vec![ConfigError { origin, key: String::new(), message: error.to_string() }])?;
        Ok(Merged { config, file, overrides, noted_defaults: Vec::new(), errors })
    }

    /// The values of a table. All have been validated; a type that does not fit its keys is an error too.
    pub(crate) fn read<T: DeserializeOwned + Default>(&mut self, table: Table) -> T {
        let read = match table.name() {
            None => self.config.clone().try_deserialize(),
            Some(name) => self.config.get(name),
        };
        match read {
            Ok(values) => values,
            Err(config::ConfigError::NotFound(_)) => T::default(),
            Err(error) => {
                self.error(&[table.name().unwrap_or_default()], error.to_string());
                T::default()
            }
        }
    }

    /// The value of a key or table, if any layer sets it.
    pub(super) fn value(&self, path: &str) -> Option<ValueKind> {
        self.config.get::<Value>(path).ok().map(|value| value.kind)
    }

    /// The value of the key at `path`, whose parts may have dots.
    pub(super) fn value_at(&self, path: &[&str]) -> Option<ValueKind> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.value(first)?, |value, part| match value {
            ValueKind::Table(mut table) => Some(table.remove(*part)?.kind),
            ValueKind::Array(rows) => Some(rows.into_iter().nth(part.parse().ok()?)?.kind),
            _ => None,
        })
    }

    /// The file, if there is one.
    pub(crate) fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// The topmost layer that has the value at `path`.
    pub(crate) fn origin(&self, path: &[&str]) -> Origin {
        let given = self.overrides.iter().rev().find(|given| given.path == path);
        let in_file = || self.file.as_ref()?.origin(path);
        given.map(|given| given.origin.clone()).or_else(in_file).unwrap_or(Origin::Default)
    }

    /// Notes a default that depends on other values, for [`super::in_force`].
    pub(crate) fn note_default(&mut self, path: &[&str], value: impl Into<Value>) {
        self.noted_defaults.push((path.iter().map(|&part| part.to_owned()).collect(), value.into()));
    }

    /// The default that was noted for `path`.
    pub(super) fn noted_default(&self, path: &[&str]) -> Option<&Value> {
        self.noted_defaults.iter().find(|(noted, _)| noted == path).map(|(_, value)| value)
    }

    /// Whether the value at `path` is missing, perhaps because of an error that has been reported.
    pub(crate) fn is_suspect(&self, path: &[&str]) -> bool {
        let is_missing = self.value_at(path).is_none();
        is_missing && self.file.as_ref().is_some_and(|file| file.is_suspect(path))
    }

    /// Reports an error in the value at `path`, at the topmost layer that has it.
    pub(crate) fn error(&mut self, path: &[&str], message: impl Into<String>) {
        if self.is_suspect(path) {
            return;
        }
        let error = match (self.origin(path), &self.file) {
            // The value is missing, perhaps from a row or a table that has a line.
            (Origin::Default, Some(file)) => file.error(path, message),
            (origin, _) => ConfigError { origin, key: format_key(path), message: message.into() },
        };
        self.errors.push(error);
    }

    /// The errors reported so far.
    pub(crate) fn errors(&self) -> &[ConfigError] {
        &self.errors
    }
}

/// The lowest layer: the default of each key.
fn defaults(sections: &[&Section], node: &str) -> Vec<Override> {
    let keys = sections.iter().flat_map(|section| section.keys.iter().map(|key| (section.table, key)));
    let default = |(table, key): (Table, &Key)| {
        let value = key.kind.parse(key.default?)?;
        Some(Override { origin: Origin::Default, path: table.path(node, key.name), value })
    };
    keys.filter_map(default).collect()
}

/// The keys that variables and flags set, and which values are invalid.
fn overrides(
    sections: &[&Section],
    node: &str,
    environment: &Environment,
    flags: &Flags,
) -> (Vec<Override>, Vec<ConfigError>) {
    let (mut from_variables, mut from_flags, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for (section, key) in
        sections.iter().flat_map(|section| section.keys.iter().map(move |key| (section, key)))
    {
        let mut set = |layer: &mut Vec<Override>, origin: Origin, text: &str| match key.kind.parse(text) {
            Some(value) => layer.push(Override { origin, path: section.table.path(node, key.name), value }),
            None => errors.push(ConfigError {
                origin,
                key: String::new(),
                message: {
                    let remedy = key.kind.remedy(text, key.example);
                    format!("{text:?} is not {}; set it to {remedy}", key.kind.expected())
                },
            }),
        };
        if let Some(variable) = key.variable
            && let Some(text) = environment.variables.get(variable)
        {
            set(&mut from_variables, Origin::Variable(variable), text);
        }
        if let Some(flag) = key.flag
            && let Some(text) = flags.value(flag.name)
        {
            set(&mut from_flags, Origin::Flag(flag.name), text);
        }
    }
    from_variables.append(&mut from_flags);
    (from_variables, errors)
}

/// A warning for each `KV_` variable that sets no key.
pub(crate) fn unknown_variables(sections: &[&Section], environment: &Environment) -> Vec<String> {
    let keys = sections.iter().flat_map(|section| section.keys);
    let known: Vec<&str> =
        keys.filter_map(|key| key.variable).chain([CONFIG_VARIABLE, NODE_VARIABLE]).collect();
    let unknown = environment.variables.keys().filter(|name| !known.contains(&name.as_str()));
    unknown
        .map(|name| match nearest(name, known.iter().copied()) {
            Some(word) => format!("unknown variable {name}; did you mean {word}?"),
            None => format!("unknown variable {name}"),
        })
        .collect()
}

/// Without the value, which may be the cookie.
impl fmt::Debug for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Override({})", self.origin)
    }
}

impl Source for Override {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        let nest = |value: Value, part: &String| Value::from(Map::from([(part.clone(), value)]));
        self.path.iter().rev().fold(self.value.clone(), nest).into_table()
    }
}
