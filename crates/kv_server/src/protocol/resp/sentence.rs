//! The sentence of each error of a command, byte for byte as Redis has it: a code, then the message.

use kv::CommandError;
use std::borrow::Cow;

/// Why a command was not executed, in Redis's words.
pub(super) fn sentence(error: &CommandError) -> Cow<'static, str> {
    let sentence = match error {
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
        CommandError::FieldCount(command) => match command.as_str() {
            "hsetex" => "ERR invalid number of fields",
            "hexpire" | "hpexpire" | "hexpireat" | "hpexpireat" => {
                "ERR Parameter `numFields` should be greater than 0"
            }
            _ => "ERR Number of fields must be a positive integer",
        },
        CommandError::InvalidExpireTime(command) => {
            return format!("ERR invalid expire time in '{command}' command").into();
        }
        CommandError::Arity(command) => {
            return format!("ERR wrong number of arguments for '{command}' command").into();
        }
        CommandError::OutOfBounds { min, max } => {
            return format!("ERR value is out of range, value must between {min} and {max}").into();
        }
        CommandError::UnknownOption(option) => return format!("ERR Unsupported option {option}").into(),
        CommandError::UnknownArgument(argument) => return format!("ERR unknown argument: {argument}").into(),
        CommandError::Other(message) => return message.clone().into(),
    };
    sentence.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_becomes_part_of_the_sentence() {
        for (error, expected) in [
            (CommandError::InvalidExpireTime("set".into()), "ERR invalid expire time in 'set' command"),
            (CommandError::Arity("get".into()), "ERR wrong number of arguments for 'get' command"),
            (
                CommandError::OutOfBounds { min: -1, max: 1 },
                "ERR value is out of range, value must between -1 and 1",
            ),
            (CommandError::UnknownOption("FOO".into()), "ERR Unsupported option FOO"),
            (CommandError::UnknownArgument("FOO".into()), "ERR unknown argument: FOO"),
            (CommandError::FieldCount("hsetex".into()), "ERR invalid number of fields"),
            (
                CommandError::FieldCount("hpexpireat".into()),
                "ERR Parameter `numFields` should be greater than 0",
            ),
            (CommandError::FieldCount("httl".into()), "ERR Number of fields must be a positive integer"),
        ] {
            assert_eq!(sentence(&error), expected);
        }
    }
}
