//! Commands of Redis in a text connection. One whose name the text protocol does not have is answered as
//! Redis answers it inline, and the connection stays text, until a command sets a state that text does not
//! have, such as MULTI: then it is RESP for good.

use super::{
    redis_lines::{is_redis_command, words},
    session::TextSession,
};
use crate::{
    pipeline::{Next, buffers::Output},
    protocol::{
        lines::{is_http, line_end},
        resp::RespSession,
    },
};
use std::{io, sync::atomic::Ordering::Relaxed};

impl TextSession {
    /// Executes a line that does not begin with a command of the text protocol, and those of Redis after it.
    pub(super) async fn execute_other(&mut self, lines: &[u8], output: &mut Output<'_>) -> io::Result<Next> {
        let line = &lines[..line_end(lines).map_or(lines.len(), |end| end.length)];
        if is_http(line) {
            return Ok(Next::Close);
        }
        let mut words = words(line);
        let is_command = match (words.next(), words.next()) {
            // Clients of Redis may send empty lines.
            (None, _) if self.uses_redis => return Ok(Next::Continue),
            (None, _) => false,
            (Some(name), argument) if name.eq_ignore_ascii_case(b"hello") => {
                self.speaks_resp = argument.is_some_and(|version| version.iter().all(u8::is_ascii_digit));
                self.speaks_resp
            }
            (Some(name), _) => is_redis_command(name),
        };
        if !is_command {
            output.bytes.extend_from_slice(b"UNKNOWN COMMAND\r\n");
            return Ok(Next::Continue);
        }
        self.uses_redis = true;
        // The session counts it.
        self.uncounted = 0;
        let mut session = self.resp_session();
        let next = session.execute_inline(lines, output).await?;
        self.speaks_resp |= session.excludes_text();
        // It has published its own, of which there are none.
        self.publish_subscriptions();
        self.redis = Some(session);
        Ok(next)
    }

    /// The session that the connection goes on with, if it speaks RESP from now on: without subscriptions.
    pub(crate) fn take_resp_session(&mut self) -> Option<Box<RespSession>> {
        self.speaks_resp.then(|| {
            self.client.session.channels.store(0, Relaxed);
            self.resp_session()
        })
    }

    fn resp_session(&mut self) -> Box<RespSession> {
        let new = || Box::new(RespSession::new(self.context.clone(), self.client.clone()));
        self.redis.take().unwrap_or_else(new)
    }
}
