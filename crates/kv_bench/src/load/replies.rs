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
    pub(crate) fn to(workload: &Workload, requests: usize) -> Replies {
        let reply = workload.reply();
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
