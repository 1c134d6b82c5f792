//! What commands there are, by name and by number, and whether one is called as it should be. What they do stands in `rows`.

use super::{parse::Words, split};
use foldhash::fast::RandomState;
use kv::{CommandError, CommandSpec};
use std::collections::HashMap;

/// All commands that a Redis client may use.
#[derive(Debug)]
pub(crate) struct Catalog {
    specs: Vec<&'static CommandSpec>,
    by_name: HashMap<&'static [u8], Found, RandomState>,
}

/// A command of the catalog.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) spec: &'static CommandSpec,
    /// Its place among all commands.
    pub(super) number: usize,
    /// Whether the second word of the command says what it does.
    has_subcommands: bool,
    /// Whether the command is the second word of another one.
    pub(super) is_subcommand: bool,
}

/// Bytes that the longest name of a command may have.
const LONGEST_NAME: usize = 32;

/// Bytes of an unknown command that are said again in the error.
const QUOTED_BYTES: usize = 128;

impl Catalog {
    /// The commands in this order.
    pub(super) fn new(specs: Vec<&'static CommandSpec>) -> Catalog {
        let found = |(number, spec): (usize, &&'static CommandSpec)| {
            let belongs = |other: &&CommandSpec| container(other) == Some(spec.name);
            let (has_subcommands, is_subcommand) = (specs.iter().any(belongs), container(spec).is_some());
            (spec.name.as_bytes(), Found { spec, number, has_subcommands, is_subcommand })
        };
        let by_name = specs.iter().enumerate().map(found).collect();
        Catalog { specs, by_name }
    }

    /// What the world is told about all commands, subcommands among them.
    pub(crate) fn specs(&self) -> &[&'static CommandSpec] {
        &self.specs
    }

    /// The subcommands of a command.
    pub(super) fn subcommands(&self, spec: &CommandSpec) -> Vec<&'static CommandSpec> {
        self.specs.iter().copied().filter(|other| container(other) == Some(spec.name)).collect()
    }

    /// The command of this name, which may be in any case; a subcommand's is `client|id`.
    pub(super) fn find(&self, name: &[u8]) -> Option<Found> {
        let mut lower = [0; LONGEST_NAME];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.by_name.get(&*lower).copied()
    }

    /// The command that is asked for, with as many words as it wants; or why there is none, in Redis's words.
    pub(super) fn judge(&self, words: &Words<'_>) -> Result<Found, CommandError> {
        let found = self.find(words.name).filter(|found| !found.is_subcommand);
        let found = found.ok_or_else(|| unknown(words))?;
        let found = match found.has_subcommands.then(|| words.args().next()).flatten() {
            Some(word) => self.subcommand(found.spec.name, word)?,
            None => found,
        };
        let CommandSpec { arity, name, .. } = *found.spec;
        let wanted = arity.unsigned_abs() as usize;
        if words.count == wanted || (arity < 0 && words.count > wanted) {
            Ok(found)
        } else {
            Err(CommandError::Arity(name.to_owned()))
        }
    }

    fn subcommand(&self, container: &str, word: &[u8]) -> Result<Found, CommandError> {
        self.find(&[container.as_bytes(), b"|", word].concat()).ok_or_else(|| {
            let (word, container) = (quoted(word), container.to_ascii_uppercase());
            CommandError::Other(format!("ERR unknown subcommand '{word}'. Try {container} HELP."))
        })
    }
}

impl Found {
    /// The words of the command, less the one that chose among subcommands.
    pub(super) fn own<'a>(&self, words: &Words<'a>) -> Words<'a> {
        if !self.is_subcommand {
            return *words;
        }
        let bulks = split::cut(words.bulks).map_or(words.bulks, |(_, rest)| rest);
        Words { count: words.count - 1, bulks, ..*words }
    }
}

/// The command that a subcommand belongs to.
fn container(spec: &CommandSpec) -> Option<&'static str> {
    spec.name.split_once('|').map(|(container, _)| container)
}

fn unknown(words: &Words<'_>) -> CommandError {
    let mut args = String::new();
    for word in words.args() {
        if args.len() >= QUOTED_BYTES {
            break;
        }
        let room = QUOTED_BYTES - args.len();
        args.push_str(&format!("'{}' ", quoted(&word[..word.len().min(room)])));
    }
    CommandError::Other(format!(
        "ERR unknown command '{}', with args beginning with: {args}",
        quoted(words.name)
    ))
}

/// The start of a word that is not known.
fn quoted(word: &[u8]) -> String {
    String::from_utf8_lossy(&word[..word.len().min(QUOTED_BYTES)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::resp::catalog;

    fn judged(line: &str) -> Result<&'static str, String> {
        let mut words = line.split(' ');
        let name = words.next().expect("a name").as_bytes();
        let (mut bulks, mut count) = (Vec::new(), 1);
        for word in words {
            kv::args::push(&mut bulks, word.as_bytes());
            count += 1;
        }
        let found = catalog().judge(&Words { count, name, bulks: &bulks });
        found
            .map(|found| found.spec.name)
            .map_err(|refusal| crate::protocol::resp::sentence::sentence(&refusal).into_owned())
    }

    #[test]
    fn names_are_found_in_any_case_and_once() {
        assert_eq!(judged("GeT milk"), Ok("get"));
        assert_eq!(judged("client Id"), Ok("client|id"));
        let names: Vec<_> = catalog().specs().iter().map(|spec| spec.name).collect();
        assert!(names.iter().enumerate().all(|(number, name)| {
            catalog().find(name.as_bytes()).is_some_and(|found| found.number == number)
        }));
    }

    #[test]
    fn refusals_are_in_rediss_words() {
        let unknown = "ERR unknown command 'client|id', with args beginning with: ";
        assert_eq!(judged("client|id"), Err(unknown.into()));
        for (line, refusal) in [
            ("get", "ERR wrong number of arguments for 'get' command"),
            ("get a b", "ERR wrong number of arguments for 'get' command"),
            ("client", "ERR wrong number of arguments for 'client' command"),
            ("CLIENT id 1", "ERR wrong number of arguments for 'client|id' command"),
            ("client foo", "ERR unknown subcommand 'foo'. Try CLIENT HELP."),
            ("foo", "ERR unknown command 'foo', with args beginning with: "),
            ("foo a b", "ERR unknown command 'foo', with args beginning with: 'a' 'b' "),
        ] {
            assert_eq!(judged(line), Err(refusal.to_owned()), "{line}");
        }
    }
}
