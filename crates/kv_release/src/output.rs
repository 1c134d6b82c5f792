//! Results on stdout. A reader that goes early, as `head` does, is no reason to panic.

use std::{
    fmt::Display,
    io::{Write, stdout},
};

/// Prints one line.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(stdout().lock(), "{line}");
}
