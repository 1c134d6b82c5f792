//! Puts values on the wire as RESP2 or RESP3 has them.

/// The version of the protocol that a client has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Version {
    /// As long as it has asked for no other.
    #[default]
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

/// Writes values at the end of a buffer.
pub(super) struct Writer<'o> {
    pub(super) bytes: &'o mut Vec<u8>,
    pub(super) version: Version,
}

impl<'o> Writer<'o> {
    pub(super) fn new(bytes: &'o mut Vec<u8>, version: Version) -> Writer<'o> {
        Writer { bytes, version }
    }

    pub(super) fn ok(&mut self) {
        self.bytes.extend_from_slice(b"+OK\r\n");
    }

    /// A word that holds no line break.
    pub(super) fn word(&mut self, word: &str) {
        self.line(b'+', word.as_bytes());
    }

    /// An error: its code, and what is wrong. A line break within would end it, and becomes a blank.
    pub(super) fn error(&mut self, what: &str) {
        let what: Vec<u8> =
            what.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }).collect();
        self.line(b'-', &what);
    }

    #[inline]
    pub(super) fn bulk(&mut self, value: &[u8]) {
        self.announce(b'$', value.len() as u64);
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Text with lines, for people.
    pub(super) fn text(&mut self, text: &str) {
        match self.version {
            Version::Resp2 => self.bulk(text.as_bytes()),
            Version::Resp3 => {
                self.announce(b'=', text.len() as u64 + 4);
                self.bytes.extend_from_slice(b"txt:");
                self.bytes.extend_from_slice(text.as_bytes());
                self.bytes.extend_from_slice(b"\r\n");
            }
        }
    }

    pub(super) fn number(&mut self, number: i64) {
        match u64::try_from(number) {
            Ok(number) => self.announce(b':', number),
            Err(_) => self.number_line(b':', number.unsigned_abs(), true),
        }
    }

    /// No value.
    pub(super) fn nil(&mut self) {
        self.bytes.extend_from_slice(match self.version {
            Version::Resp2 => b"$-1\r\n",
            Version::Resp3 => b"_\r\n",
        });
    }

    /// No list.
    pub(super) fn no_list(&mut self) {
        self.bytes.extend_from_slice(match self.version {
            Version::Resp2 => b"*-1\r\n",
            Version::Resp3 => b"_\r\n",
        });
    }

    /// A list of so many values, which follow.
    pub(super) fn list(&mut self, len: usize) {
        self.announce(b'*', len as u64);
    }

    /// A map of so many pairs, which follow.
    pub(super) fn map(&mut self, pairs: usize) {
        match self.version {
            Version::Resp2 => self.announce(b'*', pairs as u64 * 2),
            Version::Resp3 => self.announce(b'%', pairs as u64),
        }
    }

    /// A set of so many values, which follow.
    pub(super) fn set(&mut self, len: usize) {
        match self.version {
            Version::Resp2 => self.announce(b'*', len as u64),
            Version::Resp3 => self.announce(b'~', len as u64),
        }
    }

    /// Something that nobody asked for just now: so many values follow.
    pub(super) fn push(&mut self, len: usize) {
        match self.version {
            Version::Resp2 => self.announce(b'*', len as u64),
            Version::Resp3 => self.announce(b'>', len as u64),
        }
    }

    fn line(&mut self, mark: u8, line: &[u8]) {
        self.bytes.push(mark);
        self.bytes.extend_from_slice(line);
        self.bytes.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn announce(&mut self, mark: u8, count: u64) {
        match count {
            0..10 => self.bytes.extend_from_slice(&[mark, b'0' + count as u8, b'\r', b'\n']),
            10..100 => {
                let (tens, ones) = (b'0' + (count / 10) as u8, b'0' + (count % 10) as u8);
                self.bytes.extend_from_slice(&[mark, tens, ones, b'\r', b'\n']);
            }
            _ => self.number_line(mark, count, false),
        }
    }

    /// A line with a number, put together from its end.
    #[inline(never)]
    fn number_line(&mut self, mark: u8, mut number: u64, is_negative: bool) {
        const END: usize = MOST_DIGITS + 2;
        let mut line = [0; END + 2];
        line[END..].copy_from_slice(b"\r\n");
        let mut first = END;
        loop {
            first -= 1;
            line[first] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        if is_negative {
            first -= 1;
            line[first] = b'-';
        }
        line[first - 1] = mark;
        self.bytes.extend_from_slice(&line[first - 1..]);
    }
}

/// Digits of the largest number of 64 bits.
const MOST_DIGITS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: Version, write: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut bytes = Vec::new();
        write(&mut Writer::new(&mut bytes, version));
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn numbers_of_any_size() {
        for number in [0, 7, 10, -1, i64::MAX, i64::MIN] {
            assert_eq!(written(Version::Resp2, |writer| writer.number(number)), format!(":{number}\r\n"));
        }
    }

    #[test]
    fn an_error_stays_on_its_line() {
        assert_eq!(written(Version::Resp2, |writer| writer.error("ERR a\r\nb")), "-ERR a  b\r\n");
    }

    #[test]
    fn each_version_has_its_own_shapes() {
        let shapes = |writer: &mut Writer<'_>| {
            writer.nil();
            writer.no_list();
            writer.map(2);
            writer.set(3);
            writer.push(1);
            writer.text("a");
        };
        assert_eq!(written(Version::Resp2, shapes), "$-1\r\n*-1\r\n*4\r\n*3\r\n*1\r\n$1\r\na\r\n");
        assert_eq!(written(Version::Resp3, shapes), "_\r\n_\r\n%2\r\n~3\r\n>1\r\n=5\r\ntxt:a\r\n");
    }
}
