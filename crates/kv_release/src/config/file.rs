//! The configuration file as it was written: its text, and on which line each key stands.
//! `config` keeps no line numbers, so messages find them here.

use super::{
    problem::{Place, Problem, written},
    schema::{self, Kind, Section, TABLES},
    suggest::nearest,
};
use crate::limits::CONFIG_FILE_BYTES;
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};
use toml_edit::{Document, Item, TableLike, Value};

const NO_TABLE: &str = "is no table; give it a line of its own in brackets, with its keys below";

/// A file that was read and is TOML.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    document: Document<String>,
}

impl File {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> Result<File, Problem> {
        let whole =
            |wrong: String| Problem { place: Place::File(path.to_owned()), key: String::new(), wrong };
        let mut text = String::new();
        fs::File::open(path)
            .and_then(|file| file.take(CONFIG_FILE_BYTES + 1).read_to_string(&mut text))
            .map_err(|error| {
                whole(format!("cannot be read ({error}); name a file with --config or KV_CONFIG, or neither"))
            })?;
        if text.len() as u64 > CONFIG_FILE_BYTES {
            return Err(whole(format!("is larger than {CONFIG_FILE_BYTES} bytes; this is no configuration")));
        }
        File::parse(path, text)
    }

    /// Takes `text` for the contents of the file.
    pub(crate) fn parse(path: &Path, text: String) -> Result<File, Problem> {
        let document = Document::parse(text.clone()).map_err(|error| Problem {
            place: Place::Line(path.to_owned(), line_at(&text, error.span().map_or(0, |span| span.start))),
            key: String::new(),
            wrong: format!("is no TOML: {}", error.message().replace('\n', ", ")),
        })?;
        Ok(File { path: path.to_owned(), document })
    }

    /// The text, for `config` to read.
    pub(crate) fn text(&self) -> &str {
        self.document.raw()
    }

    /// The names of the `[nodes]` tables, in the order of the file.
    pub(crate) fn nodes(&self) -> Vec<String> {
        let nodes = self.document.get("nodes").and_then(Item::as_table_like);
        nodes.map(|table| table.iter().map(|(name, _)| name.to_owned()).collect()).unwrap_or_default()
    }

    /// The line of a key. A row of the routes is named by its position, from 0 on, and is found even where
    /// the key in it is missing.
    pub(crate) fn line(&self, path: &[&str]) -> Option<usize> {
        let start = match path {
            ["routes", row, rest @ ..] => {
                let rows = self.document.get("routes")?.as_array_of_tables()?;
                let row = rows.get(row.parse().ok()?)?;
                key_start(row, rest).or(row.span().map(|span| span.start))
            }
            _ => key_start(self.document.as_table(), path),
        };
        Some(line_at(self.text(), start?))
    }

    /// Unknown keys and values of the wrong type.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, item) in self.document.as_table() {
            match TABLES.iter().find(|table| **table == name) {
                None => self.judge_one(Section::Top, &[name], item, &mut problems),
                Some(&"nodes") => self.judge_nodes(item, &mut problems),
                Some(&"routes") => self.judge_routes(item, &mut problems),
                Some(table) => self.judge(Section::Table(table), &[name], item, &mut problems),
            }
        }
        problems
    }

    fn judge_nodes(&self, item: &Item, problems: &mut Vec<Problem>) {
        let Some(nodes) = item.as_table_like() else {
            return problems.push(self.problem(&["nodes"], NO_TABLE));
        };
        for (node, item) in nodes.iter() {
            self.judge(Section::Node, &["nodes", node], item, problems);
        }
    }

    fn judge_routes(&self, item: &Item, problems: &mut Vec<Problem>) {
        let Some(rows) = item.as_array_of_tables() else {
            return problems
                .push(self.problem(&["routes"], "is no list of rows; begin each row with [[routes]]"));
        };
        for (index, row) in rows.iter().enumerate() {
            for (name, item) in row {
                self.judge_one(Section::Route, &["routes", &index.to_string(), name], item, problems);
            }
        }
    }

    fn judge(&self, section: Section, path: &[&str], item: &Item, problems: &mut Vec<Problem>) {
        let Some(table) = item.as_table_like() else {
            return problems.push(self.problem(path, NO_TABLE));
        };
        for (name, item) in table.iter() {
            let path: Vec<&str> = path.iter().copied().chain([name]).collect();
            self.judge_one(section, &path, item, problems);
        }
    }

    fn judge_one(&self, section: Section, path: &[&str], item: &Item, problems: &mut Vec<Problem>) {
        let name = path.last().copied().unwrap_or_default();
        let Some(key) = schema::keys(section).find(|key| key.name == name) else {
            let known: Vec<&str> = schema::keys(section)
                .map(|key| key.name)
                .chain(TABLES.iter().copied().filter(|_| section == Section::Top))
                .collect();
            let advice = match nearest(name, known.iter().copied()) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            return problems.push(self.problem(path, format!("unknown key; {advice}")));
        };
        if !fits(key.kind, item) {
            let (wanted, example) = (key.kind.wanted(), key.example);
            let wrong = format!("{} is not {wanted}; write {name} = {example}", item.to_string().trim());
            problems.push(self.problem(path, wrong));
        }
    }

    fn problem(&self, path: &[&str], wrong: impl Into<String>) -> Problem {
        let place = match self.line(path) {
            Some(line) => Place::Line(self.path.clone(), line),
            None => Place::File(self.path.clone()),
        };
        Problem { place, key: written(path), wrong: wrong.into() }
    }
}

/// Where the last key of the path begins.
fn key_start(table: &dyn TableLike, path: &[&str]) -> Option<usize> {
    let (name, rest) = path.split_first()?;
    let (key, item) = table.get_key_value(name)?;
    if rest.is_empty() { key.span().map(|span| span.start) } else { key_start(item.as_table_like()?, rest) }
}

fn fits(kind: Kind, item: &Item) -> bool {
    match kind {
        Kind::Text => item.is_str(),
        Kind::Number { at_least } => item.as_integer().is_some_and(|number| number >= at_least),
        Kind::Truth => item.is_bool(),
        Kind::Texts => item.as_array().is_some_and(|array| array.iter().all(Value::is_str)),
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}
