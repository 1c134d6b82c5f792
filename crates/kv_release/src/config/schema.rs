//! Every key that a configuration may hold: its type, its variable, an example. This table is what
//! unknown keys and wrong types are judged by.

/// Where a key may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// Before the first table.
    Top,
    /// In the table of this name.
    Table(&'static str),
    /// In a table `[nodes."name@host"]`.
    Node,
    /// In a row `[[routes]]`.
    Route,
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number { at_least: i64 },
    Truth,
    Texts,
}

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) section: Section,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// A right value, as one would write it.
    pub(crate) example: &'static str,
    /// The variable that sets it: a node's keys are those of the node that starts. Lists have none.
    pub(crate) variable: Option<&'static str>,
}

const LOG: Section = Section::Table("log");
const SUPERVISION: Section = Section::Table("supervision");
const CLIENT_LIMITS: Section = Section::Table("client_limits");
const STORAGE: Section = Section::Table("storage");
const LINKS: Section = Section::Table("links");
const POSITIVE: Kind = Kind::Number { at_least: 1 };

const fn key(
    section: Section,
    name: &'static str,
    kind: Kind,
    example: &'static str,
    variable: &'static str,
) -> Key {
    Key { section, name, kind, example, variable: Some(variable) }
}

const fn list(section: Section, name: &'static str, kind: Kind, example: &'static str) -> Key {
    Key { section, name, kind, example, variable: None }
}

/// All keys.
pub(crate) const KEYS: &[Key] = &[
    key(Section::Top, "cookie", Kind::Text, "\"a long secret that all nodes share\"", "KV_COOKIE"),
    key(Section::Top, "cookie_file", Kind::Text, "\"/etc/kv/cookie\"", "KV_COOKIE_FILE"),
    key(Section::Top, "run_dir", Kind::Text, "\"/run/kv\"", "KV_RUN_DIR"),
    key(Section::Top, "allow_public_clients", Kind::Truth, "true", "KV_ALLOW_PUBLIC_CLIENTS"),
    key(Section::Top, "shutdown_seconds", POSITIVE, "10", "KV_SHUTDOWN_SECONDS"),
    key(LOG, "level", Kind::Text, "\"info\"", "KV_LOG"),
    key(LOG, "format", Kind::Text, "\"json\"", "KV_LOG_FORMAT"),
    key(SUPERVISION, "max_restarts", Kind::Number { at_least: 0 }, "3", "KV_MAX_RESTARTS"),
    key(SUPERVISION, "within_seconds", POSITIVE, "5", "KV_WITHIN_SECONDS"),
    key(CLIENT_LIMITS, "max_connections", POSITIVE, "10000", "KV_MAX_CONNECTIONS"),
    key(CLIENT_LIMITS, "max_line_bytes", Kind::Number { at_least: 64 }, "1048576", "KV_MAX_LINE_BYTES"),
    key(CLIENT_LIMITS, "io_uring", Kind::Truth, "true", "KV_IO_URING"),
    key(STORAGE, "max_memory", Kind::Text, "\"512mb\"", "KV_MAX_MEMORY"),
    key(LINKS, "heartbeat_ms", POSITIVE, "1000", "KV_HEARTBEAT_MS"),
    key(LINKS, "missed_heartbeats", POSITIVE, "3", "KV_MISSED_HEARTBEATS"),
    key(Section::Node, "clients", Kind::Text, "\"127.0.0.1:4040\"", "KV_CLIENTS"),
    key(Section::Node, "link", Kind::Text, "\"127.0.0.1:4051\"", "KV_LINK"),
    list(Section::Route, "buckets", Kind::Text, "\"a..m\""),
    list(Section::Route, "nodes", Kind::Texts, "[\"foo@127.0.0.1\"]"),
];

/// The tables that may stand at the top of a file.
pub(crate) const TABLES: &[&str] =
    &["log", "supervision", "client_limits", "storage", "links", "nodes", "routes"];

/// The variables that choose a configuration instead of being part of it.
pub(crate) const CHOOSERS: &[&str] = &["KV_CONFIG", "KV_NODE"];

/// The keys of one section.
pub(crate) fn keys(section: Section) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.section == section)
}

impl Section {
    /// The key's path in a file whose own node is `me`.
    pub(crate) fn path(self, me: &str, name: &str) -> Vec<String> {
        let path: &[&str] = match self {
            Section::Top => &[name],
            Section::Table(table) => &[table, name],
            Section::Node => &["nodes", me, name],
            Section::Route => &["routes", name],
        };
        path.iter().map(|&part| part.to_owned()).collect()
    }
}

impl Kind {
    /// What this is called in a message.
    pub(crate) fn wanted(self) -> String {
        match self {
            Kind::Text => "text in quotes".to_owned(),
            Kind::Number { at_least } => format!("a whole number, at least {at_least}"),
            Kind::Truth => "true or false".to_owned(),
            Kind::Texts => "a list of texts".to_owned(),
        }
    }
}
