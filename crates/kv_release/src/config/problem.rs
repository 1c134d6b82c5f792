//! What is wrong with a configuration: where, which key, what, and what to write instead.

use std::{fmt, path::PathBuf};

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    /// The key as one would write it in the file; empty when the whole file is meant.
    pub(crate) key: String,
    /// What is wrong, and after a semicolon what to write instead.
    pub(crate) wrong: String,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A line of the file.
    Line(PathBuf, usize),
    /// The file as a whole.
    File(PathBuf),
    /// A variable of the environment.
    Variable(&'static str),
    /// A flag of the command line.
    Flag(&'static str),
    /// Nobody wrote it.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line(file, line) => write!(f, "{}:{line}", file.display()),
            Place::File(file) => write!(f, "{}", file.display()),
            Place::Variable(name) | Place::Flag(name) => f.write_str(name),
            Place::Default => f.write_str("defaults"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.place, self.wrong),
            key => write!(f, "{}: {key}: {}", self.place, self.wrong),
        }
    }
}

/// A key's path as one would write it in the file; positions in lists are left to the line number.
pub(crate) fn written(path: &[&str]) -> String {
    let bare = |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    path.iter()
        .filter(|part| part.parse::<usize>().is_err())
        .map(|part| if bare(part) { (*part).to_owned() } else { format!("{part:?}") })
        .collect::<Vec<_>>()
        .join(".")
}
