//! The value of an expression: as text for people, as JSON for scripts.

use super::value::{Memory, Names, NodeRow, Peek, PlanRow, RangeRow, ReplicaRow, RouteRow, Status, Value};
use crate::output::counted;
use kv_raft::format_bytes;
use serde_json::{Value as Json, json};
use std::fmt::Write;

impl Value {
    /// As text, for people.
    pub(crate) fn text(&self) -> String {
        match self {
            Value::Done => "OK".to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            Value::NodeName(name) => atom(name),
            Value::NodeNames(names) => {
                format!("[{}]", names.iter().map(|name| atom(name)).collect::<Vec<_>>().join(", "))
            }
            Value::Nodes(rows) => columns(rows.iter().map(node_cells)),
            Value::Routes(rows, difference) => {
                let rows = columns(rows.iter().map(route_cells));
                difference.iter().fold(rows, |text, difference| format!("{text}\n{difference}"))
            }
            Value::Plans(rows) => plans_text(rows),
            Value::Ranges(rows) => ranges_text(rows),
            Value::Status(status) => columns(status_cells(status)),
            Value::Tree(tree) => format!("{tree:#}"),
            Value::Bytes(None) => "nil".to_owned(),
            Value::Bytes(Some(value)) => escape_for_terminal(value),
            Value::Names(names) => names_text(names),
            Value::Peek(peek) => peek_text(peek),
            Value::Connected(Ok(())) => "true".to_owned(),
            Value::Connected(Err(reason)) => format!("false ({reason})"),
            Value::Pinged(Ok(())) => ":pong".to_owned(),
            Value::Pinged(Err(reason)) => format!(":pang ({reason})"),
        }
    }

    /// As JSON, for scripts.
    pub(crate) fn json(&self) -> Json {
        match self {
            Value::Done => Json::String(self.text()),
            Value::Number(number) => json!(number),
            Value::Text(text) | Value::NodeName(text) => json!(text),
            Value::NodeNames(names) => json!(names),
            Value::Nodes(rows) => json!(rows),
            Value::Routes(rows, _) => json!(rows),
            Value::Plans(rows) => json!(rows),
            Value::Ranges(rows) => json!(rows),
            Value::Status(status) => json!(status),
            Value::Tree(tree) => json!(tree),
            Value::Bytes(value) => value.as_deref().map_or(Json::Null, json_bytes),
            Value::Peek(peek) => peek_json(peek),
            Value::Connected(connected) => json!(connected.is_ok()),
            Value::Pinged(pinged) => json!(if pinged.is_ok() { "pong" } else { "pang" }),
            Value::Names(Names { names, next, other_databases, unavailable }) => {
                let names: Vec<Json> = names.iter().map(|name| json_bytes(name)).collect();
                json!({
                    "names": names,
                    "more": next.is_some(),
                    "next": next,
                    "other_databases": other_databases,
                    "missing": unavailable,
                })
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
        (true, _, Some(reason), _) => format!("up, this node; {reason}"),
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

fn route_cells(row: &RouteRow) -> [String; 2] {
    let suffix = if row.durable { "" } else { ", volatile" };
    [row.buckets.clone(), format!("{}{suffix}", row.nodes.join(", "))]
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
        ["storage".to_owned(), storage_text(status)],
        ["memory".to_owned(), memory_text(&status.memory)],
        ["up".to_owned(), format!("{} s", status.up_seconds)],
    ]
    .into_iter()
}

fn storage_text(status: &Status) -> String {
    match (&status.data_dir, &status.volatile[..]) {
        (None, _) => "volatile".to_owned(),
        (Some(_), _) if !status.durable => "volatile: each row has durable = false".to_owned(),
        (Some(data_dir), []) => format!("durable, in {data_dir}"),
        (Some(data_dir), volatile) => format!("durable, in {data_dir}; volatile: {}", volatile.join(", ")),
    }
}

fn memory_text(memory: &Memory) -> String {
    let limit = memory.limit.map_or_else(String::new, |limit| format!(" of {}", megabytes(limit)));
    format!("{}{limit} used, {} reusable", megabytes(memory.used), megabytes(memory.free))
}

/// The rows as a table, and below it what is wrong.
fn plans_text(rows: &[PlanRow]) -> String {
    if rows.is_empty() {
        return "none: all replicas are where they are to be".to_owned();
    }
    let line = |row: &PlanRow| {
        let (nodes, leaving) = (row.nodes.join(", "), row.leaving.join(", "));
        match row.leaving[..] {
            [] => format!("{}: to {nodes}", row.range),
            [..] => format!("{}: to {nodes}; on {leaving} until these have the data", row.range),
        }
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn ranges_text(rows: &[RangeRow]) -> String {
    if rows.is_empty() {
        return "none: no row of [[routes]] names this node".to_owned();
    }
    let head = ["range", "state", "entries", "log", "snapshot", "last sync", "sync p99", "fsync"];
    let head = [head.map(str::to_owned)];
    let mut text = columns(head.into_iter().chain(rows.iter().map(range_cells)));
    for row in rows {
        let failure = row.snapshot_failure.as_ref().zip(row.snapshot_failure_age_seconds);
        let failure = failure.map(|(why, age)| format!("no snapshot was taken {}: {why}", ago(age)));
        for problem in row.reason.clone().into_iter().chain(failure) {
            text += &format!("\n{}: {problem}", row.range);
        }
    }
    for row in rows {
        let Some(term) = row.term else { continue };
        let leader = row.leader.as_deref().unwrap_or("no node that is known here");
        let others: Vec<_> = row.replicas.iter().map(replica_text).collect();
        let (range, reads, others) = (&row.range, reads_text(row), others.join(", "));
        text += &format!("\n{range}: led by {leader} (term {term}{reads}); also on {others}");
    }
    if let Some(interval) = rows.iter().find_map(|row| row.fsync_interval_ms) {
        text += &format!(
            "\na crash of the system or a loss of power loses what was acknowledged in the last {interval} ms"
        );
    }
    text
}

/// How the leader of a row reads, if it is this node.
fn reads_text(row: &RangeRow) -> String {
    match (row.reads, row.lease_ms) {
        (None, _) => String::new(),
        (Some(_), Some(0)) => ", no lease".to_owned(),
        (Some(_), Some(lease_ms)) => format!(", lease {:.1} s", lease_ms as f64 / 1_000.0),
        (Some(reads), None) => format!(", {reads} reads"),
    }
}

/// A copy on another node, and how far behind it is.
fn replica_text(ReplicaRow { node, voter, lag }: &ReplicaRow) -> String {
    match (voter, lag) {
        (true, None) => node.clone(),
        (true, Some(0)) => format!("{node} (has all)"),
        (true, Some(lag)) => format!("{node} ({lag} entries behind)"),
        (false, Some(lag)) => format!("{node} (no part of a majority yet, {lag} entries behind)"),
        (false, None) => format!("{node} (no part of a majority yet)"),
    }
}

fn range_cells(row: &RangeRow) -> [String; 8] {
    let shown = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let state = match row.loaded_percent {
        Some(percent) => format!("loading {percent} %"),
        None => row.state.to_owned(),
    };
    let snapshot = row.snapshot_bytes.zip(row.snapshot_age_seconds);
    [
        row.range.clone(),
        state,
        shown(row.entries.map(|entries| entries.to_string())),
        shown(row.log_bytes.map(format_bytes)),
        shown(snapshot.map(|(bytes, age)| format!("{}, {}", format_bytes(bytes), ago(age)))),
        shown(row.last_sync_seconds.map(ago)),
        shown(row.sync_p99_us.map(|micros| format!("{:.1} ms", micros as f64 / 1e3))),
        shown(row.fsync.map(|fsync| match row.fsync_interval_ms {
            Some(interval) => format!("every {interval} ms"),
            None => fsync.to_owned(),
        })),
    ]
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

fn names_text(names: &Names) -> String {
    let mut lines: Vec<String> = names.names.iter().map(|name| escape_for_terminal(name)).collect();
    lines.extend(names.next.iter().map(|next| format!("… and more: {next}")));
    if names.other_databases > 0 {
        lines.push(format!("({} in databases 1 to 15, which only Redis clients see)", names.other_databases));
    }
    lines.extend(names.unavailable.iter().map(|reason| format!("(unavailable: {reason})")));
    if lines.is_empty() { "none".to_owned() } else { lines.join("\n") }
}

fn peek_text(peek: &Peek) -> String {
    let (kind, size) = match peek.is_bucket {
        true => ("bucket", counted(peek.size, "key", "keys")),
        false => ("string", counted(peek.size, "byte", "bytes")),
    };
    let expiry = match peek.expires_in_ms {
        Some(milliseconds) => format!("expires in {:.1} s", milliseconds as f64 / 1e3),
        None => "does not expire".to_owned(),
    };
    let mut text = format!("{kind}, {size}, {expiry}");
    let shown = if peek.is_bucket { peek.entries.len() } else { peek.value.len() };
    if peek.is_bucket {
        let cells =
            peek.entries.iter().map(|(key, value)| [key, value].map(|bytes| escape_for_terminal(bytes)));
        text += &format!("\n{}", columns(cells));
    } else {
        text += &format!("\n{}", escape_for_terminal(&peek.value));
    }
    let hidden = peek.size.saturating_sub(shown as u64);
    if hidden > 0 {
        text += &format!("\n… and {hidden} more");
    }
    text.trim_end().to_owned()
}

fn peek_json(peek: &Peek) -> Json {
    let entries: Vec<Json> =
        peek.entries.iter().map(|(key, value)| json!([json_bytes(key), json_bytes(value)])).collect();
    let (kind, shown) =
        if peek.is_bucket { ("bucket", json!(entries)) } else { ("string", json_bytes(&peek.value)) };
    json!({ "kind": kind, "size": peek.size, "expires_in_ms": peek.expires_in_ms, "shown": shown })
}

/// Rows of cells, in columns.
pub(super) fn columns<const CELLS: usize>(rows: impl IntoIterator<Item = [String; CELLS]>) -> String {
    let rows: Vec<_> = rows.into_iter().collect();
    let mut widths = [0; CELLS];
    for row in &rows {
        // The last one needs no blanks behind it.
        let cells = widths.iter_mut().zip(row).take(CELLS - 1);
        cells.for_each(|(width, cell)| *width = cell.chars().count().max(*width));
    }
    let line = |row: &[String; CELLS]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
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
    fn ranges_are_a_table_and_below_it_is_what_is_wrong() {
        let ready = RangeRow {
            range: "a..m".to_owned(),
            state: "ready",
            entries: Some(12),
            log_bytes: Some(1_234_567),
            snapshot_bytes: Some(20_000),
            snapshot_age_seconds: Some(7_199),
            last_sync_seconds: Some(3),
            sync_p99_us: Some(1_250),
            fsync: Some("always"),
            ..RangeRow::default()
        };
        let stopped = RangeRow {
            range: "n..p".to_owned(),
            state: "stopped",
            reason: Some("log/r-0.wal: damaged".to_owned()),
            snapshot_failure: Some("no space".to_owned()),
            snapshot_failure_age_seconds: Some(125),
            ..RangeRow::default()
        };
        let volatile = RangeRow { range: "q..".to_owned(), state: "volatile", ..RangeRow::default() };
        let loading = RangeRow {
            range: "r".to_owned(),
            state: "loading",
            loaded_percent: Some(5),
            ..RangeRow::default()
        };
        assert_eq!(
            ranges_text(&[ready, stopped, volatile, loading]),
            "range  state        entries  log     snapshot              last sync  sync p99  fsync\n\
             a..m   ready        12       1.2 MB  20.0 kB, 119 min ago  3 s ago    1.2 ms    always\n\
             n..p   stopped      -        -       -                     -          -         -\n\
             q..    volatile     -        -       -                     -          -         -\n\
             r      loading 5 %  -        -       -                     -          -         -\n\
             n..p: log/r-0.wal: damaged\n\
             n..p: no snapshot was taken 2 min ago: no space"
        );
    }

    #[test]
    fn ages_are_as_exact_as_one_wants_to_know() {
        let ages = [0, 119, 120, 7_199, 7_200, 172_799, 172_800].map(ago);
        let shown = ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"];
        assert_eq!(ages, shown.map(|age| format!("{age} ago")));
    }

    #[test]
    fn a_peek_says_what_a_name_stands_for() {
        let bucket = Peek {
            is_bucket: true,
            size: 2,
            entries: vec![(b"milk".to_vec(), b"1".to_vec())],
            ..Peek::default()
        };
        assert_eq!(Value::Peek(bucket).text(), "bucket, 2 keys, does not expire\nmilk  1\n… and 1 more");
        let string = Peek { size: 5, expires_in_ms: Some(1500), value: b"hello".to_vec(), ..Peek::default() };
        assert_eq!(peek_text(&string), "string, 5 bytes, expires in 1.5 s\nhello");
        assert_eq!(
            peek_json(&string),
            json!({ "kind": "string", "size": 5, "expires_in_ms": 1500, "shown": "hello" })
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
        let names = Names {
            names: vec![b"a".to_vec()],
            next: Some("buckets \"\" 7".to_owned()),
            other_databases: 3,
            unavailable: vec!["bar is down".to_owned()],
        };
        assert_eq!(
            Value::Names(names).text(),
            "a\n… and more: buckets \"\" 7\n\
             (3 in databases 1 to 15, which only Redis clients see)\n(unavailable: bar is down)"
        );
        assert_eq!(Value::Names(Names::default()).text(), "none");
    }
}
