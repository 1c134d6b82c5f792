//! A line of the console: its statements, its command and its arguments.

use kv::syntax::escape;
use std::str::FromStr;

/// One argument.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Argument {
    pub(super) bytes: Vec<u8>,
    quoted: bool,
}

impl Argument {
    /// Whether it is this word, without quotes.
    pub(super) fn is_bare(&self, word: &str) -> bool {
        !self.quoted && self.bytes == word.as_bytes()
    }

    /// Its word, if it is one without quotes.
    pub(super) fn as_bare(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok().filter(|_| !self.quoted)
    }

    /// A node's name: `bar@host`, `:bar@host`, `:"bar@host"` or `"bar@host"`.
    pub(super) fn node_name(&self) -> Result<&str, String> {
        let text = std::str::from_utf8(&self.bytes).map_err(|_| "a node's name must be UTF-8".to_owned())?;
        Ok(text.strip_prefix(':').unwrap_or(text))
    }

    /// A number of `what`; the error shows a valid line.
    pub(super) fn number<T: FromStr>(&self, what: &str, example: &str) -> Result<T, String> {
        let text = String::from_utf8_lossy(&self.bytes);
        text.parse().map_err(|_| format!("{text:?} is not the number of {what}; write {example}"))
    }
}

/// Splits what was pasted into its lines, which end outside quotes.
pub(crate) fn lines(text: &str) -> Vec<&str> {
    split(text, &['\n', '\r'])
}

/// Splits `line` into its statements at each `;` outside quotes.
pub(crate) fn statements(line: &str) -> Vec<&str> {
    split(line, &[';', '\n'])
}

fn split<'a>(line: &'a str, separators: &[char]) -> Vec<&'a str> {
    let mut statements = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (index, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            separator if !quoted && separators.contains(&separator) => {
                statements.push(&line[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    statements.push(&line[start..]);
    statements.into_iter().map(str::trim).filter(|statement| !statement.is_empty()).collect()
}

/// Bytes as an argument that is read as the same bytes.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\;():".contains(byte);
    match std::str::from_utf8(bytes) {
        Ok(word) if !word.is_empty() && bytes.iter().all(is_plain) => word.to_owned(),
        _ => {
            let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !b"\"\\".contains(byte);
            let escape = |byte: &u8| match byte {
                byte if plain(byte) => char::from(*byte).to_string(),
                byte => format!("\\x{byte:02x}"),
            };
            format!("\"{}\"", bytes.iter().map(escape).collect::<String>())
        }
    }
}

/// The first word of a usage, or of a line.
pub(crate) fn first_word(line: &str) -> &str {
    line.split(' ').next().unwrap_or(line)
}

/// Splits a statement into its command and arguments: `word a b` or `word(a)`.
pub(super) fn call(statement: &str) -> Result<(&str, Vec<Argument>), String> {
    let statement = statement.trim();
    let end = statement.find(|c: char| c.is_whitespace() || c == '(').unwrap_or(statement.len());
    let (word, rest) = statement.split_at(end);
    let rest = match rest.strip_prefix('(') {
        Some(inner) => inner.strip_suffix(')').ok_or_else(|| format!("{word}( has no closing )"))?,
        None => rest,
    };
    Ok((word, arguments(rest)?))
}

/// Splits at blanks outside quotes.
fn arguments(text: &str) -> Result<Vec<Argument>, String> {
    let mut arguments = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (argument, after) = argument(rest)?;
        arguments.push(argument);
        rest = after.trim_start();
    }
    Ok(arguments)
}

/// Takes the first argument off `text`, which does not begin with a blank.
fn argument(text: &str) -> Result<(Argument, &str), String> {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    // A colon before the quotes is the atom's: :"bar@host".
    let (colon, quoted) = match text.strip_prefix(':') {
        Some(rest) => (":", rest.strip_prefix('"')),
        None => ("", text.strip_prefix('"')),
    };
    let Some(mut rest) = quoted else {
        let (word, rest) = text.split_at(end);
        return Ok((Argument { bytes: word.into(), quoted: false }, rest));
    };
    let mut bytes = colon.as_bytes().to_vec();
    loop {
        let mut chars = rest.chars();
        match chars.next() {
            None => return Err("a quote is not closed".to_owned()),
            Some('"') => return Ok((Argument { bytes, quoted: true }, chars.as_str())),
            Some('\\') => {
                let (byte, length) = escape::unescape(rest.as_bytes()).ok_or_else(|| invalid_escape(rest))?;
                bytes.push(byte);
                rest = &rest[length..];
            }
            Some(c) => {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = chars.as_str();
            }
        }
    }
}

fn invalid_escape(text: &str) -> String {
    let escape: String = text.chars().take(2).collect();
    format!("{escape} is not an escape; write \\\" \\\\ \\n \\r \\t or \\xNN")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(line: &str) -> Vec<Vec<u8>> {
        call(line).unwrap().1.into_iter().map(|argument| argument.bytes).collect()
    }

    #[test]
    fn a_nodes_name_may_be_an_atom() {
        for line in [
            "Node.connect(:\"bar@127.0.0.1\")",
            "Node.connect :\"bar@127.0.0.1\"",
            "Node.connect( :bar@127.0.0.1 )",
            "connect bar@127.0.0.1",
            "  connect \"bar@127.0.0.1\"  ",
        ] {
            let (_, arguments) = call(line).unwrap();
            let names: Vec<_> = arguments.iter().map(|argument| argument.node_name().unwrap()).collect();
            assert_eq!(names, ["bar@127.0.0.1"], "{line}");
        }
    }

    #[test]
    fn quotes_hold_blanks_and_bytes() {
        assert_eq!(
            bytes("put s \"a b\" \"\\\"\\xff;\""),
            [b"s".to_vec(), b"a b".to_vec(), b"\"\xff;".to_vec()]
        );
        assert_eq!(bytes("put grün a\"b \"ü\""), ["grün".as_bytes(), b"a\"b", "ü".as_bytes()]);
    }

    #[test]
    fn quoted_bytes_are_read_as_the_same_bytes() {
        for word in [&b"milk"[..], b"", b"a b", b"\"\\;:(", b"\xff\n", "gr\u{fc}n".as_bytes()] {
            assert_eq!(bytes(&format!("get {}", quoted(word))), [word.to_vec()], "{}", quoted(word));
        }
        assert_eq!(quoted(b"milk"), "milk");
    }

    #[test]
    fn pasted_lines_end_outside_quotes() {
        assert_eq!(lines("put s k \"a\nb\"\r\nget s k; node\n"), ["put s k \"a\nb\"", "get s k; node"]);
    }

    #[test]
    fn errors_say_what_would_be_valid() {
        for (line, message) in [
            ("put s k \"v", "a quote is not closed"),
            ("put s k \"\\q\"", "\\q is not an escape; write \\\" \\\\ \\n \\r \\t or \\xNN"),
            ("put s k \"\\x4\"", "\\x is not an escape; write \\\" \\\\ \\n \\r \\t or \\xNN"),
            ("put s k \"\\", "\\ is not an escape; write \\\" \\\\ \\n \\r \\t or \\xNN"),
            ("Node.connect(:bar", "Node.connect( has no closing )"),
        ] {
            assert_eq!(call(line), Err(message.to_owned()), "{line}");
        }
        let (_, arguments) = call("tree all").unwrap();
        let message = "\"all\" is not the number of children; write tree 100";
        assert_eq!(arguments[0].number::<usize>("children", "tree 100"), Err(message.to_owned()));
    }

    #[test]
    fn statements_end_at_semicolons_outside_quotes() {
        assert_eq!(
            statements("create s; put s k \"a;b\" ;; get s k"),
            ["create s", "put s k \"a;b\"", "get s k"]
        );
    }
}
