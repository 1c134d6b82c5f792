//! Checks replies by comparing them with the expected batch: nothing is parsed, and no error counts as
//! success.

use crate::{error::Error, limits, workload::Workload};

/// The expected replies to one batch.
#[derive(Debug)]
pub(crate) struct Replies {
    expected: Vec<u8>,
    /// `HSET` returns 1 for a new field and 0 for an existing one; both are success.
    allows_new_field: bool,
}

impl Replies {
    /// The replies to a batch of the workload.
    pub(crate) fn to_workload(workload: &Workload) -> Replies {
        Replies::repeated(&workload.reply(), workload.pipeline)
    }

    /// The same reply, `requests` times.
    pub(crate) fn repeated(reply: &str, requests: usize) -> Replies {
        Replies { expected: reply.repeat(requests).into_bytes(), allows_new_field: reply == ":0\r\n" }
    }

    /// Bytes of all replies.
    pub(crate) fn len(&self) -> usize {
        self.expected.len()
    }

    /// Refuses bytes other than the expected ones after the first `received` bytes.
    pub(crate) fn check(&self, received: usize, got: &[u8]) -> Result<(), Error> {
        let expected = &self.expected[received..];
        if expected.starts_with(got)
            || (self.allows_new_field && expected.len() >= got.len() && same_but_digits(expected, got))
        {
            return Ok(());
        }
        Err(Error::Reply { got: excerpt(got), expected: excerpt(expected) })
    }
}

fn same_but_digits(expected: &[u8], got: &[u8]) -> bool {
    expected.iter().zip(got).all(|(expected, got)| expected == got || (*expected == b'0' && *got == b'1'))
}

fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(limits::SHOWN_BYTES)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Operation, Protocol};

    fn replies(operation: Operation) -> Replies {
        let workload = Workload {
            protocol: Protocol::Resp,
            operation,
            pipeline: 2,
            keys: 10,
            key_bytes: 2,
            value_bytes: 1,
            bucket: "b".into(),
        };
        Replies::to_workload(&workload)
    }

    #[test]
    fn a_batch_may_arrive_in_pieces() {
        let replies = replies(Operation::Get);
        assert_eq!(replies.len(), "$1\r\nv\r\n".len() * 2);
        assert!(replies.check(0, b"$1\r\nv\r\n$1").is_ok());
        assert!(replies.check(9, b"\r\nv\r\n").is_ok());
    }

    #[test]
    fn an_error_a_miss_and_a_reply_too_many_are_refused() {
        let replies = replies(Operation::Get);
        for wrong in [b"-ERR no\r\n".as_slice(), b"$-1\r\n", b"$1\r\nv\r\n$1\r\nv\r\n$"] {
            assert!(matches!(replies.check(0, wrong), Err(Error::Reply { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn a_field_may_be_new_or_not() {
        let replies = replies(Operation::Hset);
        assert!(replies.check(0, b":1\r\n:0\r\n").is_ok());
        assert!(replies.check(0, b":2\r\n").is_err());
        assert!(replies.check(4, b":1\r\n:1\r\n").is_err());
    }
}
