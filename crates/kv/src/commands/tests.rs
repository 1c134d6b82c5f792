//! Tests of the commands as sessions of redis-cli.

mod hash_expiry;
mod hash_model;
mod hashes;
mod keys;
mod session;
mod strings;

use super::COMMANDS;

/// The arity counts the required words: the name of one word or two, and the words of the syntax that are
/// outside of brackets.
#[test]
fn rows_are_complete() {
    for command in COMMANDS {
        let spec = &command.spec;
        let mut depth = 0;
        let required = spec.syntax.split(' ').filter(|word| {
            let is_required = depth == 0 && !word.starts_with('[');
            depth += word.matches('[').count();
            depth -= word.matches(']').count();
            is_required
        });
        let words = (spec.name.split('|').count() + required.count()) as i32;
        let arity = if spec.syntax.contains('[') { -words } else { words };
        assert_eq!(spec.arity, arity, "{command:?}");
        assert!(!spec.since.is_empty() && !spec.summary.is_empty(), "{command:?}");
    }
}
