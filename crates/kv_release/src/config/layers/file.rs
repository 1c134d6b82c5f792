//! The configuration file as it was written: its text, and the line of each key. The `config` crate keeps no
//! line numbers, so errors get them here.

use super::{
    error::{ConfigError, Origin, format_key},
    key::{self, Key, Kind, MAX_INTEGER, Section},
};
use crate::{limits::CONFIG_FILE_BYTES, suggest::nearest};
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};
use toml_edit::{Document, DocumentMut, Item, Table, TableLike, Value};

/// A file that has been read and parsed as TOML.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    document: Document<String>,
    /// The paths of what is invalid and has been left out.
    invalid: Vec<Vec<String>>,
    /// The text without that.
    valid_text: Option<String>,
}

impl File {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> Result<File, ConfigError> {
        let error = |message: String| ConfigError {
            origin: Origin::File(path.to_owned()),
            key: String::new(),
            message,
        };
        let mut text = String::new();
        fs::File::open(path)
            .and_then(|file| file.take(CONFIG_FILE_BYTES + 1).read_to_string(&mut text))
            .map_err(|io| {
                error(format!("cannot be read ({io}); pass another file with --config or KV_CONFIG"))
            })?;
        if text.len() as u64 > CONFIG_FILE_BYTES {
            return Err(error(format!("exceeds the limit of {CONFIG_FILE_BYTES} bytes")));
        }
        File::parse(path, text)
    }

    /// Parses `text` as the contents of the file.
    pub(crate) fn parse(path: &Path, text: String) -> Result<File, ConfigError> {
        let document = Document::parse(text.clone()).map_err(|error| {
            let line = line_at(&text, error.span().map_or(0, |span| span.start));
            let remedy = text.lines().nth(line - 1).and_then(quoted_value).unwrap_or_default();
            ConfigError {
                origin: Origin::Line(path.to_owned(), line),
                key: String::new(),
                message: format!("invalid TOML: {}{remedy}", error.message().replace('\n', ", ")),
            }
        })?;
        Ok(File { path: path.to_owned(), document, invalid: Vec::new(), valid_text: None })
    }

    /// The text, for `config` to read.
    pub(crate) fn text(&self) -> &str {
        self.valid_text.as_deref().unwrap_or(self.document.raw())
    }

    /// Leaves out unknown keys and values of the wrong type, so that the rest can be checked. Returns what is
    /// wrong with them.
    pub(crate) fn without_invalid(mut self, sections: &[&Section]) -> (File, Vec<ConfigError>) {
        let (paths, errors): (Vec<_>, Vec<_>) = self.validate(sections).into_iter().unzip();
        let mut valid = self.document.raw().parse::<DocumentMut>().unwrap_or_default();
        paths.iter().for_each(|path| remove(valid.as_item_mut(), path));
        self.valid_text = (!paths.is_empty()).then(|| valid.to_string());
        self.invalid = paths;
        (self, errors)
    }

    /// Whether the value at `path` may be missing because it, or one beside it whose name is similar, is
    /// invalid and has been left out.
    pub(crate) fn is_suspect(&self, path: &[&str]) -> bool {
        let Some((name, table)) = path.split_last() else { return false };
        let is_similar = |left_out: &Vec<String>| match left_out.split_last() {
            Some((other, rest)) => rest == table && nearest(other, [*name]).is_some(),
            None => false,
        };
        self.invalid.iter().any(is_similar)
    }

    /// The names of the `[nodes]` tables, in the order of the file.
    pub(crate) fn nodes(&self) -> Vec<String> {
        let nodes = self.document.get("nodes").and_then(Item::as_table_like);
        nodes.map(|table| table.iter().map(|(name, _)| name.to_owned()).collect()).unwrap_or_default()
    }

    /// An error about the key of this path.
    pub(crate) fn error(&self, path: &[&str], message: impl Into<String>) -> ConfigError {
        let line = self.line(path).or_else(|| self.row_line(path));
        let origin = match line {
            Some(line) => Origin::Line(self.path.clone(), line),
            None => Origin::File(self.path.clone()),
        };
        ConfigError { origin, key: format_key(path), message: message.into() }
    }

    /// The line of a key, if the file has it.
    pub(crate) fn origin(&self, path: &[&str]) -> Option<Origin> {
        Some(Origin::Line(self.path.clone(), self.line(path)?))
    }

    /// The line of a key. In a row the second part of the path is its index, from 0.
    fn line(&self, path: &[&str]) -> Option<usize> {
        let start = match self.row(path) {
            Some(row) => key_start(row, &path[2..]),
            None => key_start(self.document.as_table(), path),
        };
        Some(line_at(self.document.raw(), start?))
    }

    /// The line of the row of a key.
    fn row_line(&self, path: &[&str]) -> Option<usize> {
        Some(line_at(self.document.raw(), self.row(path)?.span()?.start))
    }

    fn row(&self, path: &[&str]) -> Option<&Table> {
        let [name, index, ..] = path else { return None };
        self.document.get(name)?.as_array_of_tables()?.get(index.parse().ok()?)
    }

    /// The paths of unknown keys and of values of the wrong type, and what is wrong with them.
    pub(crate) fn validate(&self, sections: &[&Section]) -> Vec<(Vec<String>, ConfigError)> {
        let mut validator = Validator { file: self, sections, errors: Vec::new() };
        for (name, item) in self.document.as_table() {
            match sections.iter().find(|section| section.table.name() == Some(name)) {
                None => validator.key(key::Table::Top, &[name], item),
                Some(section) => validator.section(section.table, name, item),
            }
        }
        validator.errors
    }
}

struct Validator<'a> {
    file: &'a File,
    sections: &'a [&'a Section],
    errors: Vec<(Vec<String>, ConfigError)>,
}

impl Validator<'_> {
    fn section(&mut self, table: key::Table, name: &str, item: &Item) {
        match table {
            key::Table::Rows(_) => self.rows(table, name, item),
            key::Table::Nodes => match item.as_table_like() {
                Some(nodes) => {
                    for (node, item) in nodes.iter() {
                        self.table(table, &[name, node], item);
                    }
                }
                None => self.not_a_table(&[name]),
            },
            key::Table::Top | key::Table::Named(_) => self.table(table, &[name], item),
        }
    }

    fn rows(&mut self, table: key::Table, name: &str, item: &Item) {
        let Some(rows) = item.as_array_of_tables() else {
            let message = format!("must be a list of rows: begin each row with [[{name}]]");
            return self.error(&[name], message);
        };
        for (index, row) in rows.iter().enumerate() {
            for (key, item) in row {
                self.key(table, &[name, &index.to_string(), key], item);
            }
        }
    }

    fn table(&mut self, table: key::Table, path: &[&str], item: &Item) {
        let Some(keys) = item.as_table_like() else {
            return self.not_a_table(path);
        };
        for (key, item) in keys.iter() {
            self.key(table, &[path, &[key]].concat(), item);
        }
    }

    fn key(&mut self, table: key::Table, path: &[&str], item: &Item) {
        let name = path.last().copied().unwrap_or_default();
        let Some(key) = self.keys(table).find(|key| key.name == name) else {
            let tables = self.sections.iter().filter_map(|section| section.table.name());
            let tables = tables.filter(|_| table == key::Table::Top);
            let valid: Vec<&str> = self.keys(table).map(|key| key.name).chain(tables).collect();
            let remedy = match (&self.homes(name)[..], nearest(name, valid.iter().copied())) {
                ([key::Table::Top], _) => {
                    format!("move {name} to the top of the file, before the first line in brackets")
                }
                ([], Some(word)) => format!("did you mean `{word}`?"),
                ([], None) => format!("valid keys: {}", valid.join(", ")),
                (homes, _) => {
                    let headings: Vec<String> = homes.iter().map(|home| home.heading()).collect();
                    format!("move {name} below {}", headings.join(" or "))
                }
            };
            return self.error(path, format!("unknown key; {remedy}"));
        };
        if !has_kind(item, key.kind) {
            let (value, expected) = (item.to_string(), key.kind.expected());
            let example = key.kind.literal(key.kind.remedy(item.as_str().unwrap_or_default(), key.example));
            self.error(path, format!("{} is not {expected}; write {name} = {example}", value.trim()));
        }
    }

    /// The tables in which a key of this name is valid.
    fn homes(&self, name: &str) -> Vec<key::Table> {
        let has_key = |section: &&&Section| section.keys.iter().any(|key| key.name == name);
        self.sections.iter().filter(has_key).map(|section| section.table).collect()
    }

    fn keys(&self, table: key::Table) -> impl Iterator<Item = &'static Key> {
        self.sections.iter().filter(move |section| section.table == table).flat_map(|section| section.keys)
    }

    fn not_a_table(&mut self, path: &[&str]) {
        let heading = format_key(path);
        let message = format!("must be a table: write [{heading}] on its own line and its keys below");
        self.error(path, message);
    }

    fn error(&mut self, path: &[&str], message: impl Into<String>) {
        let parts = path.iter().map(|&part| part.to_owned()).collect();
        self.errors.push((parts, self.file.error(path, message)));
    }
}

/// Removes the value at a path, in which rows have numbers.
fn remove(item: &mut Item, path: &[String]) {
    let Some((name, rest)) = path.split_first() else { return };
    let inner = match (item.as_array_of_tables_mut(), name.parse()) {
        (Some(rows), Ok(index)) => {
            // A row is a table, and not an item.
            if let (Some(row), Some(name)) = (rows.get_mut(index), rest.first()) {
                row.remove(name);
            }
            return;
        }
        _ => item.as_table_like_mut(),
    };
    match inner {
        Some(table) if rest.is_empty() => drop(table.remove(name)),
        Some(table) => table.get_mut(name).into_iter().for_each(|item| remove(item, rest)),
        None => {}
    }
}

/// Where the last key of the path begins.
fn key_start(table: &dyn TableLike, path: &[&str]) -> Option<usize> {
    let (name, rest) = path.split_first()?;
    let (key, item) = table.get_key_value(name)?;
    if rest.is_empty() { key.span().map(|span| span.start) } else { key_start(item.as_table_like()?, rest) }
}

fn has_kind(item: &Item, kind: Kind) -> bool {
    match kind {
        Kind::String => item.is_str(),
        Kind::Integer { min } => {
            item.as_integer().is_some_and(|number| (min..=MAX_INTEGER).contains(&number))
        }
        Kind::Bool => item.is_bool(),
        Kind::StringList => item.as_array().is_some_and(|array| array.iter().all(Value::is_str)),
    }
}

/// What to write instead of a line whose value is a word without quotes.
fn quoted_value(line: &str) -> Option<String> {
    let (key, value) = line.split_once('=')?;
    let word = value.split('#').next()?.trim();
    let is_bare =
        word.starts_with(|c: char| c.is_alphabetic() || "./~".contains(c)) && !word.contains(['"', '\'']);
    let key = key.trim();
    is_bare.then(|| match Kind::Bool.remedy(word, word) {
        value @ ("true" | "false") => format!("; a boolean is true or false: {key} = {value}"),
        _ => format!("; a string goes in quotes: {key} = {word:?}"),
    })
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}
