//! Encodes values as RESP2 or RESP3.

use crate::pipeline::buffers::ReplyBuffer;
use kv::LargeValue;

/// The version of the protocol that a client has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum RespVersion {
    #[default]
    Resp2,
    /// Chosen by `HELLO 3`.
    Resp3,
}

impl RespVersion {
    /// Its number in HELLO.
    pub(crate) fn number(self) -> u8 {
        match self {
            RespVersion::Resp2 => 2,
            RespVersion::Resp3 => 3,
        }
    }
}

/// Appends encoded values to a buffer.
pub(crate) struct RespEncoder<'o> {
    pub(super) bytes: &'o mut ReplyBuffer,
    pub(super) version: RespVersion,
    /// The reply is one of several, so no error may ask the client to send all of them again.
    pub(super) in_pipeline: bool,
}

impl<'o> RespEncoder<'o> {
    pub(super) fn new(bytes: &'o mut ReplyBuffer, version: RespVersion) -> RespEncoder<'o> {
        RespEncoder { bytes, version, in_pipeline: false }
    }

    /// The same encoder for a reply that may be one of several.
    #[inline]
    pub(super) fn in_pipeline(mut self, in_pipeline: bool) -> RespEncoder<'o> {
        self.in_pipeline = in_pipeline;
        self
    }

    pub(super) fn ok(&mut self) {
        self.bytes.extend_from_slice(b"+OK\r\n");
    }

    /// `value` must hold no line break.
    pub(super) fn simple_string(&mut self, value: &str) {
        self.line(b'+', value.as_bytes());
    }

    /// An error: its code, then the message. Line breaks would end it early and become spaces.
    pub(super) fn error(&mut self, message: impl AsRef<[u8]>) {
        let in_line = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
        let message: Vec<u8> = message.as_ref().iter().map(in_line).collect();
        self.line(b'-', &message);
    }

    #[inline]
    pub(super) fn bulk(&mut self, value: &[u8]) {
        if value.len() > LARGE_BYTES {
            self.reserve(value.len());
        }
        self.header(b'$', value.len() as u64);
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// A bulk string whose bytes are copied when they are sent.
    pub(super) fn large_bulk(&mut self, value: &LargeValue) {
        self.header(b'$', value.len() as u64);
        self.bytes.push_large(value.clone(), None);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Text for people, which RESP3 marks as such.
    pub(super) fn verbatim(&mut self, text: &str) {
        match self.version {
            RespVersion::Resp2 => self.bulk(text.as_bytes()),
            RespVersion::Resp3 => {
                self.header(b'=', text.len() as u64 + 4);
                self.bytes.extend_from_slice(b"txt:");
                self.bytes.extend_from_slice(text.as_bytes());
                self.bytes.extend_from_slice(b"\r\n");
            }
        }
    }

    pub(super) fn integer(&mut self, number: i64) {
        match u64::try_from(number) {
            Ok(number) => self.header(b':', number),
            Err(_) => self.number_line(b':', number.unsigned_abs(), true),
        }
    }

    pub(super) fn null(&mut self) {
        self.bytes.extend_from_slice(match self.version {
            RespVersion::Resp2 => b"$-1\r\n",
            RespVersion::Resp3 => b"_\r\n",
        });
    }

    /// The null array: the reply of EXEC if a watched key has changed.
    pub(super) fn null_array(&mut self) {
        self.bytes.extend_from_slice(match self.version {
            RespVersion::Resp2 => b"*-1\r\n",
            RespVersion::Resp3 => b"_\r\n",
        });
    }

    /// The header of an array; `len` values must follow.
    pub(super) fn array(&mut self, len: usize) {
        self.header(b'*', len as u64);
    }

    /// The header of a map; `pairs` keys and values must follow.
    pub(super) fn map(&mut self, pairs: usize) {
        match self.version {
            RespVersion::Resp2 => self.header(b'*', pairs as u64 * 2),
            RespVersion::Resp3 => self.header(b'%', pairs as u64),
        }
    }

    /// The header of a set; `len` values must follow.
    pub(super) fn set(&mut self, len: usize) {
        match self.version {
            RespVersion::Resp2 => self.header(b'*', len as u64),
            RespVersion::Resp3 => self.header(b'~', len as u64),
        }
    }

    /// The header of a message that is not a reply; `len` values must follow.
    pub(super) fn push(&mut self, len: usize) {
        match self.version {
            RespVersion::Resp2 => self.header(b'*', len as u64),
            RespVersion::Resp3 => self.header(b'>', len as u64),
        }
    }

    /// Makes room for a large value at once: its line break must not double the buffer.
    #[cold]
    fn reserve(&mut self, length: usize) {
        self.bytes.reserve_exact(length + MAX_DIGITS + 5);
    }

    fn line(&mut self, mark: u8, line: &[u8]) {
        self.bytes.push(mark);
        self.bytes.extend_from_slice(line);
        self.bytes.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn header(&mut self, mark: u8, count: u64) {
        match count {
            0..10 => self.bytes.extend_from_slice(&[mark, b'0' + count as u8, b'\r', b'\n']),
            10..100 => {
                let (tens, ones) = (b'0' + (count / 10) as u8, b'0' + (count % 10) as u8);
                self.bytes.extend_from_slice(&[mark, tens, ones, b'\r', b'\n']);
            }
            _ => self.number_line(mark, count, false),
        }
    }

    /// A line with a number, built from right to left.
    #[inline(never)]
    fn number_line(&mut self, mark: u8, mut number: u64, is_negative: bool) {
        const END: usize = MAX_DIGITS + 2;
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

/// Bytes of a value for which the buffer grows by no more than it needs.
const LARGE_BYTES: usize = 64 * 1024;

/// Digits of `u64::MAX`.
const MAX_DIGITS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(version: RespVersion, encode: impl FnOnce(&mut RespEncoder<'_>)) -> String {
        let mut bytes = ReplyBuffer::default();
        encode(&mut RespEncoder::new(&mut bytes, version));
        String::from_utf8(bytes.to_vec()).expect("text")
    }

    #[test]
    fn numbers_of_any_size() {
        for number in [0, 7, 10, -1, i64::MAX, i64::MIN] {
            assert_eq!(
                encoded(RespVersion::Resp2, |encoder| encoder.integer(number)),
                format!(":{number}\r\n")
            );
        }
    }

    #[test]
    fn an_error_stays_on_its_line() {
        assert_eq!(encoded(RespVersion::Resp2, |encoder| encoder.error("ERR a\r\nb")), "-ERR a  b\r\n");
    }

    #[test]
    fn each_version_has_its_own_types() {
        let values = |encoder: &mut RespEncoder<'_>| {
            encoder.null();
            encoder.null_array();
            encoder.map(2);
            encoder.set(3);
            encoder.push(1);
            encoder.verbatim("a");
        };
        assert_eq!(encoded(RespVersion::Resp2, values), "$-1\r\n*-1\r\n*4\r\n*3\r\n*1\r\n$1\r\na\r\n");
        assert_eq!(encoded(RespVersion::Resp3, values), "_\r\n_\r\n%2\r\n~3\r\n>1\r\n=5\r\ntxt:a\r\n");
    }
}
