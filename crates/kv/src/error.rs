//! The errors of commands, as codes with their data. Each protocol words them in its own way.

use crate::{
    limits::{LARGE_VALUE_BYTES, NAME_BYTES, STEP_BYTES},
    syntax::{excerpt::Excerpt, glob::PatternTooComplex},
};
use serde::{Deserialize, Serialize};

/// Why a command failed.
///
/// A command that fails has changed nothing, with one exception: if a shard's arena runs full midway, the
/// reply is [`CommandError::OutOfMemory`], and the changes made so far stay, such as the first fields of an
/// HSET, or the removal of a hash that SET was about to replace. Links carry the variants by position: append
/// new ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum CommandError {
    /// The bucket holds a hash where a string is needed, or the other way round.
    #[error("wrong type of value")]
    WrongType,
    /// The memory limit is reached, or the arena of the bucket's shard is full.
    #[error("out of memory")]
    OutOfMemory,
    /// An argument is missing, unknown, or incompatible with another.
    #[error("syntax error")]
    Syntax,
    /// An argument or a string is not a 64-bit integer.
    #[error("not an integer")]
    NotInteger,
    /// An argument or a string is not a number.
    #[error("not a number")]
    NotFloat,
    /// The field does not hold a 64-bit integer.
    #[error("field is not an integer")]
    FieldNotInteger,
    /// The field does not hold a number.
    #[error("field is not a number")]
    FieldNotFloat,
    /// The sum exceeds 64 bits.
    #[error("integer overflow")]
    Overflow,
    /// The sum is not finite.
    #[error("sum is not finite")]
    NotFinite,
    /// The string would exceed the maximum length.
    #[error("string too long")]
    StringTooLong,
    /// A negative offset into a string.
    #[error("negative offset")]
    NegativeOffset,
    /// The time is out of the range that the command accepts, or exceeds 64 bits of milliseconds.
    #[error("{0}: invalid expire time")]
    InvalidExpireTime(#[serde(deserialize_with = "crate::bounded_serde::text")] String),
    /// The command has too few or too many arguments.
    #[error("{0}: wrong number of arguments")]
    Arity(#[serde(deserialize_with = "crate::bounded_serde::text")] String),
    /// The key to rename does not exist.
    #[error("no such key")]
    NoSuchKey,
    /// The cursor of a scan is not a number.
    #[error("invalid cursor")]
    InvalidCursor,
    /// The negated decrement exceeds 64 bits.
    #[error("decrement overflow")]
    DecrementOverflow,
    /// The increment is infinite.
    #[error("increment is not finite")]
    IncrementNotFinite,
    /// Source and destination are the same key.
    #[error("source and destination are the same")]
    SameKey,
    /// There is no database with this index.
    #[error("no such database")]
    DatabaseIndex,
    /// A count is too large.
    #[error("count out of range")]
    CountOutOfRange,
    /// An integer is outside the range that is allowed.
    #[error("integer not in {min}..={max}")]
    OutOfBounds {
        /// The smallest value allowed.
        min: i64,
        /// The largest value allowed.
        max: i64,
    },
    /// Accesses to keys are not counted.
    #[error("accesses are not counted")]
    AccessesNotCounted,
    /// An option is unknown.
    #[error("unknown option {0}")]
    UnknownOption(Excerpt),
    /// An argument of HSETEX is unknown.
    #[error("unknown argument {0}")]
    UnknownArgument(Excerpt),
    /// NX excludes XX, GT and LT.
    #[error("NX excludes XX, GT and LT")]
    NxConflict,
    /// GT excludes LT.
    #[error("GT excludes LT")]
    GtLtConflict,
    /// FNX excludes FXX.
    #[error("FNX excludes FXX")]
    FnxFxxConflict,
    /// More than one of the options that set an expiry.
    #[error("more than one expiry")]
    ExpiryConflict,
    /// The expiry of a field is negative.
    #[error("negative expire time")]
    NegativeExpireTime,
    /// The word FIELDS is not where the command needs it.
    #[error("FIELDS missing")]
    FieldsMissing,
    /// The number of fields is not a positive integer.
    #[error("{0}: invalid number of fields")]
    FieldCount(#[serde(deserialize_with = "crate::bounded_serde::text")] String),
    /// The number of fields does not match the fields that follow.
    #[error("number of fields does not match the fields")]
    FieldCountMismatch,
    /// A pattern is too long, or takes too long to match.
    #[error("{PatternTooComplex}")]
    PatternTooComplex,
    /// A transaction would touch more than is allowed; nothing was done.
    #[error(
        "transaction too large: it may touch {entries} keys and fields, and {bytes} bytes; nothing was done; \
         do it in parts, or raise storage.max_transaction_entries and _bytes"
    )]
    TransactionTooLarge {
        /// Commands, keys and fields that it may touch.
        entries: u64,
        /// Bytes that it may touch and return.
        bytes: u64,
    },
    /// The watched names take as much memory as they may.
    #[error("too many watched keys")]
    WatchesFull,
    /// The name of a bucket or a field is too long.
    #[error("name too long: a key or a field may have {NAME_BYTES} bytes")]
    NameTooLong,
    /// A command would touch more in one step than is allowed; nothing was done.
    #[error(
        "command too large: one step may touch {entries} keys and fields, and {bytes} bytes; nothing was done; \
         do it in parts, or raise storage.max_transaction_entries and _bytes"
    )]
    CommandTooLarge {
        /// Keys and fields that it may touch.
        entries: u64,
        /// Bytes that it may touch.
        bytes: u64,
    },
    /// The string has another length than a large write was prepared for; nothing was done.
    #[error("the string was changed by others all the time; nothing was done: send the command again")]
    Outdated,
    /// A command would read or write too many bytes in one step; nothing was done.
    #[error(
        "command too large: one step may read or write {STEP_BYTES} bytes in names, fields, and values up to \
         {LARGE_VALUE_BYTES} bytes; nothing was done; do it in parts"
    )]
    StepTooLarge,
}

impl From<PatternTooComplex> for CommandError {
    fn from(_: PatternTooComplex) -> CommandError {
        CommandError::PatternTooComplex
    }
}
