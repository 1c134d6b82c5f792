//! docs/api.md is what the table says.

use super::{ENDPOINTS, Endpoint};
use std::{fmt::Write, fs, path::PathBuf};

/// The paths are described between these lines.
const START: &str = "<!-- paths: crates/kv_admin/src/api/mod.rs -->\n";
const END: &str = "<!-- end of paths -->\n";

fn description() -> String {
    let mut text = String::new();
    for Endpoint { path, help, parameters, returns, example, .. } in ENDPOINTS {
        let query = if example.is_empty() { String::new() } else { format!("?{example}") };
        write!(text, "\n## `{path}`\n\n{help}\n\n```sh\ncurl '127.0.0.1:4060{path}{query}'\n```\n\n")
            .expect("a String can grow");
        text += "| | |\n|---|---|\n";
        for (name, help) in *parameters {
            writeln!(text, "| parameter `{name}` | {help} |").expect("a String can grow");
        }
        writeln!(text, "| returns | {returns} |").expect("a String can grow");
    }
    text
}

/// The page, as committed and as it should be.
fn page() -> (PathBuf, String, String) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md"));
    let committed = fs::read_to_string(&path).unwrap();
    let (head, rest) = committed.split_once(START).expect("a line where the paths start");
    let (_, tail) = rest.split_once(END).expect("a line where the paths end");
    let wanted = format!("{head}{START}{}\n{END}{tail}", description());
    (path, committed, wanted)
}

#[test]
fn the_committed_page_is_up_to_date() {
    let (_, committed, wanted) = page();
    assert!(
        committed == wanted,
        "rewrite docs/api.md with\n    cargo test -p kv_admin write_page -- --ignored"
    );
}

#[test]
#[ignore = "writes docs/api.md"]
fn write_page() {
    let (path, _, wanted) = page();
    fs::write(path, wanted).unwrap();
}
