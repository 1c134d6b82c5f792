//! The files that the tidy rules read, and the violation that they report.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// One text file of the workspace.
pub(crate) struct Source {
    /// Relative to the workspace, with `/` between its parts.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with comments blanked and each character of a literal replaced by `"`, in place.
    pub(crate) code: String,
    /// The code without tests: empty in a test file, and without the items under `#[cfg(test)]`.
    pub(crate) product: String,
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
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let code = if path.ends_with(".rs") { mask(&text) } else { String::new() };
        let product = if is_test(&path) { String::new() } else { without_tests(&code) };
        Self { path, text, code, product }
    }

    pub(crate) fn violation(&self, line: usize, advice: impl Into<String>) -> Violation {
        Violation { path: self.path.clone(), line, advice: advice.into() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The crate's folder and the path below its `src`.
    pub(crate) fn in_src(&self) -> Option<(&str, &str)> {
        self.path.split_once("/src/").filter(|_| self.is_rust())
    }
}

/// Whether the whole file is a test, a bench or the checks themselves.
pub(crate) fn is_test(path: &str) -> bool {
    let aside = |part| matches!(part, "tests" | "benches" | "xtask" | "tests.rs");
    path.split('/').any(aside) || path.ends_with("_tests.rs")
}

/// Lines with their numbers from 1.
pub(crate) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// The words, `::` and single other characters of masked code, each with its line.
pub(crate) fn tokens(code: &str) -> Vec<(&str, usize)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    for (number, line) in numbered(code) {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let len = match first {
                _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                _ if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            tokens.push((&rest[..len], number));
            rest = rest[len..].trim_start();
        }
    }
    tokens
}

fn mask(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (len, mask) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), Some(' '))
        } else if rest.starts_with("/*") {
            (rest.find("*/").map_or(rest.len(), |end| end + 2), Some(' '))
        } else if let Some(len) = literal_len(rest) {
            (len, Some('"'))
        } else {
            // A word in one go: the `r` in `for"` begins no raw string.
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            (word.max(first.len_utf8()), None)
        };
        let masked = |c| mask.filter(|_| c != '\n').unwrap_or(c);
        code.extend(rest[..len].chars().map(masked));
        rest = &rest[len..];
    }
    code
}

/// The length of the string or character literal at the start of `rest`.
fn literal_len(rest: &str) -> Option<usize> {
    let body = rest.trim_start_matches(['b', 'c']);
    let prefix = rest.len() - body.len();
    if let Some(raw) = body.strip_prefix('r').filter(|_| prefix <= 1) {
        let quoted = raw.trim_start_matches('#');
        let hashes = &raw[..raw.len() - quoted.len()];
        let end = quoted.strip_prefix('"')?.find(&format!("\"{hashes}"))?;
        return Some(rest.len() - quoted.len() + end + 2 + hashes.len());
    }
    match body.chars().next().filter(|_| prefix <= 1)? {
        '"' => closing(body, 1, '"').map(|end| prefix + end),
        '\'' if body[1..].starts_with('\\') => closing(body, 1, '\'').map(|end| prefix + end),
        // A lifetime has no second quote behind its first character.
        '\'' => {
            let character = body[1..].chars().next()?.len_utf8();
            body[1 + character..].starts_with('\'').then_some(prefix + character + 2)
        }
        _ => None,
    }
}

/// Where the literal ends whose content starts at `start`: behind the next `quote` that is not escaped.
fn closing(text: &str, start: usize, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (index, c) in text[start..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(start + index + 1),
            _ => {}
        }
    }
    None
}

fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut product = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        let end = start + MARK.len() + item_len(&rest[start + MARK.len()..]);
        product.push_str(&rest[..start]);
        product.extend(rest[start..end].chars().filter(|c| *c == '\n'));
        rest = &rest[end..];
    }
    product + rest
}

/// The length of the item at the start of masked code: up to its `;`, its closing brace, or the block's end.
fn item_len(code: &str) -> usize {
    let mut depth = 0;
    for (index, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' if depth == 0 => return index,
            b'}' if depth == 1 => return index + 1,
            b')' | b']' | b'}' => depth -= 1,
            b';' if depth == 0 => return index + 1,
            _ => {}
        }
    }
    code.len()
}

/// Every Rust file, manifest and page below `root`, in the order of their paths.
pub(crate) fn read(root: &Path) -> io::Result<Vec<Source>> {
    let mut found = Vec::new();
    for folder in ["apps", "crates", "docs", "rel", "tests", "xtask"] {
        walk(&root.join(folder), &mut found)?;
    }
    for entry in fs::read_dir(root)? {
        found.extend(Some(entry?.path()).filter(|path| is_source(path)));
    }
    found.sort();
    found.into_iter().map(|path| open(root, &path)).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, found)?;
        } else if is_source(&path) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["rs", "toml", "md"].map(AsRef::as_ref).contains(&extension))
}

fn open(root: &Path, path: &Path) -> io::Result<Source> {
    let shown = path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
    Ok(Source::new(shown, fs::read_to_string(path)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_masked_in_place() {
        assert_eq!(mask("let x = 1; // one"), "let x = 1;       ");
        assert_eq!(mask(r#"f("http://y", 'a', b'\'', b"\"");"#), r#"f("""""""""", """, """"", """"");"#);
        assert_eq!(mask("a(r#\"\"x\"\"#); b /* c\n */ d"), "a(\"\"\"\"\"\"\"\"); b     \n    d");
        assert_eq!(mask("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
    }

    #[test]
    fn items_for_tests_are_no_product() {
        let text = "one\n#[cfg(test)]\nuse a;\ntwo\n    #[cfg(test)]\n    fn f() { {} }\nthree";
        assert_eq!(Source::new("crates/kv/src/a.rs", text).product, "one\n\n\ntwo\n    \n\nthree");
        assert_eq!(Source::new("crates/kv/src/a/tests.rs", text).product, "");
    }

    #[test]
    fn code_falls_into_words_and_marks() {
        assert_eq!(
            tokens("use a_1::{b}\n;").iter().map(|(token, _)| *token).collect::<Vec<_>>(),
            ["use", "a_1", "::", "{", "b", "}", ";"]
        );
        assert_eq!(tokens("a\nb"), [("a", 1), ("b", 2)]);
    }
}
