//! An error in the configuration: its place, its key, what is wrong, and what to write instead.

use std::{fmt, path::PathBuf};

/// One error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError {
    pub(crate) origin: Origin,
    /// The key as the file would contain it; empty if the error is about the whole file.
    pub(crate) key: String,
    /// What is wrong, and after a semicolon what to write instead.
    pub(crate) message: String,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A line of the file.
    Line(PathBuf, usize),
    /// The file as a whole.
    File(PathBuf),
    /// An environment variable.
    Variable(&'static str),
    /// A command-line flag, without its dashes.
    Flag(&'static str),
    Default,
}

impl Origin {
    /// The layer: values of a later one win.
    pub(crate) fn layer(&self) -> u8 {
        match self {
            Origin::Default => 0,
            Origin::Line(..) | Origin::File(_) => 1,
            Origin::Variable(_) => 2,
            Origin::Flag(_) => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Line(file, line) => write!(f, "{}:{line}", file.display()),
            Origin::File(file) => write!(f, "{}", file.display()),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(name) => write!(f, "--{name}"),
            Origin::Default => f.write_str("defaults"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.origin, self.message),
            key => write!(f, "{}: {key}: {}", self.origin, self.message),
        }
    }
}

/// A key's path as the file would contain it. Row numbers are left out: the error names the line.
pub(crate) fn format_key(path: &[&str]) -> String {
    let bare = |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    path.iter()
        .filter(|part| part.parse::<usize>().is_err())
        .map(|part| if bare(part) { (*part).to_owned() } else { format!("{part:?}") })
        .collect::<Vec<_>>()
        .join(".")
}
