//! Plays sessions as redis-cli shows them: a line that starts with `> ` is a command, the lines below it are
//! the reply. A line such as `(500 ms later)` advances the clock. Words may be quoted, with `\xNN` for any
//! byte.

use crate::{
    args::{self, Args},
    commands::spec::{Command, KeySpec},
    error::CommandError,
    reply::Reply,
    request::{Op, Request},
    store::Store,
};
use std::ops::ControlFlow;

/// Some time in 2023.
pub(super) const START: u64 = 1_700_000_000_000;

/// Plays a session in an empty store, and compares each reply.
pub(super) fn play(session: &str) {
    let (store, mut now) = (Store::new(), START);
    let lines: Vec<&str> = session.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut at = 0;
    while at < lines.len() {
        if let Some(wait) = lines[at].strip_prefix('(').and_then(|line| line.strip_suffix(" ms later)")) {
            now += wait.parse::<u64>().expect("a number of milliseconds");
            at += 1;
            continue;
        }
        let typed = lines[at].strip_prefix("> ").expect("a command");
        let end =
            lines[at + 1..].iter().position(|line| line.starts_with("> ") || line.ends_with(" ms later)"));
        let reply = lines[at + 1..].iter().take(end.unwrap_or(lines.len())).copied();
        let expected = reply.collect::<Vec<_>>().join("\n");
        assert_eq!(run(&store, now, &words(typed)), expected, "> {typed}");
        at += 1 + expected.lines().count();
    }
}

/// Executes one command, split by its keys as the server does it. Returns the reply.
pub(super) fn run(store: &Store, now: u64, words: &[Vec<u8>]) -> String {
    let name = |words: &[Vec<u8>]| String::from_utf8_lossy(&words.join(&b'|')).to_lowercase();
    let (command, words) = match Command::find(&name(&words[..1])) {
        Some(command) => (command, words),
        None => (Command::find(&name(&words[..2])).expect("a command"), &words[1..]),
    };
    let spec = &command.spec;
    let count = words.len() as i32 + i32::from(spec.name.contains('|'));
    if spec.arity >= 0 && count != spec.arity || count < -spec.arity {
        return format!("(error) {:?}", CommandError::Arity(spec.name.into()));
    }
    let run_one = |words: &[Vec<u8>]| run_one(store, now, command, words);
    match spec.keys {
        KeySpec::EachSummed => {
            let numbers = words[1..].chunks(1).map(&run_one);
            let number =
                |text: String| text.trim_start_matches("(integer) ").parse::<i64>().expect("a number");
            format!("(integer) {}", numbers.map(number).sum::<i64>())
        }
        KeySpec::EachListed => {
            let items = words[1..].chunks(1).map(&run_one).zip(1..);
            items.map(|(item, number)| format!("{number}) {item}")).collect::<Vec<_>>().join("\n")
        }
        KeySpec::PairsEach => {
            words[1..].chunks(2).map(&run_one).fold(None, |_, reply| Some(reply)).expect("a pair")
        }
        KeySpec::None | KeySpec::One | KeySpec::TwoTogether | KeySpec::PairsTogether => run_one(&words[1..]),
    }
}

fn run_one(store: &Store, now: u64, command: &'static Command, words: &[Vec<u8>]) -> String {
    let mut bulks = Vec::new();
    words[1..].iter().for_each(|word| args::push(&mut bulks, word));
    let request = Request::new(&words[0], Op::Command { command, args: Args::new(&bulks) });
    let mut printed = String::new();
    store.execute(&[request], now, |reply| {
        printed = shown(&reply);
        ControlFlow::Continue(())
    });
    printed
}

/// A reply as redis-cli shows it.
fn shown(reply: &Reply<'_>) -> String {
    match reply {
        Reply::Done => "OK".into(),
        Reply::Value(value) => format!("\"{}\"", value.escape_ascii()),
        Reply::OwnedValue(value) => format!("\"{}\"", Box::<[u8]>::from(value.clone()).escape_ascii()),
        Reply::Status(word) => (*word).into(),
        Reply::Number(number) => format!("(integer) {number}"),
        Reply::NoKey | Reply::NoBucket => "(nil)".into(),
        Reply::List(items) | Reply::Map(items) if items.is_empty() => "(empty array)".into(),
        Reply::List(items) | Reply::Map(items) => {
            let lines = items.iter().zip(1..).map(|(item, number)| format!("{number}) {}", shown(item)));
            lines.collect::<Vec<_>>().join("\n")
        }
        Reply::Error(error) => format!("(error) {error:?}"),
        Reply::PairList(items) => shown(&Reply::List(items.clone())),
        Reply::Page { items, next } => {
            format!("1) \"{next}\"\n2) {}", shown(&Reply::List(items.clone())))
        }
        other => format!("{other:?}"),
    }
}

/// The words of a command line.
pub(super) fn words(line: &str) -> Vec<Vec<u8>> {
    let (mut words, mut bytes) = (Vec::new(), line.bytes().peekable());
    while let Some(byte) = bytes.next() {
        let mut word = Vec::new();
        match byte {
            b' ' => continue,
            b'"' => {
                while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
                    let escaped = byte == b'\\' && bytes.next_if_eq(&b'x').is_some();
                    let mut digit =
                        || char::from(bytes.next().expect("a digit")).to_digit(16).expect("a digit");
                    word.push(if escaped { (digit() * 16 + digit()) as u8 } else { byte });
                }
            }
            byte => {
                word.push(byte);
                word.extend(std::iter::from_fn(|| bytes.next_if(|byte| *byte != b' ')));
            }
        }
        words.push(word);
    }
    words
}
