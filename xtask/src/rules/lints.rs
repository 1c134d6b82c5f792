//! Rules that forbid a use: outside of one place, or everywhere.

use crate::sources::{Source, Violation, numbered, tokens};

/// Code that is allowed in few places.
struct OnePlace {
    /// The code, token by token.
    code: &'static [&'static str],
    /// Paths under which the rule holds.
    within: &'static [&'static str],
    /// Paths under which it does not.
    except: &'static [&'static str],
    advice: &'static str,
}

const EVERYWHERE: &[&str] = &[""];

const ONE_PLACE: &[OnePlace] = &[
    OnePlace {
        code: &["Store", ".store", "store."],
        within: &["crates/kv_cluster/"],
        except: &["crates/kv_cluster/src/local.rs", "crates/kv_cluster/src/local/"],
        advice: "uses the store; go through LocalNode in kv_cluster's local.rs",
    },
    OnePlace {
        code: &["Store"],
        within: &["crates/kv_server/", "crates/kv_release/"],
        except: &[],
        advice: "names the store; go through kv_cluster's Cluster",
    },
    OnePlace {
        code: &[
            "cluster.execute",
            "cluster.transact",
            "cluster.subscribe",
            "cluster.dispatch",
            "cluster.owner",
        ],
        within: &["crates/kv_server/"],
        except: &["crates/kv_server/src/pipeline/router.rs"],
        advice: "sends a request to the cluster; go through kv_server's pipeline/router.rs",
    },
    OnePlace {
        code: &["env::"],
        within: EVERYWHERE,
        except: &["crates/kv_release/src/config"],
        advice: "reads the environment; take the typed value from kv_release's config, which reads it once",
    },
    OnePlace {
        code: &["std::net", "tokio::net", "std::fs", "tokio::fs"],
        within: &["crates/kv/"],
        except: &[],
        advice: "uses sockets or files in the store; pass bytes in from outside",
    },
    OnePlace {
        code: &["bincode::"],
        within: EVERYWHERE,
        except: &[
            "crates/kv_cluster/src/link/codec.rs",
            "crates/kv_raft/src/consensus/frame.rs",
            "crates/kv_raft/src/proposals/replies.rs",
        ],
        advice: "uses bincode outside of kv_cluster's link/codec.rs; encode and decode there, under its limits",
    },
    OnePlace {
        code: &["openraft::"],
        within: EVERYWHERE,
        except: &["crates/kv_raft/src/consensus"],
        advice: "names openraft outside of kv_raft's consensus.rs; use the types of our own",
    },
    OnePlace {
        code: &["raft_log::"],
        within: EVERYWHERE,
        except: &["crates/kv_raft/src/log"],
        advice: "names raft-log outside of kv_raft's log; use the types of our own",
    },
    OnePlace {
        code: &["unsafe"],
        within: EVERYWHERE,
        except: &["crates/kv/src/memory/prefetch_line.rs", "crates/kv_server/src/reactor/uring.rs"],
        advice: "is unsafe outside of kv's prefetch_line.rs and kv_server's uring.rs; use safe code",
    },
    OnePlace {
        code: &["unbounded_channel"],
        within: EVERYWHERE,
        except: &[],
        advice: "creates an unbounded channel; use mpsc::channel with a named limit",
    },
];

/// The limit on a function's length (clippy's too_many_lines) is not waived.
pub(crate) fn function_lines(source: &Source) -> Vec<Violation> {
    let waives = |line: &str| line.trim_start().starts_with("#[") && line.contains("clippy::too_many_lines");
    let advice = "allows a function of any length; split the function instead";
    violations_where(source, waives, advice)
}

/// A crate's own clippy.toml would replace the root's and its limits.
pub(crate) fn one_clippy_file(source: &Source) -> Vec<Violation> {
    if !source.path.ends_with("/clippy.toml") {
        return Vec::new();
    }
    vec![source.violation(1, "replaces the root's clippy.toml for this crate; put the setting there")]
}

/// What is allowed in few places stays there.
pub(crate) fn one_place(source: &Source) -> Vec<Violation> {
    let is_under = |paths: &[&str]| paths.iter().any(|path| source.path.starts_with(path));
    let code = tokens(&source.product);
    let mut violations = Vec::new();
    for rule in ONE_PLACE.iter().filter(|rule| is_under(rule.within) && !is_under(rule.except)) {
        for forbidden in rule.code {
            let forbidden = tokens(forbidden);
            let is_forbidden =
                |window: &&[(&str, usize)]| window.iter().map(|t| t.0).eq(forbidden.iter().map(|t| t.0));
            let found = code.windows(forbidden.len()).filter(is_forbidden);
            violations.extend(found.map(|window| source.violation(window[0].1, rule.advice)));
        }
    }
    violations
}

/// Nothing is left for later, neither as a note nor as commented-out code.
pub(crate) fn leftovers(source: &Source) -> Vec<Violation> {
    if !source.is_rust() {
        return Vec::new();
    }
    let marks = |line: &str| {
        let comment = line.split_once("// ").map_or("", |(_, comment)| comment);
        ["TODO", "FIXME", "XXX", "HACK"].iter().any(|word| comment.contains(word))
    };
    let is_code = |line: &str| {
        let comment = line.trim_start().strip_prefix("// ").unwrap_or_default();
        comment.ends_with(';') || comment.ends_with('{') || matches!(comment, "}" | "})" | "};")
    };
    let mut violations = violations_where(source, marks, "marks work for later; do it now, or leave it out");
    violations.extend(violations_where(source, is_code, "is commented-out code; delete it, git keeps it"));
    violations
}

/// Every dependency from outside has its reason as a comment above it or above its group.
pub(crate) fn reasons(source: &Source) -> Vec<Violation> {
    if source.path != "Cargo.toml" {
        return Vec::new();
    }
    let mut violations = Vec::new();
    let (mut inside, mut reason) = (false, false);
    for (number, line) in numbered(&source.text) {
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
    let broken = numbered(&source.text).filter(|(_, line)| broken(line));
    broken.map(|(number, _)| source.violation(number, advice)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Lint = fn(&Source) -> Vec<Violation>;

    #[track_caller]
    fn passes(lint: Lint, path: &str, text: &str) {
        assert_eq!(lint(&Source::new(path, text)), []);
    }

    #[track_caller]
    fn fails(lint: Lint, path: &str, text: &str, line: usize, advice: &str) {
        let found = lint(&Source::new(path, text));
        assert!(matches!(&found[..], [one] if one.line == line && one.advice.contains(advice)), "{found:?}");
    }

    #[test]
    fn a_function_keeps_to_its_length() {
        let text = "//! A.\n#[allow(clippy::too_many_lines)]\n";
        fails(function_lines, "apps/foo/src/main.rs", text, 2, "split the function");
    }

    #[test]
    fn there_is_one_clippy_file() {
        passes(one_clippy_file, "clippy.toml", "");
        fails(one_clippy_file, "crates/kv/clippy.toml", "", 1, "replaces the root's");
    }

    #[test]
    fn the_environment_is_read_in_one_place() {
        let text = "//! A.\nlet home = std::env::var(\"HOME\");\n";
        fails(one_place, "crates/otp/src/a.rs", text, 2, "reads the environment");
        passes(one_place, "crates/kv_release/src/config/file.rs", text);
        passes(one_place, "tests/src/release.rs", text);
    }

    #[test]
    fn the_store_knows_no_socket_and_no_file() {
        for used in ["std::net", "tokio::net", "std::fs", "tokio::fs"] {
            let text = format!("//! A.\nuse {used}::X;\n");
            fails(one_place, "crates/kv/src/a.rs", &text, 2, "sockets or files");
            passes(one_place, "crates/kv_server/src/a.rs", &text);
        }
    }

    #[test]
    fn unsafe_stays_in_its_files() {
        let text = "//! A.\nfn a() { unsafe { b() } }\n";
        fails(one_place, "crates/kv/src/a.rs", text, 2, "use safe code");
        for file in ["crates/kv/src/memory/prefetch_line.rs", "crates/kv_server/src/reactor/uring.rs"] {
            passes(one_place, file, text);
        }
    }

    #[test]
    fn bincode_stays_in_its_file() {
        let text = "//! A.\nbincode::serde::x();\n";
        fails(one_place, "crates/kv/src/a.rs", text, 2, "outside of kv_cluster's link/codec.rs");
        passes(one_place, "crates/kv_cluster/src/link/codec.rs", text);
    }

    #[test]
    fn every_channel_has_a_bound() {
        let text = "//! A.\nlet x = unbounded_channel();\n";
        fails(one_place, "crates/otp/src/a.rs", text, 2, "an unbounded channel");
    }

    #[test]
    fn the_store_has_one_door() {
        let text = "//! Store.\nuse kv::{Request,\n    Store};\n";
        fails(one_place, "crates/kv_cluster/src/serve/requests.rs", text, 3, "go through LocalNode");
        let text = "self.local.store";
        fails(one_place, "crates/kv_cluster/src/cluster.rs", text, 1, "go through LocalNode");
        for part in ["server", "release"] {
            let path = format!("crates/kv_{part}/src/a.rs");
            fails(one_place, &path, "fn f(store: &kv::Store) {}", 1, "names the store");
            passes(one_place, &path, "// Store\nlet x = \"Store\";\n#[cfg(test)]\nuse kv::Store;");
        }
        for file in ["crates/kv_cluster/src/local.rs", "crates/kv/src/store/mod.rs"] {
            passes(one_place, file, "use kv::Store;");
        }
        let text = "//! A.\nself\n    .cluster\n    .execute(request)";
        fails(
            one_place,
            "crates/kv_server/src/protocol/a.rs",
            text,
            3,
            "go through kv_server's pipeline/router.rs",
        );
        passes(one_place, "crates/kv_server/src/pipeline/router.rs", text);
    }

    #[test]
    fn nothing_is_left_for_later() {
        fails(leftovers, "crates/otp/src/a.rs", &format!("//! A.\n/{} more\n", "/ TODO"), 2, "for later");
        fails(leftovers, "crates/otp/src/a.rs", "//! A.\n    // let x = 1;\n", 2, "commented-out");
        passes(leftovers, "crates/otp/src/a.rs", "//! A.\n// Why; and then\nfn a() {}\n");
    }

    #[test]
    fn every_dependency_has_its_reason() {
        let head = "[workspace.dependencies]\nkv = { path = \"crates/kv\" }\n";
        passes(reasons, "Cargo.toml", &format!("{head}# Why.\na = \"1\"\nb = \"1\"\n"));
        fails(
            reasons,
            "Cargo.toml",
            &format!("{head}# Why.\na = \"1\"\n\nb = \"1\"\n"),
            6,
            "without a reason",
        );
    }
}
