//! The log: events on stderr, as text for people or as JSON for machines. A panic is an event too.

use crate::error::Error;
use std::{
    fs::File,
    io::{self, IsTerminal},
    os::unix::fs::OpenOptionsExt,
    panic,
    path::PathBuf,
};
use tracing_subscriber::{
    EnvFilter, Registry,
    fmt::{self, writer::BoxMakeWriter},
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Where log lines go.
#[derive(Debug)]
pub(crate) enum Sink {
    Stderr,
    /// A console has the terminal.
    File(PathBuf),
}

impl Sink {
    /// Opens it, and says whether it shows colours.
    fn open(&self) -> Result<(BoxMakeWriter, bool), Error> {
        match self {
            Sink::Stderr => Ok((BoxMakeWriter::new(io::stderr), io::stderr().is_terminal())),
            Sink::File(path) => {
                let file = File::options().append(true).create(true).mode(0o600).open(path);
                let file = file.map_err(Error::io(format!("write {}", path.display())))?;
                Ok((BoxMakeWriter::new(file), false))
            }
        }
    }
}

/// The running log, whose level can be changed.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    level: reload::Handle<EnvFilter, Registry>,
}

impl Log {
    /// Starts the log of the whole process.
    pub(crate) fn start(level: &str, format: LogFormat, sink: Sink) -> Result<Log, Error> {
        let (filter, handle) = reload::Layer::new(EnvFilter::new(level));
        let registry = tracing_subscriber::registry().with(filter);
        let (writer, ansi) = sink.open()?;
        let layer = fmt::layer().with_writer(writer).with_ansi(ansi);
        // Nobody else starts a log in this process.
        let _ = match format {
            LogFormat::Text => registry.with(layer).try_init(),
            LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        };
        panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let what = panic.payload_as_str().unwrap_or("a value that is no text");
            tracing::error!(place, what, "panic");
        }));
        Ok(Log { level: handle })
    }

    /// Changes the level while the node runs.
    pub(crate) fn set_level(&self, level: &str) {
        if let Err(error) = self.level.reload(EnvFilter::new(level)) {
            tracing::warn!(%error, "the log's level stays as it is");
        }
    }
}

/// What is wrong with a level, if anything: `info`, or `warn,kv_cluster=debug`.
pub(crate) fn level_problem(level: &str) -> Option<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for directive in level.split(',').map(str::trim) {
        // EnvFilter would take a mistyped level for the name of a target.
        let word = directive.rsplit('=').next().unwrap_or(directive);
        if !LEVELS.contains(&word.to_ascii_lowercase().as_str()) {
            let word_list = LEVELS.join(", ");
            return Some(format!("{word:?} is no level; write one of {word_list}"));
        }
    }
    EnvFilter::try_new(level)
        .err()
        .map(|error| format!("{error}; write for example \"warn,kv_cluster=debug\""))
}

#[cfg(test)]
mod tests {
    use super::level_problem;

    #[test]
    fn levels_are_words_or_lists_of_targets() {
        assert_eq!(level_problem("info"), None);
        assert_eq!(level_problem("warn,kv_cluster=debug"), None);
        assert_eq!(
            level_problem("inof").as_deref(),
            Some("\"inof\" is no level; write one of off, error, warn, info, debug, trace")
        );
        assert!(level_problem("kv=loud").is_some());
    }
}
