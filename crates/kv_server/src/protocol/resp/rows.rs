//! All commands that a Redis client may use: those on buckets, which are the store's, and those of the session.

use super::{
    parse::Words,
    session_commands::{SESSION_COMMANDS, SessionCommand},
    split,
};
use kv::{About, COMMANDS, Command, Refusal};
use std::{collections::HashMap, sync::LazyLock};

/// A row of one of the two tables.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Row {
    /// A command on buckets.
    Bucket(&'static Command),
    /// A command of the session.
    Session(&'static SessionCommand),
}

/// A row, and its number among all rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) row: Row,
    pub(super) number: usize,
    /// Whether the second word of the command says what it does.
    has_subcommands: bool,
    /// Whether the command is the second word of another one.
    is_subcommand: bool,
}

impl Row {
    /// All rows: first those of the store, then those of the session.
    pub(crate) fn all() -> impl Iterator<Item = Row> {
        COMMANDS.iter().map(Row::Bucket).chain(SESSION_COMMANDS.iter().map(Row::Session))
    }

    /// What the world is told about the command.
    pub(crate) fn about(self) -> &'static About {
        match self {
            Row::Bucket(command) => &command.about,
            Row::Session(command) => &command.about,
        }
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

/// The row of this name, which may be in any case; a subcommand's is `client|id`.
pub(super) fn find(name: &[u8]) -> Option<Found> {
    static BY_NAME: LazyLock<HashMap<&'static [u8], Found>> = LazyLock::new(|| {
        let names = || Row::all().map(|row| row.about().name);
        let found = |(number, row): (usize, Row)| {
            let name = row.about().name;
            let belongs = |other: &str| other.split_once('|').is_some_and(|(container, _)| container == name);
            let (has_subcommands, is_subcommand) = (names().any(belongs), name.contains('|'));
            (name.as_bytes(), Found { row, number, has_subcommands, is_subcommand })
        };
        Row::all().enumerate().map(found).collect()
    });
    let mut lower = [0; LONGEST_NAME];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    BY_NAME.get(&*lower).copied()
}

/// Bytes that the longest name of a command may have.
const LONGEST_NAME: usize = 32;

/// The row that a command asks for, with as many words as the row wants; or why there is none, in Redis's words.
pub(super) fn judge(words: &Words<'_>, last: Option<Found>) -> Result<Found, Refusal> {
    let same = |found: &Found| words.name.eq_ignore_ascii_case(found.row.about().name.as_bytes());
    let found = last.filter(same).or_else(|| find(words.name)).filter(|found| !found.is_subcommand);
    let found = found.ok_or_else(|| unknown(words))?;
    let found = match found.has_subcommands.then(|| words.args().next()).flatten() {
        Some(word) => subcommand(found, word)?,
        None => found,
    };
    let About { arity, name, .. } = *found.row.about();
    let wanted = arity.unsigned_abs() as usize;
    if words.count == wanted || (arity < 0 && words.count > wanted) {
        Ok(found)
    } else {
        Err(Refusal::Arity(name.to_owned()))
    }
}

fn subcommand(container: Found, word: &[u8]) -> Result<Found, Refusal> {
    let name = container.row.about().name;
    find(&[name.as_bytes(), b"|", word].concat()).ok_or_else(|| {
        let (word, container) = (quoted(word), name.to_ascii_uppercase());
        Refusal::Other(format!("ERR unknown subcommand '{word}'. Try {container} HELP."))
    })
}

fn unknown(words: &Words<'_>) -> Refusal {
    let mut args = String::new();
    for word in words.args() {
        if args.len() >= QUOTED_BYTES {
            break;
        }
        let room = QUOTED_BYTES - args.len();
        args.push_str(&format!("'{}' ", quoted(&word[..word.len().min(room)])));
    }
    Refusal::Other(format!("ERR unknown command '{}', with args beginning with: {args}", quoted(words.name)))
}

/// The start of a word that is not known.
fn quoted(word: &[u8]) -> String {
    String::from_utf8_lossy(&word[..word.len().min(QUOTED_BYTES)]).into_owned()
}

/// Bytes of an unknown command that are said again in the error.
const QUOTED_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(line: &str) -> Result<&'static str, String> {
        let mut words = line.split(' ');
        let name = words.next().expect("a name").as_bytes();
        let (mut bulks, mut count) = (Vec::new(), 1);
        for word in words {
            kv::push_bulk(&mut bulks, word.as_bytes());
            count += 1;
        }
        let found = judge(&Words { count, name, bulks: &bulks }, None);
        found.map(|found| found.row.about().name).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn names_are_found_in_any_case_and_once() {
        assert_eq!(judged("GeT milk"), Ok("get"));
        assert_eq!(judged("client Id"), Ok("client|id"));
        let names: std::collections::HashSet<_> = Row::all().map(|row| row.about().name).collect();
        assert_eq!(names.len(), Row::all().count());
        assert!(names.iter().all(|name| find(name.as_bytes()).is_some()));
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
