//! The files that the tidy rules read, and the one line that a broken rule becomes.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// One text file of the workspace.
pub(crate) struct Source {
    /// Relative to the workspace, with `/` between its parts.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// One broken rule: where, what, and what to do.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) advice: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.advice)
    }
}

impl Source {
    pub(crate) fn violation(&self, line: usize, advice: impl Into<String>) -> Violation {
        Violation { path: self.path.clone(), line, advice: advice.into() }
    }

    /// Whether the whole file is a test, a bench or the checks themselves.
    pub(crate) fn is_test(&self) -> bool {
        let aside = |part| matches!(part, "tests" | "benches" | "xtask" | "tests.rs");
        self.path.split('/').any(aside) || self.path.ends_with("_tests.rs")
    }

    /// Lines with their numbers, up to the unit tests at the bottom of the file.
    pub(crate) fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let all = if self.is_test() { 0 } else { usize::MAX };
        self.numbered().take_while(|(_, line)| line.trim() != "#[cfg(test)]").take(all)
    }

    /// All lines, numbered from 1.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// A line's code and its comment (from `//` on, empty without one). Text in quotes is code.
pub(crate) fn split_comment(line: &str) -> (&str, &str) {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'/' if !quoted && line[at..].starts_with("//") => return line.split_at(at),
            _ => {}
        }
    }
    (line, "")
}

/// Every Rust file and manifest below `root`, in the order of their paths.
pub(crate) fn read(root: &Path) -> io::Result<Vec<Source>> {
    let mut found = Vec::new();
    for folder in ["apps", "crates", "tests", "xtask"] {
        walk(&root.join(folder), &mut found)?;
    }
    found.push(root.join("Cargo.toml"));
    found.sort();
    found.into_iter().map(|path| open(root, &path)).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "toml") {
            found.push(path);
        }
    }
    Ok(())
}

fn open(root: &Path, path: &Path) -> io::Result<Source> {
    let shown = path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
    Ok(Source { path: shown, text: fs::read_to_string(path)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_starts_at_two_slashes_outside_of_quotes() {
        assert_eq!(split_comment("let x = 1; // one"), ("let x = 1; ", "// one"));
        assert_eq!(split_comment(r#"let x = "http://y";"#), (r#"let x = "http://y";"#, ""));
        assert_eq!(split_comment(r#"let x = "\"//"; // y"#), (r#"let x = "\"//"; "#, "// y"));
    }

    #[test]
    fn the_product_ends_where_its_unit_tests_begin() {
        let source = Source { path: "crates/kv/src/a.rs".into(), text: "one\n#[cfg(test)]\ntwo\n".into() };
        assert_eq!(source.product_lines().collect::<Vec<_>>(), [(1, "one")]);
    }
}
