//! Results on stdout. A reader that closes early, as `head` does, is no reason to panic.

use std::{
    fmt::Display,
    io::{Write, stdout},
};

pub(crate) fn print_line(line: impl Display) {
    let _ = writeln!(stdout().lock(), "{line}");
}
