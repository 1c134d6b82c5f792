//! Copies of other projects' files are those that the table beside them names.

use crate::sources::{Source, Violation, numbered};
use sha2::{Digest, Sha256};
use std::{fmt::Write, fs, path::Path};

/// The table of a folder of copies.
const TABLE: &str = "vendor/README.md";
/// Files beside the copies.
const OWN: [&str; 2] = ["README.md", "LICENSE-"];

/// The files of each folder of copies are in its table, with their hashes.
pub(crate) fn check(sources: &[Source], root: &Path) -> Vec<Violation> {
    let tables = sources.iter().filter(|source| source.path.ends_with(TABLE));
    tables.flat_map(|table| check_folder(table, root)).collect()
}

fn check_folder(table: &Source, root: &Path) -> Vec<Violation> {
    let folder = root.join(&table.path).parent().unwrap_or(root).to_owned();
    let (mut violations, mut listed) = (Vec::new(), Vec::new());
    for (line, file, hash) in rows(&table.text) {
        match fs::read(folder.join(file)) {
            Ok(content) if sha256(&content) == hash => {}
            Ok(content) => {
                let advice =
                    format!("{file} was changed: take the released file; it has {}", sha256(&content));
                violations.push(table.violation(line, advice));
            }
            Err(error) => violations.push(table.violation(line, format!("cannot read {file}: {error}"))),
        }
        listed.push(file);
    }
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !listed.contains(&&*name) && !OWN.iter().any(|own| name.starts_with(own)) {
            violations.push(
                table.violation(1, format!("{name} is not in the table: add it with its licence and hash")),
            );
        }
    }
    violations
}

/// The rows of the table: the line, the file, the hash.
fn rows(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    numbered(text).filter_map(|(line, text)| {
        let mut cells = text.strip_prefix("| `")?.strip_suffix("` |")?.split('`');
        Some((line, cells.next()?, cells.next_back()?))
    })
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        // A String can grow.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_file_and_its_hash() {
        let text = "# Copies\n\n| File | SHA-256 |\n|---|---|\n| `a.js` | MIT, `LICENSE` | `00ff` |\n";
        assert_eq!(rows(text).collect::<Vec<_>>(), [(5, "a.js", "00ff")]);
        assert!(sha256(b"").starts_with("e3b0c442"));
    }

    #[test]
    fn a_copy_that_was_changed_or_is_not_listed_is_reported() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let table = |text: &str| check(&[Source::new("src/rules/vendor/README.md", text)], root);
        assert_eq!(table("| `gone.js` | `00` |").len(), 1);
        assert_eq!(table("no rows"), []);
    }
}
