//! The references in the repository are those that the keys generate.

use crate::config::{SECTIONS, layers::reference::reference};
use std::{fs, path::PathBuf};

/// The rest of the file from this line on is the reference, as comments.
const TOML_START: &str = "# --- Reference: `foo help config` ---\n";
/// The reference is what is between these lines.
const MARKDOWN_START: &str = "<!-- reference: `foo help config` -->\n```text\n";
const MARKDOWN_END: &str = "```\n<!-- end of reference -->\n";

fn committed(path: &str) -> (PathBuf, String) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path);
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}

/// rel/runtime.toml, as committed and as it should be.
fn runtime_toml() -> (PathBuf, String, String) {
    let (path, text) = committed("rel/runtime.toml");
    let (head, _) = text.split_once(TOML_START).expect("the file has a line where the reference starts");
    let comment = |line: &str| if line.is_empty() { "#\n".to_owned() } else { format!("# {line}\n") };
    let comments: String = reference(SECTIONS).lines().map(comment).collect();
    let wanted = format!("{head}{TOML_START}#\n{comments}");
    (path, text, wanted)
}

/// docs/operations.md, as committed and as it should be.
fn operations_md() -> (PathBuf, String, String) {
    let (path, text) = committed("docs/operations.md");
    let (head, rest) =
        text.split_once(MARKDOWN_START).expect("the file has a line where the reference starts");
    let (_, tail) = rest.split_once(MARKDOWN_END).expect("the file has a line where the reference ends");
    let wanted = format!("{head}{MARKDOWN_START}{}{MARKDOWN_END}{tail}", reference(SECTIONS));
    (path, text, wanted)
}

#[test]
fn committed_references_are_up_to_date() {
    for (path, committed, wanted) in [runtime_toml(), operations_md()] {
        assert!(
            committed == wanted,
            "the reference in {} is out of date; rewrite it with\n    \
             cargo test -p kv_release write_references -- --ignored",
            path.display()
        );
    }
}

#[test]
#[ignore = "writes the references in rel/runtime.toml and docs/operations.md"]
fn write_references() {
    for (path, _, wanted) in [runtime_toml(), operations_md()] {
        fs::write(path, wanted).unwrap();
    }
}

#[test]
fn the_reference_describes_every_key_and_every_variable() {
    let reference = reference(SECTIONS);
    for key in SECTIONS.iter().flat_map(|section| section.keys) {
        for word in [key.name, key.help, key.variable.unwrap_or_default()] {
            assert!(reference.contains(word), "{word:?}");
        }
    }
    assert!(reference.contains(
        "[log]\nThe log, on standard error.\n\n  level = \"info\"\n      \
         off, error, warn, info, debug or trace; or per target: warn,kv_cluster=debug.\n      \
         string; default shown; KV_LOG; --log-level LEVEL; SIGHUP applies a change\n"
    ));
    assert!(reference.contains("integer, 64 to 4294967295; default shown; KV_MAX_LINE_BYTES\n"));
}
