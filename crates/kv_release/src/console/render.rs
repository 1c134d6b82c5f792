//! The value of an expression: as text for people, as JSON for scripts.

use super::value::{Memory, Names, NodeRow, Status, Value};
use serde_json::{Value as Json, json};
use std::fmt::Write;

impl Value {
    /// As text, for people.
    pub(crate) fn text(&self) -> String {
        match self {
            Value::Done => "OK".to_owned(),
            Value::Bool(bool) => bool.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            Value::NodeName(name) => atom(name),
            Value::NodeNames(names) => {
                format!("[{}]", names.iter().map(|name| atom(name)).collect::<Vec<_>>().join(", "))
            }
            Value::Nodes(rows) => columns(rows.iter().map(node_cells)),
            Value::Routes(rows) => columns(rows.iter().map(|row| [row.buckets.clone(), row.node.clone()])),
            Value::Status(status) => columns(status_cells(status)),
            Value::Tree(tree) => tree.to_string(),
            Value::Bytes(None) => "nil".to_owned(),
            Value::Bytes(Some(value)) => escape_for_terminal(value),
            Value::Names(names) => names_text(names),
        }
    }

    /// As JSON, for scripts.
    pub(crate) fn json(&self) -> Json {
        match self {
            Value::Done => Json::String(self.text()),
            Value::Bool(bool) => json!(bool),
            Value::Number(number) => json!(number),
            Value::Text(text) | Value::NodeName(text) => json!(text),
            Value::NodeNames(names) => json!(names),
            Value::Nodes(rows) => json!(rows),
            Value::Routes(rows) => json!(rows),
            Value::Status(status) => json!(status),
            Value::Tree(tree) => json!(tree),
            Value::Bytes(value) => value.as_deref().map_or(Json::Null, json_bytes),
            Value::Names(Names { names, more, unavailable }) => {
                let names: Vec<Json> = names.iter().map(|name| json_bytes(name)).collect();
                json!({ "names": names, "more": more, "missing": unavailable })
            }
        }
    }
}

/// A node's name as an Elixir atom, quoted because it contains `@` and dots.
fn atom(name: &str) -> String {
    format!(":{name:?}")
}

fn node_cells(row: &NodeRow) -> [String; 2] {
    let state = match (row.me, row.up, &row.reason, &row.routes_differ) {
        (true, ..) => "up, this node".to_owned(),
        (false, true, _, Some(names)) => {
            format!("up, but its routes differ; refused here and there: names {names}")
        }
        (false, true, _, None) => "up".to_owned(),
        (false, false, Some(reason), _) => format!("down: {reason}"),
        (false, false, None, _) => "down".to_owned(),
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
    format!("{}{limit} used, {} reusable", megabytes(memory.used), megabytes(memory.free))
}

fn names_text(names: &Names) -> String {
    let mut lines: Vec<String> = names.names.iter().map(|name| escape_for_terminal(name)).collect();
    if names.more {
        lines.push("… and more".to_owned());
    }
    lines.extend(names.unavailable.iter().map(|reason| format!("(unavailable: {reason})")));
    if lines.is_empty() { "none".to_owned() } else { lines.join("\n") }
}

/// Rows of two columns.
pub(super) fn columns(rows: impl IntoIterator<Item = [String; 2]>) -> String {
    let rows: Vec<_> = rows.into_iter().collect();
    let width = rows.iter().map(|[left, _]| left.chars().count()).max().unwrap_or(0);
    let lines = rows.iter().map(|[left, right]| format!("{left:width$}  {right}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Bytes for a terminal: text unchanged, control characters and bytes that are not UTF-8 escaped.
fn escape_for_terminal(bytes: &[u8]) -> String {
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

/// Bytes as JSON: a string if they are UTF-8, else an object with their hexadecimal digits.
fn json_bytes(bytes: &[u8]) -> Json {
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
        let list = Value::NodeNames(vec!["bar@127.0.0.1".to_owned()]);
        assert_eq!(list.text(), "[:\"bar@127.0.0.1\"]");
        assert_eq!(list.json(), json!(["bar@127.0.0.1"]));
        assert_eq!(Value::NodeNames(Vec::new()).text(), "[]");
        assert_eq!(Value::NodeName("foo@host".to_owned()).text(), ":\"foo@host\"");
    }

    #[test]
    fn values_keep_what_they_are() {
        assert_eq!(Value::Bytes(None).text(), "nil");
        assert_eq!(Value::Bytes(None).json(), Json::Null);
        assert_eq!(Value::Bytes(Some(b"1".to_vec())).json(), json!("1"));
        assert_eq!(Value::Bytes(Some("grün\n".into())).text(), "grün\\n");
        assert_eq!(Value::Bytes(Some(b"\xff\0".to_vec())).text(), "\\xff\\u{0}");
        assert_eq!(Value::Bytes(Some(b"\xff\0".to_vec())).json(), json!({ "hex": "ff00" }));
    }

    #[test]
    fn nodes_are_shown_in_columns() {
        let row = |node: &str, up, me, reason: Option<&str>| NodeRow {
            node: node.to_owned(),
            up,
            me,
            reason: reason.map(str::to_owned),
            routes_differ: None,
        };
        let nodes = Value::Nodes(vec![
            row("foo@a", true, true, None),
            row("barbar@a", false, false, Some("refused")),
        ]);
        assert_eq!(nodes.text(), "foo@a     up, this node\nbarbar@a  down: refused");
        let routes_differ = Some("from \"l\" on".to_owned());
        let differing = Value::Nodes(vec![NodeRow { routes_differ, ..row("bar@a", true, false, None) }]);
        assert_eq!(
            differing.text(),
            "bar@a  up, but its routes differ; refused here and there: names from \"l\" on"
        );
        assert_eq!(differing.json()[0]["routes_differ"], json!("from \"l\" on"));
        assert_eq!(
            nodes.json()[1],
            json!({ "node": "barbar@a", "up": false, "me": false, "reason": "refused" })
        );
    }

    #[test]
    fn memory_is_shown_in_megabytes() {
        let memory = |limit| Memory { used: 12_345_678, free: 250_000, limit };
        assert_eq!(memory_text(&memory(None)), "12.3 MB used, 0.2 MB reusable");
        assert_eq!(memory_text(&memory(Some(512_000_000))), "12.3 MB of 512.0 MB used, 0.2 MB reusable");
    }

    #[test]
    fn a_list_says_what_it_leaves_out() {
        let names =
            Names { names: vec![b"a".to_vec()], more: true, unavailable: vec!["bar is down".to_owned()] };
        assert_eq!(Value::Names(names).text(), "a\n… and more\n(unavailable: bar is down)");
        assert_eq!(Value::Names(Names::default()).text(), "none");
    }
}
