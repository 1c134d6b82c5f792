//! Errors as Redis clients read them: a code, then the message.

use crate::protocol::resp::encoder::RespEncoder;
use kv::CommandError;
use kv_cluster::Error;
use std::{borrow::Cow, io};

/// Why a command of a session failed.
#[derive(Debug)]
pub(crate) enum SessionError {
    /// The error reply: a code, then the message.
    Reply(Cow<'static, str>),
    Command(CommandError),
    Cluster(Error),
    /// The client is gone.
    Io(io::Error),
}

impl SessionError {
    /// An error reply of the session itself.
    pub(crate) fn reply(text: impl Into<Cow<'static, str>>) -> SessionError {
        SessionError::Reply(text.into())
    }

    /// Writes the error reply, unless nobody is left to read it.
    pub(crate) fn write(self, encoder: &mut RespEncoder<'_>) -> io::Result<()> {
        match self {
            SessionError::Reply(text) => encoder.error(&text),
            SessionError::Command(error) => command_error(encoder, &error),
            SessionError::Cluster(error) => cluster_error(encoder, &error),
            SessionError::Io(error) => return Err(error),
        }
        Ok(())
    }
}

impl From<CommandError> for SessionError {
    fn from(error: CommandError) -> SessionError {
        SessionError::Command(error)
    }
}

impl From<Error> for SessionError {
    fn from(error: Error) -> SessionError {
        SessionError::Cluster(error)
    }
}

impl From<io::Error> for SessionError {
    fn from(error: io::Error) -> SessionError {
        SessionError::Io(error)
    }
}

/// Writes why a command was not executed, in Redis's words.
pub(super) fn command_error(encoder: &mut RespEncoder<'_>, error: &CommandError) {
    encoder.error(&error.to_string());
}

/// Writes why a request could not be brought to its node.
pub(crate) fn cluster_error(encoder: &mut RespEncoder<'_>, error: &Error) {
    match error {
        Error::SeveralNodes { .. } => encoder.error(&format!("CROSSSLOT {error}")),
        error => encoder.error(&format!("ERR {error}")),
    }
}
