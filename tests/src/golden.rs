//! Golden sessions: what a client sends and what it must receive, byte for byte, in readable files.
//!
//! `> line` is sent and `< line` is expected, each ending with CRLF. `>> bytes` and `<< bytes` have no
//! implied ending and may have the escapes `\r \n \t \\ \" \xNN`. Empty lines and lines that start with `#`
//! are for the reader.

use crate::client::Client;
use std::{fs, path::Path};

/// One step of a session.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Send(Vec<u8>),
    ExpectLine(Vec<u8>),
    ExpectBytes(Vec<u8>),
}

/// The files of one directory below `golden/`, by name.
pub fn sessions(directory: &str) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(directory);
    let entries = fs::read_dir(directory).expect("the golden directory exists");
    let mut sessions: Vec<_> = entries
        .map(|entry| entry.expect("the golden directory can be read").path())
        .map(|path| (path.display().to_string(), fs::read_to_string(&path).expect("a text file")))
        .collect();
    sessions.sort();
    sessions
}

/// Plays a session.
///
/// # Panics
/// When a reply differs, or when more arrives than the session has.
pub fn play(client: &mut Client, name: &str, session: &str) {
    for (index, line) in session.lines().enumerate() {
        let (got, expected) = match step(line) {
            None => continue,
            Some(Step::Send(bytes)) => {
                client.send(bytes);
                continue;
            }
            Some(Step::ExpectLine(expected)) => (client.line_bytes(), expected),
            Some(Step::ExpectBytes(expected)) => (client.bytes(expected.len()), expected),
        };
        assert_eq!(
            got.escape_ascii().to_string(),
            expected.escape_ascii().to_string(),
            "{name}:{}",
            index + 1
        );
    }
    client.assert_in_sync();
}

/// The first telnet session of a page, in the form of a golden session.
///
/// # Panics
/// When the page has none.
pub fn transcript(page: &str) -> String {
    let (_, rest) = page.split_once("```telnet\n$ telnet").expect("a telnet session");
    let (session, _) = rest.split_once("```").expect("the end of the session");
    let is_request =
        |line: &str| ["CREATE ", "PUT ", "GET ", "DELETE "].iter().any(|verb| line.starts_with(verb));
    let mark = |line: &str| format!("{} {line}\n", if is_request(line) { '>' } else { '<' });
    session.lines().skip(1).map(mark).collect()
}

fn step(line: &str) -> Option<Step> {
    let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
    match mark {
        ">" => Some(Step::Send(format!("{rest}\r\n").into_bytes())),
        "<" => Some(Step::ExpectLine(rest.into())),
        ">>" => Some(Step::Send(unescape(rest.as_bytes()))),
        "<<" => Some(Step::ExpectBytes(unescape(rest.as_bytes()))),
        _ => {
            assert!(line.is_empty() || line.starts_with('#'), "not a line of a golden session: {line:?}");
            None
        }
    }
}

/// Replaces the escapes in `text`.
pub(crate) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(quote @ (b'\\' | b'"')) => quote,
            Some(b'x') => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).expect("two hexadecimal digits after \\x")
            }
            other => panic!("no such escape in a golden session: {other:?}"),
        });
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_escapes() {
        assert_eq!(step("> CREATE shopping"), Some(Step::Send(b"CREATE shopping\r\n".to_vec())));
        assert_eq!(step("<"), Some(Step::ExpectLine(Vec::new())));
        assert_eq!(step(r">> a\t\x00\\\n"), Some(Step::Send(b"a\t\0\\\n".to_vec())));
        assert_eq!(step("# a comment"), None);
    }
}
