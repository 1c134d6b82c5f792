//! Completion with Tab: commands, and then the names of the running node's peers and buckets.

use crate::{
    console::{
        parse::first_word,
        table::{COMMANDS, Command},
    },
    control::{client, run_dir::RunDir},
};
use rustyline::{
    Context, Helper,
    completion::{Completer, Pair},
    highlight::Highlighter,
    hint::Hinter,
    validate::Validator,
};
use serde_json::Value;

/// Completes lines for the node of `run_dir`.
pub(super) struct Completion {
    pub(super) run_dir: RunDir,
}

impl Helper for Completion {}
impl Highlighter for Completion {}
impl Validator for Completion {}
impl Hinter for Completion {
    type Hint = String;
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(&self, line: &str, end: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..end];
        let start = typed.rfind([' ', '(', ':', '"']).map_or(0, |blank| blank + 1);
        let candidates = if start == 0 { commands() } else { self.names(first_word(typed)) };
        let prefix = &typed[start..];
        let pair = |word: String| Pair { display: word.clone(), replacement: word };
        Ok((start, candidates.into_iter().filter(|word| word.starts_with(prefix)).map(pair).collect()))
    }
}

impl Completion {
    /// The names that may follow a command.
    fn names(&self, command: &str) -> Vec<String> {
        if command == "connect" || command.starts_with("Node.") {
            let nodes = self.evaluate("nodes");
            return json_strings(nodes.as_array().into_iter().flatten().map(|row| &row["node"]));
        }
        let mut names = if command == "crash" { vec!["registry".to_owned()] } else { Vec::new() };
        let buckets = self.evaluate("buckets");
        names.extend(json_strings(buckets["names"].as_array().into_iter().flatten()));
        names
    }

    fn evaluate(&self, expression: &str) -> Value {
        client::evaluate(&self.run_dir, expression, true).unwrap_or_default()
    }
}

fn commands() -> Vec<String> {
    let mut words: Vec<String> = COMMANDS.iter().flat_map(Command::words).map(str::to_owned).collect();
    words.push("exit".to_owned());
    words.sort();
    words.dedup();
    words
}

fn json_strings<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<String> {
    values.filter_map(Value::as_str).map(str::to_owned).collect()
}
