//! Why a command was not executed, in Redis's own words: a code, and what is wrong.

use serde::{Deserialize, Serialize};

/// Why a command was not executed; it changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum CommandError {
    /// The bucket holds a hash where a string is needed, or the other way round.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    /// There is no memory left for it.
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    OutOfMemory,
    /// An option is unknown, or does not go with another.
    #[error("ERR syntax error")]
    Syntax,
    /// A number is wanted.
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    /// A number is wanted.
    #[error("ERR value is not a valid float")]
    NotFloat,
    /// The field holds no number.
    #[error("ERR hash value is not an integer")]
    FieldNotInteger,
    /// The field holds no number.
    #[error("ERR hash value is not a float")]
    FieldNotFloat,
    /// The sum leaves 64 bits.
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    /// The sum is no number.
    #[error("ERR increment would produce NaN or Infinity")]
    NotFinite,
    /// The value would exceed the longest that is taken.
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    TooLong,
    /// A position before the start.
    #[error("ERR offset is out of range")]
    Offset,
    /// A time that is not allowed, or beyond 64 bits of milliseconds.
    #[error("ERR invalid expire time in '{0}' command")]
    ExpireTime(#[serde(deserialize_with = "crate::bounded_serde::text")] String),
    /// Too few or too many arguments.
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(#[serde(deserialize_with = "crate::bounded_serde::text")] String),
    /// There is nothing to be renamed or copied.
    #[error("ERR no such key")]
    NoSuchKey,
    /// The cursor is no number.
    #[error("ERR invalid cursor")]
    Cursor,
    /// Any other, with its code.
    #[error("{0}")]
    Other(#[serde(deserialize_with = "crate::bounded_serde::text")] String),
}
