//! What is in force: every key that has a value, in the form of the file, with the place it comes from.

use super::{
    error::format_key,
    key::{Key, Section, Table},
    merged::Merged,
};
use config::ValueKind;

/// A key whose value is not shown.
const SECRET: &str = "cookie";

/// The values of a node's keys; of `[nodes]` and of rows, all.
pub(crate) fn in_force(sections: &[&Section], merged: &Merged, node: &str) -> String {
    let mut lines = Vec::new();
    for section in sections {
        for path in tables(section.table, merged, node) {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let keys = section.keys.iter().filter_map(|key| line(merged, &path, key)).collect::<Vec<_>>();
            if section.table != Table::Top && !keys.is_empty() {
                let heading = format_key(&path);
                let is_row = matches!(section.table, Table::Rows(_));
                let heading = if is_row { format!("\n[[{heading}]]") } else { format!("\n[{heading}]") };
                lines.push((heading, String::new()));
            }
            lines.extend(keys);
        }
    }
    let width = lines.iter().map(|(value, _)| value.chars().count()).filter(|&width| width <= WIDTH).max();
    let width = width.unwrap_or_default();
    let lines = lines.iter().map(|(value, origin)| match origin.as_str() {
        "" => value.clone(),
        origin => format!("{value:width$}  # {origin}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Columns that longer values do not widen.
const WIDTH: usize = 60;

/// The paths of the tables of a section.
fn tables(table: Table, merged: &Merged, node: &str) -> Vec<Vec<String>> {
    match table {
        Table::Top => vec![Vec::new()],
        Table::Named(name) => vec![vec![name.to_owned()]],
        Table::Nodes => {
            let mut nodes = merged.file().map(|file| file.nodes()).unwrap_or_default();
            if !nodes.iter().any(|name| name == node) {
                nodes.push(node.to_owned());
            }
            nodes.into_iter().map(|node| vec!["nodes".to_owned(), node]).collect()
        }
        Table::Rows(name) => match merged.value(name) {
            Some(ValueKind::Array(rows)) => {
                (0..rows.len()).map(|row| vec![name.to_owned(), row.to_string()]).collect()
            }
            _ => Vec::new(),
        },
    }
}

/// A key with its value, and the value's origin.
fn line(merged: &Merged, table: &[&str], key: &Key) -> Option<(String, String)> {
    let path = [table, &[key.name]].concat();
    let value = match merged.value_at(&path) {
        Some(value) => value,
        None => merged.noted_default(&path)?.kind.clone(),
    };
    let value = if key.name == SECRET { "(hidden)".to_owned() } else { literal(&value) };
    Some((format!("{} = {value}", key.name), merged.origin(&path).to_string()))
}

fn literal(value: &ValueKind) -> String {
    match value {
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| literal(&item.kind)).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}
