//! What the console answers: as text for people, as JSON for scripts.

use super::grammar::{ELIXIR, WORDS};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write;

/// The value of one expression.
#[derive(Debug)]
pub(crate) enum Answer {
    Help,
    Done,
    Truth(bool),
    Number(u32),
    Text(String),
    /// A node's own name.
    Node(String),
    /// Names of nodes, in Elixir's form.
    List(Vec<String>),
    Nodes(Vec<NodeRow>),
    Routes(Vec<RouteRow>),
    Status(Status),
    Tree(otp::Tree),
    /// The value of a key; none when the key is not there.
    Value(Option<Vec<u8>>),
    Names(Names),
}

/// Names of buckets or keys.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) names: Vec<Vec<u8>>,
    /// There are more than are shown.
    pub(crate) more: bool,
    /// Nodes that could not be asked, with the reason.
    pub(crate) missing: Vec<String>,
}

/// One node, seen from this one.
#[derive(Debug, Serialize)]
pub(crate) struct NodeRow {
    pub(crate) node: String,
    pub(crate) up: bool,
    /// This is the node that answers.
    pub(crate) me: bool,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// One row of the routes.
#[derive(Debug, Serialize)]
pub(crate) struct RouteRow {
    pub(crate) buckets: String,
    pub(crate) node: String,
}

/// What a node is.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) node: String,
    pub(crate) release: &'static str,
    pub(crate) version: &'static str,
    pub(crate) pid: u32,
    pub(crate) clients: Option<String>,
    pub(crate) link: Option<String>,
    pub(crate) config: Option<String>,
    pub(crate) memory: Memory,
    pub(crate) up_seconds: u64,
    pub(crate) started_unix_ms: u64,
}

/// The memory of a node's buckets, in bytes.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) used: u64,
    /// What has ended left it between what is used; it is used again.
    pub(crate) free: u64,
    pub(crate) limit: Option<u64>,
}

impl From<kv::StoreStats> for Memory {
    fn from(figures: kv::StoreStats) -> Memory {
        Memory { used: figures.bytes, free: figures.free, limit: figures.limit }
    }
}

impl Answer {
    /// For people.
    pub(crate) fn text(&self) -> String {
        match self {
            Answer::Help => help(),
            Answer::Done => "OK".to_owned(),
            Answer::Truth(truth) => truth.to_string(),
            Answer::Number(number) => number.to_string(),
            Answer::Text(text) => text.clone(),
            Answer::Node(name) => atom(name),
            Answer::List(names) => {
                format!("[{}]", names.iter().map(|name| atom(name)).collect::<Vec<_>>().join(", "))
            }
            Answer::Nodes(rows) => table(rows.iter().map(node_cells)),
            Answer::Routes(rows) => table(rows.iter().map(|row| [row.buckets.clone(), row.node.clone()])),
            Answer::Status(status) => table(status_cells(status)),
            Answer::Tree(tree) => tree.to_string(),
            Answer::Value(None) => "nil".to_owned(),
            Answer::Value(Some(value)) => printable(value),
            Answer::Names(names) => names_text(names),
        }
    }

    /// For scripts.
    pub(crate) fn json(&self) -> Value {
        match self {
            Answer::Help | Answer::Done => Value::String(self.text()),
            Answer::Truth(truth) => json!(truth),
            Answer::Number(number) => json!(number),
            Answer::Text(text) | Answer::Node(text) => json!(text),
            Answer::List(names) => json!(names),
            Answer::Nodes(rows) => json!(rows),
            Answer::Routes(rows) => json!(rows),
            Answer::Status(status) => json!(status),
            Answer::Tree(tree) => json!(tree),
            Answer::Value(value) => value.as_deref().map_or(Value::Null, bytes),
            Answer::Names(Names { names, more, missing }) => {
                let names: Vec<Value> = names.iter().map(|name| bytes(name)).collect();
                json!({ "names": names, "more": more, "missing": missing })
            }
        }
    }
}

/// Elixir's atom: quoted, as a name with @ and dots must be.
fn atom(name: &str) -> String {
    format!(":{name:?}")
}

fn node_cells(row: &NodeRow) -> [String; 2] {
    let state = match (row.me, row.up, &row.reason) {
        (true, ..) => "up, this node".to_owned(),
        (false, true, _) => "up".to_owned(),
        (false, false, Some(reason)) => format!("down: {reason}"),
        (false, false, None) => "down".to_owned(),
    };
    [row.node.clone(), state]
}

fn status_cells(status: &Status) -> impl Iterator<Item = [String; 2]> {
    let some = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    [
        ["node".to_owned(), status.node.clone()],
        ["release".to_owned(), format!("{} {}", status.release, status.version)],
        ["pid".to_owned(), status.pid.to_string()],
        ["clients".to_owned(), some(&status.clients)],
        ["link".to_owned(), some(&status.link)],
        ["config".to_owned(), some(&status.config)],
        ["memory".to_owned(), memory_text(&status.memory)],
        ["up".to_owned(), format!("{} s", status.up_seconds)],
    ]
    .into_iter()
}

fn memory_text(memory: &Memory) -> String {
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    let limit = memory.limit.map_or_else(String::new, |limit| format!(" of {}", megabytes(limit)));
    format!("{}{limit} used, {} free between", megabytes(memory.used), megabytes(memory.free))
}

fn names_text(names: &Names) -> String {
    let mut lines: Vec<String> = names.names.iter().map(|name| printable(name)).collect();
    if names.more {
        lines.push("… and more".to_owned());
    }
    lines.extend(names.missing.iter().map(|reason| format!("(not asked: {reason})")));
    if lines.is_empty() { "none".to_owned() } else { lines.join("\n") }
}

fn help() -> String {
    let rows = WORDS.iter().map(|(usage, what)| [(*usage).to_owned(), (*what).to_owned()]);
    let quoting = "A word with blanks goes in quotes, which take \\\" \\\\ \\n \\r \\t \\xNN.";
    format!("{}\n\nElixir's spellings work too: {}. {quoting}", table(rows), ELIXIR.join(", "))
}

/// Two columns.
fn table(rows: impl IntoIterator<Item = [String; 2]>) -> String {
    let rows: Vec<_> = rows.into_iter().collect();
    let width = rows.iter().map(|[left, _]| left.chars().count()).max().unwrap_or(0);
    let lines = rows.iter().map(|[left, right]| format!("{left:width$}  {right}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Bytes as a terminal can show them: text as it is, all else escaped.
fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Bytes as JSON: a string where they are text, else an object that holds their hexadecimal digits.
fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => {
            let mut hex = String::with_capacity(2 * bytes.len());
            for byte in bytes {
                let _ = write!(hex, "{byte:02x}");
            }
            json!({ "hex": hex })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_nodes_look_as_in_elixir_and_are_plain_in_json() {
        let list = Answer::List(vec!["bar@127.0.0.1".to_owned()]);
        assert_eq!(list.text(), "[:\"bar@127.0.0.1\"]");
        assert_eq!(list.json(), json!(["bar@127.0.0.1"]));
        assert_eq!(Answer::List(Vec::new()).text(), "[]");
        assert_eq!(Answer::Node("foo@host".to_owned()).text(), ":\"foo@host\"");
    }

    #[test]
    fn values_keep_what_they_are() {
        assert_eq!(Answer::Value(None).text(), "nil");
        assert_eq!(Answer::Value(None).json(), Value::Null);
        assert_eq!(Answer::Value(Some(b"1".to_vec())).json(), json!("1"));
        assert_eq!(Answer::Value(Some("grün\n".into())).text(), "grün\\n");
        assert_eq!(Answer::Value(Some(b"\xff\0".to_vec())).text(), "\\xff\\u{0}");
        assert_eq!(Answer::Value(Some(b"\xff\0".to_vec())).json(), json!({ "hex": "ff00" }));
    }

    #[test]
    fn nodes_stand_in_columns() {
        let row = |node: &str, up, me, reason: Option<&str>| NodeRow {
            node: node.to_owned(),
            up,
            me,
            reason: reason.map(str::to_owned),
        };
        let nodes = Answer::Nodes(vec![
            row("foo@a", true, true, None),
            row("barbar@a", false, false, Some("refused")),
        ]);
        assert_eq!(nodes.text(), "foo@a     up, this node\nbarbar@a  down: refused");
        assert_eq!(
            nodes.json()[1],
            json!({ "node": "barbar@a", "up": false, "me": false, "reason": "refused" })
        );
    }

    #[test]
    fn memory_is_told_in_megabytes() {
        let memory = |limit| Memory { used: 12_345_678, free: 250_000, limit };
        assert_eq!(memory_text(&memory(None)), "12.3 MB used, 0.2 MB free between");
        assert_eq!(memory_text(&memory(Some(512_000_000))), "12.3 MB of 512.0 MB used, 0.2 MB free between");
    }

    #[test]
    fn a_list_says_what_it_leaves_out() {
        let names = Names { names: vec![b"a".to_vec()], more: true, missing: vec!["bar is down".to_owned()] };
        assert_eq!(Answer::Names(names).text(), "a\n… and more\n(not asked: bar is down)");
        assert_eq!(Answer::Names(Names::default()).text(), "none");
    }
}
