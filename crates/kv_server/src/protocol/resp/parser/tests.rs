//! Commands that arrive whole or in pieces, and violations of the protocol.

use super::*;
use proptest::prelude::*;

const LIMITS: ParseLimits = ParseLimits { bulk_bytes: 1_000, request_bytes: 4_000 };

/// The arguments of all commands in `input`, which arrives in pieces of these sizes, repeated.
fn commands(input: &[u8], pieces: &[usize]) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
    let (mut parser, mut commands) = (CommandParser::default(), Vec::new());
    let (mut start, mut end) = (0, 0);
    for piece in pieces.iter().cycle() {
        if end == input.len() {
            break;
        }
        end = (end + piece).min(input.len());
        loop {
            match parser.parse(&input[start..end], LIMITS)? {
                Parsed::Incomplete => break,
                Parsed::Empty(taken) => start += taken,
                Parsed::Inline { mut lines, .. } => {
                    start += lines.len();
                    while let Some(LineEnd { length, size }) = line_end(lines) {
                        commands.push(vec![lines[..length].to_vec()]);
                        lines = &lines[size..];
                    }
                }
                Parsed::Command { command, size, .. } => {
                    let name = command.name.to_vec();
                    commands.push(std::iter::once(name).chain(command.args().map(<[u8]>::to_vec)).collect());
                    start += size;
                }
            }
        }
    }
    Ok(commands)
}

fn whole(input: &str) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
    commands(input.as_bytes(), &[input.len()])
}

#[test]
fn a_command_is_its_arguments() {
    let commands = whole("*3\r\n$3\r\nSET\r\n$4\r\nmilk\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n").unwrap();
    assert_eq!(commands, [vec![b"SET".to_vec(), b"milk".to_vec(), vec![]], vec![b"PING".to_vec()]]);
}

#[test]
fn empty_commands_are_skipped() {
    assert_eq!(whole("*0\r\n*-1\r\n*-99\r\n*1\r\n$4\r\nPING\r\n").unwrap(), [[b"PING"]]);
}

#[test]
fn a_line_is_a_command_too() {
    let commands = whole("PING\r\n\r\n*1\r\n$4\r\nPING\r\nGET milk\n\n$4\r\n").unwrap();
    assert_eq!(
        commands,
        [
            [b"PING".to_vec()],
            [vec![]],
            [b"PING".to_vec()],
            [b"GET milk".to_vec()],
            [vec![]],
            [b"$4".to_vec()]
        ]
    );
    assert_eq!(whole(&"x".repeat(INLINE_BYTES)), Ok(vec![]));
}

#[test]
fn protocol_errors() {
    let long = "1".repeat(HEADER_BYTES);
    for (input, error) in [
        ("*x\r\n".to_owned(), ProtocolError::Count),
        ("*\r\n".to_owned(), ProtocolError::Count),
        ("*01\r\n".to_owned(), ProtocolError::Count),
        ("*1\rx".to_owned(), ProtocolError::Count),
        ("*1048577\r\n".to_owned(), ProtocolError::Count),
        ("*99999999999999999999\r\n".to_owned(), ProtocolError::Count),
        ("*1\r\nfoo\r\n".to_owned(), ProtocolError::NoBulk(b'f')),
        ("*1\r\n$-1\r\n".to_owned(), ProtocolError::Length),
        ("*1\r\n$+1\r\n".to_owned(), ProtocolError::Length),
        ("*1\r\n$1001\r\n".to_owned(), ProtocolError::Length),
        ("*1\r\n$1\r\nabc".to_owned(), ProtocolError::NoEnd),
        (format!("*{long}"), ProtocolError::LongCount),
        (format!("*1\r\n${long}"), ProtocolError::LongLength),
        (format!("{long}11"), ProtocolError::LongInline),
    ] {
        assert_eq!(whole(&input), Err(error), "{:.40}", input);
    }
    assert_eq!(ProtocolError::NoBulk(b'f').to_string(), "expected '$', got 'f'");
    assert_eq!(ProtocolError::NoBulk(b'\n').to_string(), "expected '$', got ' '");
}

#[test]
fn the_size_of_a_command_is_limited() {
    let word = format!("$1000\r\n{}\r\n", "x".repeat(1_000));
    assert_eq!(whole(&format!("*5\r\n{}", word.repeat(5))), Err(ProtocolError::TooLarge(4_000)));
    assert_eq!(whole(&format!("*3\r\n{}", word.repeat(3))).unwrap().len(), 1);
}

#[test]
fn parsed_arguments_are_not_parsed_again() {
    let mut parser = CommandParser::default();
    let mut input = b"*2\r\n$3\r\nGET\r\n$900\r\n".to_vec();
    assert_eq!(parser.parse(&input, LIMITS), Ok(Parsed::Incomplete));
    // The header has already been parsed.
    input[..8].fill(b'?');
    input.extend([b'k'; 900]);
    assert_eq!(parser.parse(&input, LIMITS), Ok(Parsed::Incomplete));
    input.extend(b"\r\n");
    assert!(matches!(
        parser.parse(&input, LIMITS),
        Ok(Parsed::Command { command: RawCommand { name: b"GET", .. }, size: 921, .. })
    ));
}

proptest! {
    #[test]
    fn pieces_do_not_change_the_commands(
        expected in proptest::collection::vec(
            proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..6), 0..6),
        pieces in proptest::collection::vec(1_usize..30, 1..10),
    ) {
        let mut input = Vec::new();
        for words in &expected {
            input.extend(format!("*{}\r\n", words.len()).bytes());
            words.iter().for_each(|word| kv::args::push(&mut input, word));
        }
        prop_assert_eq!(commands(&input, &[input.len().max(1)]).unwrap(), expected.clone());
        prop_assert_eq!(commands(&input, &pieces).unwrap(), expected);
    }

    #[test]
    fn no_bytes_make_it_panic(
        input in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), b'0'..=b'9'], 0..200),
        pieces in proptest::collection::vec(1_usize..30, 1..10),
    ) {
        prop_assert_eq!(commands(&input, &[input.len().max(1)]).is_err(), commands(&input, &pieces).is_err());
    }
}
