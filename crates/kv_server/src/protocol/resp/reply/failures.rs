//! The requests of one command that failed, and the error that says which of its keys were changed.

use super::{super::encoder::RespEncoder, error::is_retried, write_result};
use crate::{
    limits::{KEYS_IN_ERROR, NAME_IN_ERROR_BYTES},
    pipeline::{RequestResult, buffers::ReplyBuffer},
};
use kv::Reply;
use kv_cluster::{Outcome, escape_name};
use std::fmt::{self, Write};

/// The requests of one command that failed.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// The reply to the first of them.
    first: ReplyBuffer,
    not_done: Keys,
    unknown: Keys,
}

impl Failures {
    /// Adds the next one.
    pub(super) fn push(&mut self, encoder: &RespEncoder<'_>, bucket: &[u8], result: RequestResult<'_>) {
        if self.first.is_empty() {
            let first = RespEncoder::new(&mut self.first, encoder.version);
            write_result(&mut first.in_pipeline(encoder.in_pipeline), bucket, result);
        }
        match outcome(result) {
            Outcome::NotDone => self.not_done.push(bucket),
            Outcome::Done | Outcome::Unknown => self.unknown.push(bucket),
        }
    }

    /// Writes the error of the command, which had `requests` requests: the first one, and what became of the
    /// keys unless nothing was changed.
    pub(super) fn write(self, encoder: &mut RespEncoder<'_>, requests: usize, is_read: bool) {
        if is_read || self.not_done.count == requests {
            return encoder.bytes.extend_from_slice(&self.first);
        }
        let first = String::from_utf8_lossy(&self.first);
        let first = first.trim_start_matches('-').trim_end();
        let (code, message) = first.split_once(' ').unwrap_or(("ERR", first));
        let code = if is_retried(code) { "ERR" } else { code };
        let mut text = format!("{code} {message}");
        for (what, keys) in [("not done", &self.not_done), ("unknown", &self.unknown)] {
            if keys.count > 0 {
                let _ = write!(text, "; {what}: {keys}");
            }
        }
        match requests - self.not_done.count - self.unknown.count {
            0 => {}
            1 => text.push_str("; done: the other key"),
            done => {
                let _ = write!(text, "; done: the {done} other keys");
            }
        }
        encoder.error(&text);
    }
}

/// What is known of a request whose reply is not the expected one.
fn outcome(result: RequestResult<'_>) -> Outcome {
    match result {
        Err(error) => error.outcome(),
        Ok(Reply::Error(_) | Reply::Restarting) => Outcome::NotDone,
        Ok(_) => Outcome::Unknown,
    }
}

/// Some keys, of which the first are named.
#[derive(Debug, Default)]
struct Keys {
    count: usize,
    named: String,
}

impl Keys {
    fn push(&mut self, key: &[u8]) {
        self.count += 1;
        if self.count > KEYS_IN_ERROR {
            return;
        }
        let comma = if self.count > 1 { ", " } else { "" };
        let (name, more) = match key.get(..NAME_IN_ERROR_BYTES) {
            Some(start) if start.len() < key.len() => (start, "..."),
            _ => (key, ""),
        };
        let _ = write!(self.named, "{comma}\"{}{more}\"", escape_name(name));
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.named)?;
        match self.count.saturating_sub(KEYS_IN_ERROR) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::resp::encoder::RespVersion;
    use kv::CommandError;
    use kv_cluster::Error;

    /// The error of a command of `requests` requests of which these failed.
    fn error(requests: usize, is_read: bool, failed: &[(&[u8], RequestResult<'_>)]) -> String {
        let (mut bytes, mut failures) = (ReplyBuffer::default(), Failures::default());
        let mut encoder = RespEncoder::new(&mut bytes, RespVersion::Resp2);
        failed.iter().for_each(|(bucket, result)| failures.push(&encoder, bucket, *result));
        failures.write(&mut encoder, requests, is_read);
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn the_error_says_which_keys_were_done_which_not_and_which_are_unknown() {
        let down = Error::NodeDown { node: "bar@host".into(), reason: "its link was lost".into() };
        let lost = Error::LinkLost { node: "bar@host".into() };
        let full = Reply::Error(CommandError::OutOfMemory);
        let (not_sent, unknown) = (("nut".as_bytes(), Err(&down)), ("oat".as_bytes(), Err(&lost)));
        let down = "node bar@host is down: its link was lost";
        let lost = "outcome unknown: the link to bar@host was lost before the reply; the request may have been applied";
        assert_eq!(error(1, false, &[not_sent]), format!("-CLUSTERDOWN {down}\r\n"), "nothing was done");
        assert_eq!(error(2, true, &[not_sent]), format!("-CLUSTERDOWN {down}\r\n"), "nor by a read");
        assert_eq!(
            error(2, false, &[not_sent]),
            format!("-ERR {down}; not done: \"nut\"; done: the other key\r\n")
        );
        assert_eq!(
            error(9, false, &[unknown, not_sent]),
            format!("-ERR {lost}; not done: \"nut\"; unknown: \"oat\"; done: the 7 other keys\r\n")
        );
        assert_eq!(error(1, false, &[unknown]), format!("-ERR {lost}; unknown: \"oat\"\r\n"));
        assert_eq!(
            error(3, false, &[(b"fig", Ok(&full)), (b"plum", Ok(&Reply::Restarting))]),
            "-OOM command not allowed when used memory > 'maxmemory'.; not done: \"fig\", \"plum\"; \
             done: the other key\r\n"
        );
    }

    #[test]
    fn an_error_about_many_or_long_keys_stays_short() {
        let (lost, long) = (Error::LinkLost { node: "bar@host".into() }, vec![b'x'; 1_000]);
        let text = error(1_000_000, false, &vec![(&long[..], Err(&lost)); 1_000]);
        assert!(text.ends_with("x...\" and 984 more; done: the 999000 other keys\r\n"), "{text}");
        assert!(text.len() < 4_096, "{}", text.len());
    }
}
