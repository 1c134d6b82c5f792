//! Results on stdout. A reader that closes early, such as `head`, must not cause a panic.

use std::{
    fmt::Display,
    io::{Write, stdout},
};

pub(crate) fn print_line(line: impl Display) {
    let _ = writeln!(stdout().lock(), "{line}");
}
