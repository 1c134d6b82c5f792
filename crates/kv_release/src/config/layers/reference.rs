//! The reference of all keys: `help config` prints it, rel/runtime.toml and docs/operations.md contain it.

use super::key::{Key, Kind, MAX_INTEGER, Section};

const INTRODUCTION: &str = "\
Every key, with its default or an example. Later layers win: defaults, the file, KV_ variables, flags.
--config FILE or KV_CONFIG selects the file, --node NAME@HOST or KV_NODE the node in it.
";

/// The reference as text, a paragraph per key.
pub(crate) fn reference(sections: &[&Section]) -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut last = None;
    for section in sections {
        text.push('\n');
        if last != Some(section.table) {
            text += &format!("{}\n", section.table.heading());
        }
        last = Some(section.table);
        text += &format!("{}\n", section.help);
        for key in section.keys {
            text += &paragraph(key);
        }
    }
    text
}

fn paragraph(key: &Key) -> String {
    let mut attributes = match key.kind {
        Kind::String => "string".to_owned(),
        Kind::Integer { min } => format!("integer, {min} to {MAX_INTEGER}"),
        Kind::Bool => "boolean".to_owned(),
        Kind::StringList => "list of strings".to_owned(),
    };
    attributes += if key.default.is_some() { "; default shown" } else { "; example shown" };
    attributes += &key.variable.map(|variable| format!("; {variable}")).unwrap_or_default();
    attributes += &key.flag.map(|flag| format!("; --{} {}", flag.name, flag.value_name)).unwrap_or_default();
    attributes += if key.live { "; SIGHUP applies a change" } else { "" };
    let value = key.kind.literal(key.default.unwrap_or(key.example));
    format!("\n  {} = {value}\n      {}\n      {attributes}\n", key.name, key.help)
}
