//! Where lines end, and what they mean: the guide's own examples, then the rules around them.

use super::*;
use proptest::prelude::*;

fn parsed(line: &str, check: impl FnOnce(ParsedLine<'_>)) {
    check(parse(&mut line.as_bytes().to_vec()));
}

fn put<'a>(bucket: &'a [u8], key: &'a [u8], value: &'a [u8]) -> ParsedLine<'a> {
    ParsedLine::Request(Request::new(bucket, Op::Put { key, value }))
}

#[test]
fn the_guides_commands() {
    let request = |bucket, op| ParsedLine::Request(Request::new(bucket, op));
    parsed("CREATE shopping", |c| assert_eq!(c, request(b"shopping", Op::Create)));
    parsed("CREATE  shopping  ", |c| assert_eq!(c, request(b"shopping", Op::Create)));
    parsed("PUT shopping milk 1", |c| assert_eq!(c, put(b"shopping", b"milk", b"1")));
    parsed("GET shopping milk", |c| assert_eq!(c, request(b"shopping", Op::Get { key: b"milk" })));
    parsed("DELETE shopping eggs", |c| assert_eq!(c, request(b"shopping", Op::Delete { key: b"eggs" })));
}

#[test]
fn unknown_commands_and_wrong_numbers_of_arguments() {
    for line in ["GET shopping", "PUT a b c d", "GET a b c d e", "SHOW", "SHOW a b", "PING me"] {
        parsed(line, |c| assert_eq!(c, ParsedLine::Command(Command::Unknown), "{line:?}"));
    }
    for line in [
        "UNKNOWN shopping eggs",
        "get shopping milk",
        "show shopping",
        "",
        "  ",
        r#""GET" a b"#,
        r#"SET a "\x41 b""#,
    ] {
        parsed(line, |c| assert_eq!(c, ParsedLine::Command(Command::Other(line.as_bytes()))));
    }
}

#[test]
fn runs_of_blanks_and_tabs_separate() {
    parsed("\t PUT\t\tshopping   milk \t 1 ", |c| assert_eq!(c, put(b"shopping", b"milk", b"1")));
}

#[test]
fn quotes_that_hold_a_blank_make_one_argument() {
    parsed(r#"PUT shopping milk "hello world""#, |c| {
        assert_eq!(c, put(b"shopping", b"milk", b"hello world"))
    });
    parsed(r#"PUT "my list" "a \"b\"" "\x00 \\ \n""#, |c| {
        assert_eq!(c, put(b"my list", b"a \"b\"", b"\0 \\ \n"));
    });
    parsed(r#"PUT shopping note "two\nlines""#, |c| assert_eq!(c, put(b"shopping", b"note", b"two\nlines")));
}

#[test]
fn quotes_that_hold_nothing_or_a_backslash_are_no_part_of_the_word() {
    parsed(r#"PUT shopping "" "\x41\\""#, |c| assert_eq!(c, put(b"shopping", b"", b"A\\")));
    parsed(r#"PUT shopping "a\"b" "\q""#, |c| assert_eq!(c, put(b"shopping", b"a\"b", b"\\q")));
}

#[test]
fn a_single_word_keeps_its_quotes() {
    parsed(r#"PUT shopping milk "1""#, |c| assert_eq!(c, put(b"shopping", b"milk", b"\"1\"")));
    parsed(r#"PUT shopping "a"b "x"y""#, |c| assert_eq!(c, put(b"shopping", b"\"a\"b", b"\"x\"y\"")));
    parsed(r#"PUT shopping milk "open"#, |c| assert_eq!(c, put(b"shopping", b"milk", b"\"open")));
    parsed(r#"PUT shopping "a "b"#, |c| assert_eq!(c, put(b"shopping", b"\"a", b"\"b")));
}

#[test]
fn http_is_recognised() {
    for line in ["GET / HTTP/1.1", "PUT /milk HTTP/1.1", "DELETE http://localhost/ HTTP/1.0"] {
        parsed(line, |c| assert_eq!(c, ParsedLine::Command(Command::Http), "{line}"));
    }
    parsed("GET milk HTTP/1.1", |c| assert!(matches!(c, ParsedLine::Request(_))));
    parsed("PUT / HTTP/1.1 1", |c| assert_eq!(c, put(b"/", b"HTTP/1.1", b"1")));
}

fn line_of(input: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    match next_line(&mut input.to_vec(), 4) {
        NextLine::Line { line, rest, .. } => Some((line.to_vec(), rest.to_vec())),
        _ => None,
    }
}

#[test]
fn the_rest_of_the_input_follows_the_line() {
    for input in [b"PING\nrest".as_slice(), b"PING\r\nrest", b"PING\r\0rest"] {
        assert_eq!(line_of(input), Some((b"PING".to_vec(), b"rest".to_vec())));
    }
}

#[test]
fn half_a_line_waits_for_the_rest() {
    assert_eq!(next_line(&mut [], 4), NextLine::Incomplete);
    assert_eq!(next_line(&mut b"PIN".to_vec(), 4), NextLine::Incomplete);
    assert_eq!(next_line(&mut b"PING\r".to_vec(), 4), NextLine::Incomplete);
    assert_eq!(next_line(&mut b"\xff\xfd".to_vec(), 4), NextLine::Telnet);
}

#[test]
fn a_line_above_the_limit_is_too_long() {
    assert_eq!(next_line(&mut b"PING2\n".to_vec(), 4), NextLine::TooLong);
    assert_eq!(next_line(&mut b"PING22".to_vec(), 4), NextLine::TooLong);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut line in proptest::collection::vec(any::<u8>(), 0..200)) {
        parse(&mut line);
    }

    #[test]
    fn what_is_printed_quoted_is_a_word_that_gives_the_bytes_back(
        value in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\')], 0..50),
        newline in any::<bool>(),
    ) {
        let value = if newline { [b"\n".as_slice(), &value].concat() } else { value };
        let mut printed = Vec::new();
        quote::print(&mut printed, &value);
        prop_assume!(printed != value);
        let mut line = [b"PUT bucket key ".as_slice(), &printed].concat();
        prop_assert_eq!(parse(&mut line), put(b"bucket", b"key", &value));
    }

    #[test]
    fn words_come_back_as_they_were(words in proptest::collection::vec("[^ \t\r\n\"]{1,9}", 3)) {
        let mut line = format!("PUT  {}\t{} {}", words[0], words[1], words[2]).into_bytes();
        let expected = put(words[0].as_bytes(), words[1].as_bytes(), words[2].as_bytes());
        prop_assert_eq!(parse(&mut line), expected);
    }
}
