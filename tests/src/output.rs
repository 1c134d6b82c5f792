//! What verbs print.

use std::process::Output;

/// The text of an output, without its last line break.
pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("a text").trim_end()
}

/// The sorted lines on the standard output of a verb that succeeded.
pub fn sorted_lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{output:?}");
    let mut lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
