//! Results for people: lines on stdout, where a reader that closes early, such as `head`, must not cause a
//! panic, and numbers of things.

use std::{
    fmt::Display,
    io::{Write, stdout},
};

pub(crate) fn print_line(line: impl Display) {
    let _ = writeln!(stdout().lock(), "{line}");
}

/// A number of things, such as `1 entry` or `2 entries`.
pub(crate) fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_thing_is_not_several() {
        let entries = [0, 1, 2].map(|count| counted(count, "entry", "entries"));
        assert_eq!(entries, ["0 entries", "1 entry", "2 entries"]);
    }
}
