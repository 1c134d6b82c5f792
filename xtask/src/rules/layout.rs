//! The sizes of files, folders and lines, and the `//!` line at the top of each file.

use crate::sources::{Source, Violation, is_test, numbered};
use std::collections::BTreeMap;

/// The longest that a file may be, in lines.
const MAX_FILE_LINES: usize = 600;

/// The longest that a line of code or prose may be, in characters; rustfmt.toml has it too.
const MAX_LINE_WIDTH: usize = 110;

/// The most source files in one folder.
const MAX_FOLDER_FILES: usize = 12;

/// Every Rust file begins by saying what it is for.
pub(crate) fn head(source: &Source) -> Vec<Violation> {
    if !source.is_rust() || source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![source.violation(1, "begin the file with a `//!` line that says what it is for")]
}

/// A file is one subject.
pub(crate) fn file_lines(source: &Source) -> Vec<Violation> {
    let lines = source.text.lines().count();
    if !source.is_rust() || lines <= MAX_FILE_LINES {
        return Vec::new();
    }
    vec![source.violation(lines, format!("{lines} lines, at most {MAX_FILE_LINES}; split it by subject"))]
}

/// A folder of a crate's `src` can be taken in at a glance. Folders that list commands grow with them.
pub(crate) fn folder_files(sources: &[Source]) -> Vec<Violation> {
    let mut folders: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    for source in sources.iter().filter(|source| source.in_src().is_some() && !is_test(&source.path)) {
        let (folder, _) = source.path.rsplit_once('/').unwrap_or_default();
        folders.entry(folder).or_default().push(source);
    }
    folders.retain(|folder, files| !folder.ends_with("/commands") && files.len() > MAX_FOLDER_FILES);
    let describe = |(folder, files): (&str, Vec<&Source>)| {
        let advice =
            format!("{} files in {folder}, at most {MAX_FOLDER_FILES}; group them by subject", files.len());
        files[0].violation(1, advice)
    };
    folders.into_iter().map(describe).collect()
}

/// Lines fit on a screen, apart from literals, data in TOML, and tables, links and code blocks in Markdown.
pub(crate) fn line_width(source: &Source) -> Vec<Violation> {
    let (is_markdown, is_toml) = (source.path.ends_with(".md"), source.path.ends_with(".toml"));
    let mut code = source.code.lines();
    let mut in_code_block = false;
    let mut violations = Vec::new();
    for (number, line) in numbered(&source.text) {
        in_code_block ^= is_markdown && line.trim_start().starts_with("```");
        let literal = code.next().map_or(0, |code| code.matches('"').count());
        let is_exempt = (is_toml && !line.trim_start().starts_with('#'))
            || (is_markdown && (in_code_block || line.starts_with('|') || line.contains("](http")));
        let width = line.chars().count() - literal;
        if width > MAX_LINE_WIDTH && !is_exempt {
            let advice = format!("{width} columns, at most {MAX_LINE_WIDTH}; wrap the line");
            violations.push(source.violation(number, advice));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_it_is_for() {
        assert_eq!(head(&Source::new("crates/kv/src/a.rs", "//! A.\n")), []);
        let found = head(&Source::new("crates/kv/src/a.rs", "fn a() {}\n"));
        assert!(found[0].to_string().starts_with("crates/kv/src/a.rs:1: begin the file"), "{found:?}");
    }

    #[test]
    fn a_file_has_up_to_600_lines() {
        assert_eq!(file_lines(&Source::new("crates/kv/src/a.rs", "\n".repeat(600))), []);
        let found = file_lines(&Source::new("crates/kv/src/a.rs", "\n".repeat(601)));
        assert!(found[0].to_string().starts_with("crates/kv/src/a.rs:601: 601 lines"), "{found:?}");
    }

    fn folder(name: &str, count: usize) -> Vec<Source> {
        (0..count).map(|index| Source::new(format!("{name}/{index:02}.rs"), "")).collect()
    }

    #[test]
    fn a_folder_has_up_to_12_files() {
        let mut files = folder("crates/kv/src/store", 12);
        files.push(Source::new("crates/kv/src/store/tests.rs", ""));
        files.push(Source::new("crates/kv/src/store/inner/a.rs", ""));
        assert_eq!(folder_files(&files), []);
        assert_eq!(folder_files(&folder("crates/kv/src/commands", 30)), []);

        let found = folder_files(&folder("crates/kv/src/store", 13));
        let expected = "crates/kv/src/store/00.rs:1: 13 files in crates/kv/src/store, at most 12";
        assert!(found[0].to_string().starts_with(expected), "{found:?}");
    }

    #[test]
    fn a_line_has_up_to_110_columns_outside_of_literals() {
        let wide = |path, line: &str| line_width(&Source::new(path, format!("\n{line}\n")));
        let long = "x".repeat(120);
        assert_eq!(wide("crates/kv/src/a.rs", &format!("let x = \"{long}\";")), []);
        for line in [format!("// {long}"), format!("let {long} = 1;")] {
            let found = wide("crates/kv/src/a.rs", &line);
            assert!(found[0].to_string().starts_with("crates/kv/src/a.rs:2: 1"), "{found:?}");
        }
    }

    #[test]
    fn comments_in_toml_are_wrapped() {
        let long = "x".repeat(120);
        let found = line_width(&Source::new("Cargo.toml", format!("a = \"{long}\"\n# {long}\n")));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].to_string().starts_with("Cargo.toml:2: 122 columns"), "{found:?}");
    }

    #[test]
    fn markdown_is_wrapped_outside_of_tables_links_and_code_blocks() {
        let long = "x ".repeat(60);
        let page = format!("```\n{long}\n```\n| {long} |\n[{long}](https://x)\n{long}\n");
        let found = line_width(&Source::new("docs/a.md", page));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].to_string().starts_with("docs/a.md:6: 120 columns"), "{found:?}");
    }
}
