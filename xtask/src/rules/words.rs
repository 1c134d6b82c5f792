//! Words that say less than the standard ones, in code, comments and documentation.

use crate::sources::{Source, Violation, numbered};

/// Words, and what to write instead. Phrases match word by word, and so do the parts of a name in code.
const REPLACED: &[(&str, &str)] = &[
    ("so many", "a number: up to `limit`, the first `n`"),
    ("mail", "inbox, or receive buffer"),
    ("errand", "forwarded batch"),
    ("errands", "forwarded batches"),
    ("obey", "run, or apply"),
    ("obeys", "runs, or applies"),
    ("hear", "receive"),
    ("hears", "receives"),
    ("heard", "received"),
    ("tell", "notify, send, or return"),
    ("tells", "notifies, sends, or returns"),
    ("told", "notified, signalled, or sent"),
    ("trouble", "error, or problem"),
    ("complain", "report"),
    ("complains", "reports"),
    ("spoil", "break"),
    ("spoils", "breaks"),
    ("spoilt", "broken"),
    ("welcome", "accept, or handshake"),
    ("company", "group"),
    ("newcomers", "new connections"),
    ("conversation", "connection, or session"),
    ("converse", "run, or handle_connection"),
    ("judge", "check"),
    ("judges", "checks"),
    ("patience", "timeout"),
    ("afresh", "again"),
    ("anew", "again"),
    ("whereupon", "then"),
    ("for ever", "forever"),
    ("has come", "has arrived"),
    ("in vain", "without success"),
    ("lone", "single"),
    ("mend", "fix"),
    ("mends", "fixes"),
    ("newcomer", "new connection"),
    ("somebody", "another client, or another thread"),
    ("under way", "in flight"),
];

/// The file that has to name the words.
const THIS_FILE: &str = "xtask/src/rules/words.rs";

/// A reader who knows the field knows the words.
pub(crate) fn replaced(source: &Source) -> Vec<Violation> {
    if source.path == THIS_FILE {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for (number, line) in numbered(&source.text) {
        let words = words(line);
        for (phrase, instead) in REPLACED {
            let phrase: Vec<_> = phrase.split(' ').collect();
            if words.windows(phrase.len()).any(|window| window == phrase) {
                let advice = format!("says \"{}\"; write {instead}", phrase.join(" "));
                violations.push(source.violation(number, advice));
            }
        }
    }
    violations
}

/// The words of a line in lower case. `HasHeard` has the word `heard`; `mailbox` does not have `mail`.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_after_lower = false;
    for c in line.chars() {
        if !c.is_alphabetic() || (is_after_lower && c.is_uppercase()) {
            words.push(String::new());
        }
        is_after_lower = c.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| c.is_alphabetic()) {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let violations = replaced(&Source::new("docs/a.md", text));
        violations.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn replaced_words_are_found_with_their_better_ones() {
        assert_eq!(found("A mailbox.\nUp to `limit`."), Vec::<String>::new());
        assert_eq!(found("\nObey at once."), ["docs/a.md:2: says \"obey\"; write run, or apply"]);
        for text in ["so\u{20}many at most", "fn has_heard()", "struct WasHeard;", "\"heard\""] {
            assert_eq!(found(text).len(), 1, "{text}");
        }
    }
}
