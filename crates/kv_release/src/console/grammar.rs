//! What the console understands: one line becomes one [`Command`]. Elixir's spellings and plain words
//! mean the same.

use crate::{limits::TREE_CHILDREN, suggest::nearest};
use std::iter::Peekable;
use std::str::CharIndices;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Status,
    Node,
    List,
    Nodes,
    Connect(String),
    Routes,
    Buckets,
    Tree { children: usize },
    Create { bucket: Vec<u8> },
    Put { bucket: Vec<u8>, key: Vec<u8>, value: Vec<u8> },
    Get { bucket: Vec<u8>, key: Vec<u8> },
    Delete { bucket: Vec<u8>, key: Vec<u8> },
    Keys { bucket: Vec<u8> },
    Drop { bucket: Vec<u8> },
    Crash { bucket: Vec<u8> },
    CrashRegistry,
    Pid,
    Version,
    Stop,
    Restart,
}

/// Each command as one types it, and what it does. Help, completion and suggestions read this table.
pub(crate) const WORDS: &[(&str, &str)] = &[
    ("help", "this list"),
    ("status", "this node: name, version, pid, addresses"),
    ("node", "this node's name; Node.self says the same"),
    ("nodes", "all nodes, up or down; Node.list names those that are up, besides this one"),
    ("connect NODE", "connect to a node; so does Node.connect(:\"bar@127.0.0.1\")"),
    ("routes", "which node owns which buckets"),
    ("buckets", "the names of all buckets, on all nodes"),
    ("tree [CHILDREN]", "the supervision tree of this node"),
    ("create BUCKET", "start a bucket; one that is there keeps its contents"),
    ("put BUCKET KEY VALUE", "set a key"),
    ("get BUCKET KEY", "read a key"),
    ("delete BUCKET KEY", "forget a key"),
    ("keys BUCKET", "the keys of a bucket"),
    ("drop BUCKET", "end a bucket and all that it holds"),
    ("stop BUCKET", "the same, as a process is stopped"),
    ("crash BUCKET", "let a bucket crash, to see that only it is lost"),
    ("crash registry", "let the registry crash, to see it restarted (\"registry\" in quotes is a bucket)"),
    ("pid", "this node's pid"),
    ("version", "this release's name and version"),
    ("stop", "drain this node and end it"),
    ("restart", "drain this node and start it again"),
];

/// One argument: its bytes, and whether it stood in quotes.
#[derive(Debug, PartialEq, Eq)]
struct Word {
    bytes: Vec<u8>,
    quoted: bool,
}

/// Reads one line. The error says what would have been right.
pub(crate) fn parse(line: &str) -> Result<Command, String> {
    let line = line.trim();
    let end = line.find(|c: char| c.is_whitespace() || c == '(').unwrap_or(line.len());
    let (head, rest) = line.split_at(end);
    let rest = match rest.strip_prefix('(') {
        Some(inner) => inner.strip_suffix(')').ok_or_else(|| format!("{head}( has no closing )"))?,
        None => rest,
    };
    let words = words(rest)?;
    match (head, words.as_slice()) {
        ("help" | "?", _) => Ok(Command::Help),
        ("status", []) => Ok(Command::Status),
        ("node" | "Node.self", []) => Ok(Command::Node),
        ("Node.list", []) => Ok(Command::List),
        ("nodes", []) => Ok(Command::Nodes),
        ("connect" | "Node.connect", [name]) => Ok(Command::Connect(atom(name)?)),
        ("routes", []) => Ok(Command::Routes),
        ("buckets", []) => Ok(Command::Buckets),
        ("tree", []) => Ok(Command::Tree { children: TREE_CHILDREN }),
        ("tree", [count]) => Ok(Command::Tree { children: number(count)? }),
        ("pid", []) => Ok(Command::Pid),
        ("version", []) => Ok(Command::Version),
        ("stop" | "System.stop", []) => Ok(Command::Stop),
        ("restart" | "System.restart", []) => Ok(Command::Restart),
        ("crash", [Word { bytes, quoted: false }]) if bytes == b"registry" => Ok(Command::CrashRegistry),
        _ => on_a_bucket(head, words),
    }
}

/// The commands whose arguments are a bucket's name and perhaps more.
fn on_a_bucket(head: &str, words: Vec<Word>) -> Result<Command, String> {
    let mut words = words.into_iter().map(|word| word.bytes);
    let arguments = (words.next(), words.next(), words.next(), words.next());
    match (head, arguments) {
        ("create", (Some(bucket), None, ..)) => Ok(Command::Create { bucket }),
        ("put", (Some(bucket), Some(key), Some(value), None)) => Ok(Command::Put { bucket, key, value }),
        ("get", (Some(bucket), Some(key), None, _)) => Ok(Command::Get { bucket, key }),
        ("delete", (Some(bucket), Some(key), None, _)) => Ok(Command::Delete { bucket, key }),
        ("keys", (Some(bucket), None, ..)) => Ok(Command::Keys { bucket }),
        ("drop" | "stop", (Some(bucket), None, ..)) => Ok(Command::Drop { bucket }),
        ("crash", (Some(bucket), None, ..)) => Ok(Command::Crash { bucket }),
        _ => Err(unknown(head)),
    }
}

/// The message for a line that is no command: its usage when the word is right, else the nearest word.
fn unknown(head: &str) -> String {
    let usages: Vec<&str> =
        WORDS.iter().map(|(usage, _)| *usage).filter(|usage| first_word(usage) == head).collect();
    if !usages.is_empty() {
        return format!("write {}", usages.join(" or "));
    }
    let known = WORDS.iter().map(|(usage, _)| first_word(usage)).chain(ELIXIR.iter().copied());
    match nearest(head, known) {
        Some(word) => format!("unknown command {head:?}; did you mean `{word}`?"),
        None => format!("unknown command {head:?}; `help` lists the commands"),
    }
}

/// The spellings of Elixir that are understood.
pub(crate) const ELIXIR: &[&str] =
    &["Node.connect", "Node.list", "Node.self", "System.stop", "System.restart"];

/// The first word of a usage.
pub(crate) fn first_word(usage: &str) -> &str {
    usage.split(' ').next().unwrap_or(usage)
}

/// Splits `line` into its statements at each `;` that stands outside quotes.
pub(crate) fn statements(line: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (index, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' | '\n' if !quoted => {
                statements.push(&line[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    statements.push(&line[start..]);
    statements.into_iter().map(str::trim).filter(|statement| !statement.is_empty()).collect()
}

/// A node's name: `bar@host`, `:bar@host`, `:"bar@host"` or `"bar@host"`.
fn atom(word: &Word) -> Result<String, String> {
    let text = String::from_utf8(word.bytes.clone()).map_err(|_| "a node's name is text".to_owned())?;
    Ok(text.strip_prefix(':').map(str::to_owned).unwrap_or(text))
}

fn number(word: &Word) -> Result<usize, String> {
    let text = String::from_utf8_lossy(&word.bytes);
    text.parse().map_err(|_| format!("{text:?} is not a number of children; write tree 100"))
}

/// Splits at blanks; quotes hold blanks and the escapes `\"`, `\\`, `\n`, `\r`, `\t`, `\xNN`.
fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some(&(_, c)) = chars.peek() {
        if c.is_whitespace() {
            chars.next();
            continue;
        }
        words.push(word(&mut chars)?);
    }
    Ok(words)
}

fn word(chars: &mut Peekable<CharIndices<'_>>) -> Result<Word, String> {
    let mut word = Word { bytes: Vec::new(), quoted: false };
    let mut open = false;
    while let Some((_, c)) = chars.next_if(|(_, c)| open || !c.is_whitespace()) {
        match c {
            // A colon before the quotes is the atom's: :"bar@host".
            '"' if open || word.bytes.is_empty() || word.bytes == b":" => {
                open = !open;
                word.quoted = true;
                if !open {
                    return Ok(word);
                }
            }
            '\\' if open => word.bytes.push(escape(chars)?),
            c => word.bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    if open { Err("a quote is not closed".to_owned()) } else { Ok(word) }
}

fn escape(chars: &mut Peekable<CharIndices<'_>>) -> Result<u8, String> {
    let mut next = || chars.next().map(|(_, c)| c);
    match next() {
        Some('n') => Ok(b'\n'),
        Some('r') => Ok(b'\r'),
        Some('t') => Ok(b'\t'),
        Some('"') => Ok(b'"'),
        Some('\\') => Ok(b'\\'),
        Some('x') => {
            let digits: String = [next(), next()].into_iter().flatten().collect();
            u8::from_str_radix(&digits, 16)
                .map_err(|_| format!("\\x{digits} is no byte; write \\x00 to \\xff"))
        }
        other => Err(format!(
            "\\{} is no escape; write \\\" \\\\ \\n \\r \\t or \\xNN",
            other.map(String::from).unwrap_or_default()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elixir_and_plain_words_mean_the_same() {
        let bar = || Ok(Command::Connect("bar@127.0.0.1".to_owned()));
        for line in [
            "Node.connect(:\"bar@127.0.0.1\")",
            "Node.connect :\"bar@127.0.0.1\"",
            "Node.connect( :bar@127.0.0.1 )",
            "connect bar@127.0.0.1",
            "  connect \"bar@127.0.0.1\"  ",
        ] {
            assert_eq!(parse(line), bar(), "{line}");
        }
        for line in ["node", "node()", "Node.self", "Node.self()"] {
            assert_eq!(parse(line), Ok(Command::Node), "{line}");
        }
        assert_eq!(parse("Node.connect(:bar@MacBookPro)"), Ok(Command::Connect("bar@MacBookPro".to_owned())));
        assert_eq!(parse("Node.list()"), Ok(Command::List));
    }

    #[test]
    fn quotes_hold_blanks_and_bytes() {
        let expected =
            Command::Put { bucket: b"s".to_vec(), key: b"a b".to_vec(), value: b"\"\xff;".to_vec() };
        assert_eq!(parse("put s \"a b\" \"\\\"\\xff;\""), Ok(expected));
    }

    #[test]
    fn a_bucket_may_be_called_registry() {
        assert_eq!(parse("crash registry"), Ok(Command::CrashRegistry));
        assert_eq!(parse("crash \"registry\""), Ok(Command::Crash { bucket: b"registry".to_vec() }));
    }

    #[test]
    fn stop_alone_is_the_node_and_with_a_name_the_bucket() {
        assert_eq!(parse("stop"), Ok(Command::Stop));
        assert_eq!(parse("stop shopping"), Ok(Command::Drop { bucket: b"shopping".to_vec() }));
    }

    #[test]
    fn mistakes_are_answered_with_what_would_be_right() {
        for (line, message) in [
            ("buckts", "unknown command \"buckts\"; did you mean `buckets`?"),
            ("GET shopping", "unknown command \"GET\"; did you mean `get`?"),
            ("Node.lst", "unknown command \"Node.lst\"; did you mean `Node.list`?"),
            ("xyzzy", "unknown command \"xyzzy\"; `help` lists the commands"),
            ("get shopping", "write get BUCKET KEY"),
            ("crash", "write crash BUCKET or crash registry"),
            ("put s k \"v", "a quote is not closed"),
            ("put s k \"\\q\"", "\\q is no escape; write \\\" \\\\ \\n \\r \\t or \\xNN"),
            ("Node.connect(:bar", "Node.connect( has no closing )"),
            ("tree all", "\"all\" is not a number of children; write tree 100"),
        ] {
            assert_eq!(parse(line), Err(message.to_owned()), "{line}");
        }
    }

    #[test]
    fn statements_end_at_semicolons_outside_quotes() {
        assert_eq!(
            statements("create s; put s k \"a;b\" ;; get s k"),
            ["create s", "put s k \"a;b\"", "get s k"]
        );
    }

    #[test]
    fn every_listed_command_is_understood() {
        for (usage, _) in WORDS {
            let line = usage.replace("[CHILDREN]", "5");
            assert!(parse(&line).is_ok(), "{line}");
        }
    }
}
