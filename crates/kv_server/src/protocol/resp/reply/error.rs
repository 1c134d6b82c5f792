//! Error replies: a code such as `ERR`, then the message, in Redis's words where it has any.

use crate::protocol::resp::encoder::RespEncoder;
use kv::{
    CommandError,
    syntax::{excerpt::excerpt, glob::PatternTooComplex},
};
use kv_cluster::{Error, RESTARTING, RangeFailure, RangeFailureKind};
use std::{borrow::Cow, io};

/// Why a command of a session failed.
#[derive(Debug)]
pub(crate) enum SessionError {
    /// The error reply: a code, then the message.
    Reply(Cow<'static, [u8]>),
    Command(CommandError),
    Cluster(Error),
    /// The store is restarting.
    Restarting,
    /// The client is gone.
    Io(io::Error),
}

impl SessionError {
    /// An error reply of the session itself.
    pub(crate) fn reply(text: impl Into<Cow<'static, str>>) -> SessionError {
        SessionError::Reply(bytes_of(text.into()))
    }

    /// An error reply that quotes a word of the client.
    pub(crate) fn quoting(before: &str, word: &[u8], after: &str) -> SessionError {
        SessionError::Reply([before.as_bytes(), quoted(word), after.as_bytes()].concat().into())
    }

    /// The error reply to an EXEC that was rejected.
    pub(crate) fn discarded(reason: &SessionError) -> SessionError {
        let reason = match reason {
            SessionError::Reply(text) => text.clone(),
            SessionError::Command(error) => redis_message(error),
            SessionError::Cluster(error) => cluster_message(error),
            SessionError::Restarting | SessionError::Io(_) => RESTARTING.as_bytes().into(),
        };
        let reason = reason.strip_prefix(b"ERR ").unwrap_or(&reason);
        SessionError::Reply([b"EXECABORT Transaction discarded because of: ", reason].concat().into())
    }

    /// Whether the node of the keys, this one or another, has no memory for the command.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        matches!(
            self,
            SessionError::Command(CommandError::OutOfMemory)
                | SessionError::Cluster(Error::AtLimit { error: CommandError::OutOfMemory, .. })
        )
    }

    /// Writes the error reply; fails if the client is gone.
    pub(crate) fn write(self, encoder: &mut RespEncoder<'_>) -> io::Result<()> {
        match self {
            SessionError::Reply(text) => encoder.error(&text),
            SessionError::Command(error) => command_error(encoder, &error),
            SessionError::Cluster(error) => cluster_error(encoder, &error),
            SessionError::Restarting => restarting_error(encoder),
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

impl From<PatternTooComplex> for SessionError {
    fn from(error: PatternTooComplex) -> SessionError {
        SessionError::Command(error.into())
    }
}

impl From<Error> for SessionError {
    fn from(error: Error) -> SessionError {
        match error {
            Error::Refused(error) => SessionError::Command(error),
            error => SessionError::Cluster(error),
        }
    }
}

impl From<io::Error> for SessionError {
    fn from(error: io::Error) -> SessionError {
        SessionError::Io(error)
    }
}

/// Writes why a command was not executed.
pub(super) fn command_error(encoder: &mut RespEncoder<'_>, error: &CommandError) {
    match error {
        CommandError::Outdated => write_coded(encoder, "TRYAGAIN", &error.to_string()),
        error => encoder.error(redis_message(error)),
    }
}

/// Writes why a request could not be executed on its node.
pub(crate) fn cluster_error(encoder: &mut RespEncoder<'_>, error: &Error) {
    match error {
        Error::AtLimit { .. } => encoder.error(cluster_message(error)),
        error => write_coded(encoder, code(error), &error.to_string()),
    }
}

/// Why a request could not be executed on its node. A limit is said in Redis's words, on which clients
/// depend, and then with the node.
fn cluster_message(error: &Error) -> Cow<'static, [u8]> {
    match error {
        Error::AtLimit { node, error } => {
            [&redis_message(error), format!(" (node {node})").as_bytes()].concat().into()
        }
        error => error.to_string().into_bytes().into(),
    }
}

/// Writes an error, with ERR instead of a code after which a client could send more than this command again.
fn write_coded(encoder: &mut RespEncoder<'_>, code: &str, message: &str) {
    let code = if encoder.in_pipeline && is_retried(code) { "ERR" } else { code };
    encoder.error(format!("{code} {message}"));
}

/// Whether clients send a command again by themselves after this code.
pub(super) fn is_retried(code: &str) -> bool {
    ["CLUSTERDOWN", "TRYAGAIN", "LOADING"].contains(&code)
}

/// The code of an error: one that is retried only if nothing was done, and it can succeed later.
fn code(error: &Error) -> &'static str {
    match error {
        Error::NodeDown { .. } | Error::NotOwner { .. } | Error::RoutesDiffer { .. } => "CLUSTERDOWN",
        Error::Busy { .. } => "TRYAGAIN",
        Error::SeveralNodes { .. } | Error::SeveralRanges { .. } => "CROSSSLOT",
        Error::Range(RangeFailure { kind, .. }) => match kind {
            RangeFailureKind::Loading => "LOADING",
            RangeFailureKind::Behind | RangeFailureKind::SplitOff => "TRYAGAIN",
            RangeFailureKind::Stopped | RangeFailureKind::NoLeader | RangeFailureKind::NotLeader => {
                "CLUSTERDOWN"
            }
            RangeFailureKind::CannotWrite => "MISCONF",
            RangeFailureKind::Several => "CROSSSLOT",
            RangeFailureKind::TooLarge | RangeFailureKind::Unknown | RangeFailureKind::Invalid => "ERR",
        },
        Error::LinkLost { .. }
        | Error::NoReply { .. }
        | Error::ReplyTooLarge { .. }
        | Error::RangeReplyTooLarge { .. }
        | Error::TooLarge { .. }
        | Error::TransactionTooLarge { .. }
        | Error::AtLimit { .. }
        | Error::PartlyFlushed { .. }
        | Error::UnexpectedNodeReply { .. }
        | Error::OlderRelease { .. }
        | Error::NotAdmitted { .. }
        | Error::NobodyAsked { .. }
        | Error::UnexpectedReply
        | Error::Refused(_)
        | Error::RowMissing { .. }
        | Error::NoRoute { .. }
        | Error::UnknownNode { .. }
        | Error::NotInCluster { .. }
        | Error::DataDir(_)
        | Error::NoDataDir { .. }
        | Error::NoLinkAddress { .. }
        | Error::Bind { .. } => "ERR",
    }
}

/// Writes that the store is restarting.
pub(super) fn restarting_error(encoder: &mut RespEncoder<'_>) {
    write_coded(encoder, "LOADING", RESTARTING);
}

/// The part of a word that errors quote: its start, and as in Redis nothing from a zero byte on.
pub(crate) fn quoted(word: &[u8]) -> &[u8] {
    excerpt(word).split(|byte| *byte == 0).next().unwrap_or_default()
}

fn bytes_of(text: Cow<'static, str>) -> Cow<'static, [u8]> {
    match text {
        Cow::Borrowed(text) => text.as_bytes().into(),
        Cow::Owned(text) => text.into_bytes().into(),
    }
}

/// Why a command was not executed, byte for byte as Redis puts it.
fn redis_message(error: &CommandError) -> Cow<'static, [u8]> {
    let message = match error {
        CommandError::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
        CommandError::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
        CommandError::Syntax => "ERR syntax error",
        CommandError::NotInteger => "ERR value is not an integer or out of range",
        CommandError::NotFloat => "ERR value is not a valid float",
        CommandError::FieldNotInteger => "ERR hash value is not an integer",
        CommandError::FieldNotFloat => "ERR hash value is not a float",
        CommandError::Overflow => "ERR increment or decrement would overflow",
        CommandError::NotFinite => "ERR increment would produce NaN or Infinity",
        CommandError::StringTooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        CommandError::NegativeOffset => "ERR offset is out of range",
        CommandError::NoSuchKey => "ERR no such key",
        CommandError::InvalidCursor => "ERR invalid cursor",
        CommandError::DecrementOverflow => "ERR decrement would overflow",
        CommandError::IncrementNotFinite => "ERR value is NaN or Infinity",
        CommandError::SameKey => "ERR source and destination objects are the same",
        CommandError::DatabaseIndex => "ERR DB index is out of range",
        CommandError::CountOutOfRange => "ERR value is out of range",
        CommandError::AccessesNotCounted => {
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
             switching between policies at runtime LRU and LFU data will take some time to adjust."
        }
        CommandError::NxConflict => "ERR NX and XX, GT or LT options at the same time are not compatible",
        CommandError::GtLtConflict => "ERR GT and LT options at the same time are not compatible",
        CommandError::FnxFxxConflict => "ERR Only one of FXX or FNX arguments can be specified",
        CommandError::ExpiryConflict => {
            "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"
        }
        CommandError::NegativeExpireTime => "ERR invalid expire time, must be >= 0",
        CommandError::FieldsMissing => {
            "ERR Mandatory argument FIELDS is missing or not at the right position"
        }
        CommandError::FieldCountMismatch => {
            "ERR The `numfields` parameter must match the number of arguments"
        }
        CommandError::WatchesFull => {
            "OOM the watched keys of all clients take the memory they may have: UNWATCH some, or raise maxmemory"
        }
        CommandError::FieldCount(command) => match command.as_str() {
            "hsetex" => "ERR invalid number of fields",
            "hexpire" | "hpexpire" | "hexpireat" | "hpexpireat" => {
                "ERR Parameter `numFields` should be greater than 0"
            }
            _ => "ERR Number of fields must be a positive integer",
        },
        CommandError::PatternTooComplex
        | CommandError::Outdated
        | CommandError::TransactionTooLarge { .. }
        | CommandError::CommandTooLarge { .. }
        | CommandError::StepTooLarge
        | CommandError::NameTooLong
        | CommandError::InvalidExpireTime(_)
        | CommandError::Arity(_)
        | CommandError::OutOfBounds { .. }
        | CommandError::UnknownOption(_)
        | CommandError::UnknownArgument(_) => return formatted_message(error).into(),
    };
    message.as_bytes().into()
}

/// The message of an error that has values, or that Redis does not have.
fn formatted_message(error: &CommandError) -> Vec<u8> {
    let message = match error {
        CommandError::InvalidExpireTime(command) => format!("ERR invalid expire time in '{command}' command"),
        CommandError::Arity(command) => format!("ERR wrong number of arguments for '{command}' command"),
        CommandError::OutOfBounds { min, max } => {
            format!("ERR value is out of range, value must between {min} and {max}")
        }
        CommandError::UnknownOption(option) => {
            return [b"ERR Unsupported option ", quoted(option.bytes())].concat();
        }
        CommandError::UnknownArgument(argument) => {
            return [b"ERR unknown argument: ", quoted(argument.bytes())].concat();
        }
        _ => format!("ERR {error}"),
    };
    message.into_bytes()
}

#[cfg(test)]
mod tests;
