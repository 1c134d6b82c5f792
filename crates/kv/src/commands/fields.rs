//! `FIELDS n field [field ...]`, as the newer commands on hashes name their fields.

use super::number::integer;
use crate::{Args, CommandError};

/// The fields.
pub(super) fn fields(args: Args<'_>) -> Result<Args<'_>, CommandError> {
    fields_or(args, "Number of fields must be a positive integer")
}

/// The fields; `not_positive` says that their number is none.
pub(super) fn fields_or<'a>(mut args: Args<'a>, not_positive: &str) -> Result<Args<'a>, CommandError> {
    if !args.next().is_some_and(|word| word.eq_ignore_ascii_case(b"fields")) {
        return Err(error("Mandatory argument FIELDS is missing or not at the right position"));
    }
    let number = args.next().and_then(integer).filter(|number| *number > 0);
    if number.ok_or_else(|| error(not_positive))? as usize != args.count() {
        return Err(error("The `numfields` parameter must match the number of arguments"));
    }
    Ok(args)
}

/// A refusal in words that only these commands use.
pub(super) fn error(text: &str) -> CommandError {
    CommandError::Other(format!("ERR {text}"))
}
