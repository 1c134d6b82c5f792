//! Completion with Tab: commands, and then the names of the running node's peers and buckets.

use crate::{
    console::{
        parse::first_word,
        table::{COMMANDS, Command, missing_parameters},
    },
    control::{client, run_dir::RunDir},
};
use rustyline::{
    Context, Helper,
    completion::{Completer, Pair},
    highlight::Highlighter,
    hint::{Hint, Hinter},
    validate::Validator,
};
use serde_json::Value;
use std::borrow::Cow;

/// Completes lines for the node of `run_dir`.
pub(super) struct Completion {
    pub(super) run_dir: RunDir,
}

impl Helper for Completion {}
impl Highlighter for Completion {
    /// Dim, so that it is not taken for what was typed.
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[2m{hint}\x1b[0m"))
    }
}
impl Validator for Completion {}
impl Hinter for Completion {
    type Hint = Parameters;

    fn hint(&self, line: &str, end: usize, _: &Context<'_>) -> Option<Parameters> {
        missing_parameters(line).filter(|_| end == line.len()).map(Parameters)
    }
}

/// What a line still lacks. It is shown, and never inserted.
pub(super) struct Parameters(String);

impl Hint for Parameters {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(&self, line: &str, end: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..end];
        let start = typed.rfind([' ', '(', ':', '"']).map_or(0, |blank| blank + 1);
        let candidates = if start == 0 { commands() } else { self.names(first_word(typed)) };
        let prefix = &typed[start..];
        let pair = |word: String| Pair { display: word.clone(), replacement: word };
        let fits = |word: &String| {
            // Names are case-sensitive, words are not.
            let typed = word.get(..prefix.len());
            typed == Some(prefix)
                || start == 0 && typed.is_some_and(|typed| typed.eq_ignore_ascii_case(prefix))
        };
        Ok((start, candidates.into_iter().filter(fits).map(pair).collect()))
    }
}

impl Completion {
    /// The names that may follow a command.
    fn names(&self, command: &str) -> Vec<String> {
        let command = command.to_ascii_lowercase();
        if ["connect", "ping"].contains(&command.as_str()) || command.starts_with("node.") {
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
