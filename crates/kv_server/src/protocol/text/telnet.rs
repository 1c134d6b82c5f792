//! The commands that a telnet client sends among the lines, such as those for Ctrl-C (RFC 854). They are
//! understood where a line begins; elsewhere their first byte is data.

/// The byte that begins a command: "interpret as command".
pub(super) const IAC: u8 = 0xff;

/// What some input that begins with [`IAC`] is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Telnet {
    /// A command of `size` bytes, and the reply to it.
    Command { size: usize, reply: Reply },
    /// The beginning of a command.
    Incomplete,
    /// A line of data.
    Data,
}

/// The reply to a telnet command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    None,
    /// The server is there.
    Here,
    /// The verb and the option of a reply to a negotiation.
    Option(u8, u8),
}

const SE: u8 = 240;
const ARE_YOU_THERE: u8 = 246;
const GO_AHEAD: u8 = 249;
const SB: u8 = 250;
const WILL: u8 = 251;
const WONT: u8 = 252;
const DO: u8 = 253;
const DONT: u8 = 254;

/// After Ctrl-C, a client discards output until the server confirms this option (RFC 860).
const TIMING_MARK: u8 = 6;

/// Parses the command at the start of `input`.
pub(super) fn parse(input: &[u8]) -> Telnet {
    let command = |size, reply| Telnet::Command { size, reply };
    match *input {
        [] | [IAC] | [IAC, WILL..=DONT] => Telnet::Incomplete,
        [IAC, ARE_YOU_THERE, ..] => command(2, Reply::Here),
        [IAC, SE..=GO_AHEAD, ..] => command(2, Reply::None),
        [IAC, SB, ref text @ ..] => match text.windows(2).position(|pair| pair == [IAC, SE]) {
            Some(end) => command(2 + end + 2, Reply::None),
            None => Telnet::Incomplete,
        },
        [IAC, DO, TIMING_MARK, ..] => command(3, Reply::Option(WILL, TIMING_MARK)),
        [IAC, DO, option, ..] => command(3, Reply::Option(WONT, option)),
        [IAC, WILL, option, ..] => command(3, Reply::Option(DONT, option)),
        [IAC, WONT | DONT, _, ..] => command(3, Reply::None),
        _ => Telnet::Data,
    }
}

impl Reply {
    /// Writes the reply.
    pub(super) fn write(self, output: &mut Vec<u8>) {
        match self {
            Reply::None => {}
            Reply::Here => output.extend_from_slice(b"+PONG\r\n"),
            Reply::Option(verb, option) => output.extend_from_slice(&[IAC, verb, option]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_answered_as_the_rfcs_say() {
        for (input, size, reply) in [
            (b"\xff\xf4\xff\xfd\x06".as_slice(), 2, b"".as_slice()),
            (b"\xff\xfd\x06PING", 3, b"\xff\xfb\x06"),
            (b"\xff\xfd\x01", 3, b"\xff\xfc\x01"),
            (b"\xff\xfb\x0a", 3, b"\xff\xfe\x0a"),
            (b"\xff\xfc\x01", 3, b""),
            (b"\xff\xfe\x01", 3, b""),
            (b"\xff\xf6", 2, b"+PONG\r\n"),
            (b"\xff\xfa\x18\x00xterm\xff\xf0PING", 11, b""),
        ] {
            let Telnet::Command { size: parsed, reply: made } = parse(input) else { panic!("{input:?}") };
            let mut output = Vec::new();
            made.write(&mut output);
            assert_eq!((parsed, &*output), (size, reply), "{input:?}");
        }
    }

    #[test]
    fn half_a_command_waits_and_other_bytes_are_data() {
        for half in [b"\xff".as_slice(), b"\xff\xfd", b"\xff\xfa\x18\x00", b"\xff\xfa\x18\xff"] {
            assert_eq!(parse(half), Telnet::Incomplete, "{half:?}");
        }
        for data in [b"\xff\xff".as_slice(), b"\xff\x00\n", b"\xff\xef"] {
            assert_eq!(parse(data), Telnet::Data, "{data:?}");
        }
    }
}
