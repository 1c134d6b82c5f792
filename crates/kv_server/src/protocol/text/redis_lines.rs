//! Which lines of a text connection are commands of Redis, and which of them are executed together.

use crate::{
    limits::BATCH_BYTES,
    protocol::{
        lines::{LineEnd, is_separator, line_end},
        resp::command_table,
    },
};

/// The names that both protocols have. They are text's, and in lower case they are unknown. PING is missing,
/// because both reply the same.
const NAMES_OF_TEXT: [&[u8]; 4] = [b"get", b"keys", b"quit", b"subscribe"];

/// Bytes of the first line, and of the lines that are executed along with it. If it is a command on buckets,
/// which leaves the session as it was, these are all such commands that have arrived. None is longer than
/// `limit`.
pub(super) fn lines_size(input: &[u8], limit: usize) -> usize {
    let (mut size, mut goes_on) = (0, true);
    while goes_on && size < BATCH_BYTES {
        let rest = &input[size..];
        let end = line_end(&rest[..rest.len().min(limit + 2)]).filter(|end| end.length <= limit);
        let Some(LineEnd { length, size: next }) = end else { break };
        goes_on = is_on_buckets(&rest[..length]);
        if goes_on || size == 0 {
            size += next;
        }
    }
    size
}

/// Whether a line is a command on buckets that only Redis has.
fn is_on_buckets(line: &[u8]) -> bool {
    words(line).next().is_some_and(|name| is_redis_command(name) && command_table().is_on_buckets(name))
}

/// The words of a line, whatever quotes they have.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| is_separator(*byte)).filter(|word| !word.is_empty())
}

/// Whether Redis has a command of this name, and the text protocol has not.
pub(super) fn is_redis_command(name: &[u8]) -> bool {
    !NAMES_OF_TEXT.iter().any(|text| name.eq_ignore_ascii_case(text))
        && command_table().find(name).is_some_and(|spec| !spec.name.contains('|'))
}
