//! Counts replies by comparing them with the batch of replies that is due: no parsing, and no error passes for success.

use crate::{error::Error, limits, workload::Workload};

/// The replies of one batch, as every connection gets them.
#[derive(Debug)]
pub(crate) struct Replies {
    due: Vec<u8>,
    /// `HSET` says 1 for a new field and 0 for one that was there; either is success.
    digit_is_free: bool,
}

impl Replies {
    /// The replies to a batch of the workload.
    pub(crate) fn to(workload: &Workload) -> Replies {
        Replies::of(&workload.reply(), workload.pipeline)
    }

    /// The same reply, so many times.
    pub(crate) fn of(reply: &str, requests: usize) -> Replies {
        Replies { due: reply.repeat(requests).into_bytes(), digit_is_free: reply == ":0\r\n" }
    }

    /// Bytes of the whole batch.
    pub(crate) fn len(&self) -> usize {
        self.due.len()
    }

    /// Refuses bytes that are not the ones due after the first `seen` of the batch.
    pub(crate) fn check(&self, seen: usize, got: &[u8]) -> Result<(), Error> {
        let due = &self.due[seen..];
        if due.starts_with(got) || (self.digit_is_free && due.len() >= got.len() && same_but_digits(due, got))
        {
            return Ok(());
        }
        Err(Error::Reply { got: shown(got), expected: shown(due) })
    }
}

fn same_but_digits(due: &[u8], got: &[u8]) -> bool {
    due.iter().zip(got).all(|(due, got)| due == got || (*due == b'0' && *got == b'1'))
}

fn shown(bytes: &[u8]) -> String {
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
        Replies::to(&workload)
    }

    #[test]
    fn a_batch_may_come_in_pieces() {
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
