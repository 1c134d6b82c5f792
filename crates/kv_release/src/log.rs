//! The log: events on stderr, as text for people or as JSON for machines. Panics are logged too.

use crate::{error::Error, limits::PANIC_LINES};
use otp::LogLimiter;
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
    /// While a console has the terminal.
    File(PathBuf),
}

impl Sink {
    /// Opens the sink. Returns its writer, and whether it shows colors.
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

/// The filter of a level. The libraries under durable ranges say what only their authors need: each of their
/// errors ends a range's log, and is logged with what that means.
fn filter_of(level: &str) -> EnvFilter {
    EnvFilter::new(format!("openraft=off,raft_log=off,chunked_wal=off,{level}"))
}

/// The running log, whose level can be changed.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    level: reload::Handle<EnvFilter, Registry>,
}

impl Log {
    /// Starts the log of the whole process.
    pub(crate) fn start(level: &str, format: LogFormat, sink: Sink) -> Result<Log, Error> {
        let (filter, handle) = reload::Layer::new(filter_of(level));
        let registry = tracing_subscriber::registry().with(filter);
        let (writer, ansi) = sink.open()?;
        let layer = fmt::layer().with_writer(writer).with_ansi(ansi);
        // Fails only if a log has been started already, as in tests.
        let _ = match format {
            LogFormat::Text => registry.with(layer).try_init(),
            LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        };
        let panics = LogLimiter::new("more panics", PANIC_LINES);
        panic::set_hook(Box::new(move |panic| {
            if !panics.admit() {
                return;
            }
            let location = panic.location().map(ToString::to_string).unwrap_or_default();
            let payload = panic.payload_as_str().unwrap_or("not a string");
            tracing::error!(location, payload, "panic");
        }));
        Ok(Log { level: handle })
    }

    /// Changes the level while the node runs.
    pub(crate) fn set_level(&self, level: &str) {
        if let Err(error) = self.level.reload(filter_of(level)) {
            tracing::warn!(%error, "cannot change the log level; keeping the old one");
        }
    }
}
