//! Rules that look at one file at a time.

use crate::sources::{Source, Violation, split_comment};

/// The longest that a file may be, in lines.
const MAX_FILE_LINES: usize = 600;

/// Every rule of this file.
pub(crate) const RULES: &[fn(&Source) -> Vec<Violation>] =
    &[head, size, limits_stay, one_clippy_file, bans, leftovers, reasons];

/// A use that is allowed in one place alone.
struct Ban {
    /// What the code must not contain.
    needle: &'static str,
    /// Paths under which the ban holds; empty means everywhere.
    within: &'static str,
    /// The paths under which it does not hold.
    except: &'static [&'static str],
    advice: &'static str,
}

const BANS: &[Ban] = &[
    Ban { needle: "std::env", within: "", except: &["crates/kv_release/src/config"], advice: NO_ENVIRONMENT },
    Ban { needle: " env::", within: "", except: &["crates/kv_release/src/config"], advice: NO_ENVIRONMENT },
    Ban { needle: "std::net", within: "crates/kv/", except: &[], advice: NO_SOCKET },
    Ban { needle: "tokio::net", within: "crates/kv/", except: &[], advice: NO_SOCKET },
    Ban { needle: "std::fs", within: "crates/kv/", except: &[], advice: NO_SOCKET },
    Ban { needle: "tokio::fs", within: "crates/kv/", except: &[], advice: NO_SOCKET },
    Ban {
        needle: "bincode::",
        within: "",
        except: &["crates/kv_cluster/src/wire"],
        advice: "uses bincode outside of kv_cluster's wire.rs; encode and decode there, under its byte limit",
    },
    Ban {
        needle: "unsafe",
        within: "",
        except: &["crates/kv/src/memory/prefetch_line.rs", "crates/kv_server/src/reactor/uring.rs"],
        advice: "is unsafe outside of kv's prefetch_line.rs and kv_server's uring.rs; there is a safe way",
    },
    Ban {
        needle: "unbounded_channel",
        within: "",
        except: &[],
        advice: "opens a channel without a bound; use mpsc::channel with a named limit",
    },
];

const NO_ENVIRONMENT: &str =
    "looks at the environment; kv_release's config does that once, take the typed value from there";
const NO_SOCKET: &str = "touches sockets or files in the store; hand bytes in from outside instead";

fn is_rust(source: &Source) -> bool {
    source.path.ends_with(".rs")
}

/// Every Rust file begins by saying what it is for.
fn head(source: &Source) -> Vec<Violation> {
    if !is_rust(source) || source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![source.violation(1, "begin the file with a `//!` line that says what it is for")]
}

/// No file outgrows a reader.
fn size(source: &Source) -> Vec<Violation> {
    let lines = source.numbered().count();
    if !is_rust(source) || lines <= MAX_FILE_LINES {
        return Vec::new();
    }
    vec![source.violation(lines, format!("{lines} lines, at most {MAX_FILE_LINES}; split it by subject"))]
}

/// The limit on a function's length (clippy's too_many_lines) is kept, not waved aside.
fn limits_stay(source: &Source) -> Vec<Violation> {
    let waved = |line: &str| line.trim_start().starts_with("#[") && line.contains("clippy::too_many_lines");
    let advice = "allows a function of any length; split the function instead";
    violations_where(source, waved, advice)
}

/// A crate's own clippy.toml would replace the root's and its limits.
fn one_clippy_file(source: &Source) -> Vec<Violation> {
    if !source.path.ends_with("/clippy.toml") {
        return Vec::new();
    }
    vec![source.violation(1, "replaces the root's clippy.toml for this crate; put the setting there")]
}

/// What is allowed in one place alone stays there.
fn bans(source: &Source) -> Vec<Violation> {
    let elsewhere = |ban: &&Ban| {
        source.path.starts_with(ban.within) && !ban.except.iter().any(|path| source.path.starts_with(path))
    };
    let mut violations = Vec::new();
    for ban in BANS.iter().filter(|_| is_rust(source)).filter(elsewhere) {
        for (line, text) in source.product_lines() {
            if split_comment(text).0.contains(ban.needle) {
                violations.push(source.violation(line, ban.advice));
            }
        }
    }
    violations
}

/// Nothing is left for later, in words or as code in a comment.
fn leftovers(source: &Source) -> Vec<Violation> {
    if !is_rust(source) {
        return Vec::new();
    }
    let marker = |line: &str| {
        let comment = split_comment(line).1;
        ["TODO", "FIXME", "XXX", "HACK"].iter().any(|word| comment.contains(word))
    };
    let dead = |line: &str| {
        let comment = line.trim_start().strip_prefix("// ").unwrap_or_default();
        comment.ends_with(';') || comment.ends_with('{') || matches!(comment, "}" | "})" | "};")
    };
    let mut violations = violations_where(source, marker, "marks work for later; do it now, or leave it out");
    violations.extend(violations_where(
        source,
        dead,
        "looks like code in a comment; delete it, git keeps it",
    ));
    violations
}

/// Every dependency from outside has its reason as a comment above it or above its group.
fn reasons(source: &Source) -> Vec<Violation> {
    if source.path != "Cargo.toml" {
        return Vec::new();
    }
    let mut violations = Vec::new();
    let (mut inside, mut reason) = (false, false);
    for (number, line) in source.numbered() {
        match line.chars().next() {
            Some('[') => inside = line == "[workspace.dependencies]",
            Some('#') => reason = true,
            None => reason = false,
            Some(_) if inside && !reason && !line.contains("path = ") => {
                violations
                    .push(source.violation(number, "a dependency without a reason; say why in a comment"));
            }
            Some(_) => {}
        }
    }
    violations
}

fn violations_where(source: &Source, broken: impl Fn(&str) -> bool, advice: &str) -> Vec<Violation> {
    let broken = source.numbered().filter(|(_, line)| broken(line));
    broken.map(|(number, _)| source.violation(number, advice)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(path: &str, text: &str) -> Vec<(usize, String)> {
        let source = Source { path: path.into(), text: text.into() };
        let violations = RULES.iter().flat_map(|rule| rule(&source));
        violations.map(|violation| (violation.line, violation.advice)).collect()
    }

    fn refused(path: &str, text: &str, line: usize, what: &str) {
        let found = judged(path, text);
        assert!(matches!(&found[..], [(at, advice)] if *at == line && advice.contains(what)), "{found:?}");
    }

    #[test]
    fn a_plain_file_passes() {
        assert_eq!(judged("crates/kv/src/a.rs", "//! A.\n// Why; and then\nfn a() {}\n"), []);
    }

    #[test]
    fn a_file_says_what_it_is_for() {
        refused("crates/kv/src/a.rs", "fn a() {}\n", 1, "begin the file");
    }

    #[test]
    fn a_file_has_an_end() {
        refused("crates/kv/src/a.rs", &format!("//! A.\n{}", "\n".repeat(600)), 601, "split it");
    }

    #[test]
    fn a_function_keeps_to_its_length() {
        refused(
            "apps/foo/src/main.rs",
            "//! A.\n#[allow(clippy::too_many_lines)]\n",
            2,
            "split the function",
        );
    }

    #[test]
    fn there_is_one_clippy_file() {
        refused("crates/kv/clippy.toml", "", 1, "replaces the root's");
    }

    #[test]
    fn the_environment_is_read_in_one_place() {
        let text = "//! A.\nlet home = std::env::var(\"HOME\");\n";
        refused("crates/otp/src/a.rs", text, 2, "looks at the environment");
        assert_eq!(judged("crates/kv_release/src/config/file.rs", text), []);
        assert_eq!(judged("tests/src/release.rs", text), []);
    }

    #[test]
    fn the_store_knows_no_socket_and_no_file() {
        for used in ["std::net", "tokio::net", "std::fs", "tokio::fs"] {
            let text = format!("//! A.\nuse {used}::X;\n");
            refused("crates/kv/src/a.rs", &text, 2, "sockets or files");
            assert_eq!(judged("crates/kv_server/src/a.rs", &text), []);
        }
    }

    #[test]
    fn unsafe_stays_in_its_files() {
        let text = "//! A.\nfn a() { unsafe { b() } }\n";
        refused("crates/kv/src/a.rs", text, 2, "there is a safe way");
        for file in ["crates/kv/src/memory/prefetch_line.rs", "crates/kv_server/src/reactor/uring.rs"] {
            assert_eq!(judged(file, text), []);
        }
    }

    #[test]
    fn bincode_stays_in_its_file() {
        refused("crates/kv/src/a.rs", "//! A.\nbincode::serde::x();\n", 2, "outside of kv_cluster's wire.rs");
        assert_eq!(judged("crates/kv_cluster/src/wire.rs", "//! A.\nbincode::serde::x();\n"), []);
    }

    #[test]
    fn every_channel_has_a_bound() {
        refused("crates/otp/src/a.rs", "//! A.\nlet x = unbounded_channel();\n", 2, "without a bound");
    }

    #[test]
    fn nothing_is_left_for_later() {
        refused("crates/otp/src/a.rs", &format!("//! A.\n// {}: more\n", "TODO"), 2, "for later");
        refused("crates/otp/src/a.rs", "//! A.\n    // let x = 1;\n", 2, "code in a comment");
    }

    #[test]
    fn every_dependency_has_its_reason() {
        let head = "[workspace.dependencies]\nkv = { path = \"crates/kv\" }\n";
        assert_eq!(judged("Cargo.toml", &format!("{head}# Why.\na = \"1\"\nb = \"1\"\n")), []);
        refused("Cargo.toml", &format!("{head}# Why.\na = \"1\"\n\nb = \"1\"\n"), 6, "without a reason");
    }
}
