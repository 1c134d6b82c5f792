//! docs/commands.md says what the tables say. When it does not, it is written anew, for a person to look at and commit.

use crate::protocol::resp::catalog;
use kv::CommandSpec;
use std::{collections::BTreeMap, fmt::Write, fs};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands.md");

const HEAD: &str = "\
# The commands of Redis clients

Written by kv_server's tests from the tables of commands, in `crates/kv/src/commands` and
`crates/kv_server/src/protocol/resp/session_commands.rs`. The version is that of Redis which brought the command.
[protocol.md](protocol.md#resp) says what is different here.
";

fn document() -> String {
    let mut groups: BTreeMap<&str, BTreeMap<&str, &CommandSpec>> = BTreeMap::new();
    for spec in catalog().specs() {
        groups.entry(spec.group.name()).or_default().insert(spec.name, spec);
    }
    let mut text = HEAD.to_owned();
    for (group, specs) in groups {
        let _ = write!(text, "\n## {group}\n\n| Command | Since | What it does |\n|---|---|---|\n");
        for spec in specs.values() {
            let written = format!("{} {}", spec.name.to_uppercase().replace('|', " "), spec.syntax);
            let written = written.trim().replace('|', "\\|");
            let _ = writeln!(text, "| `{written}` | {} | {} |", spec.since, spec.summary);
        }
    }
    text
}

#[test]
fn the_list_of_commands_is_up_to_date() {
    let document = document();
    let is_same = fs::read_to_string(PATH).is_ok_and(|known| known == document);
    if !is_same {
        fs::write(PATH, document).expect("docs/ can be written");
    }
    assert!(is_same, "docs/commands.md was out of date; it has been written anew: look at it, and commit it");
}
