//! `[log]`: the level and the format of the log.

use super::layers::{
    key::{Key, Section, Table},
    merged::Merged,
};
use crate::{log::LogFormat, suggest::nearest};
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

const TABLE: Table = Table::Named("log");

pub(super) const SECTION: &Section = &Section {
    table: TABLE,
    help: "The log, on standard error.",
    keys: &[
        Key::string("level")
            .default("info")
            .variable("KV_LOG")
            .flag("log-level", "LEVEL")
            .live()
            .help("off, error, warn, info, debug or trace; or per target: warn,kv_cluster=debug."),
        Key::string("format")
            .default("text")
            .variable("KV_LOG_FORMAT")
            .flag("log-format", "FORMAT")
            .help("text or json."),
    ],
};

/// The settings of the log.
#[derive(Debug)]
pub(crate) struct LogSettings {
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

#[derive(Default, Deserialize)]
struct LogTable {
    level: String,
    format: String,
}

impl LogSettings {
    pub(super) fn resolve(merged: &mut Merged) -> LogSettings {
        let LogTable { level, format } = merged.read(TABLE);
        let format = match format.as_str() {
            "json" => LogFormat::Json,
            "text" => LogFormat::Text,
            other => {
                let message = format!("invalid format: {other:?}; write \"text\" or \"json\"");
                merged.error(&["log", "format"], message);
                LogFormat::Text
            }
        };
        if let Some(message) = level_error(&level) {
            merged.error(&["log", "level"], message);
        }
        LogSettings { level, format }
    }
}

/// What has a level of its own: the crates.
const PARTS: [&str; 6] = ["kv", "kv_cluster", "kv_raft", "kv_release", "kv_server", "otp"];

/// The error in a level such as `info` or `warn,kv_cluster=debug`, if it is invalid.
fn level_error(level: &str) -> Option<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for directive in level.split(',').map(str::trim) {
        let part = directive.rsplit_once('=').map(|(part, _)| part.split("::").next().unwrap_or(part));
        if let Some(part) = part.filter(|part| !PARTS.contains(part)) {
            let remedy = match nearest(part, PARTS) {
                Some(known) => format!("did you mean {known:?}?"),
                None => format!("write one of {}", PARTS.join(", ")),
            };
            return Some(format!("unknown part of the log: {part:?}; {remedy}"));
        }
        // EnvFilter would take a mistyped level for the name of a target.
        let word = directive.rsplit('=').next().unwrap_or(directive);
        if !LEVELS.contains(&word.to_ascii_lowercase().as_str()) {
            return Some(format!("invalid level: {word:?}; write one of {}", LEVELS.join(", ")));
        }
    }
    EnvFilter::try_new(level)
        .err()
        .map(|error| format!("{error}; write for example \"warn,kv_cluster=debug\""))
}

#[cfg(test)]
mod tests {
    use super::level_error;

    #[test]
    fn levels_are_words_or_lists_of_targets() {
        assert_eq!(level_error("info"), None);
        assert_eq!(level_error("warn,kv_cluster=debug"), None);
        assert_eq!(
            level_error("inof").as_deref(),
            Some("invalid level: \"inof\"; write one of off, error, warn, info, debug, trace")
        );
        assert!(level_error("kv=loud").is_some());
        assert_eq!(level_error("warn,kv_cluster::peer=debug"), None);
        assert_eq!(
            level_error("warn,kv_clutser=debug").as_deref(),
            Some("unknown part of the log: \"kv_clutser\"; did you mean \"kv_cluster\"?")
        );
        assert_eq!(
            level_error("hyper=debug").as_deref(),
            Some(
                "unknown part of the log: \"hyper\"; write one of kv, kv_cluster, kv_raft, kv_release, kv_server, \
                 otp"
            )
        );
    }
}
