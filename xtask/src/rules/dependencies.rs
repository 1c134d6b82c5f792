//! Which package of the workspace may depend on which: the arrows of ARCHITECTURE.md.

use crate::sources::Violation;
use cargo_metadata::Metadata;
use std::collections::{BTreeMap, BTreeSet};

/// Every package of the workspace with the ones that it may depend on.
pub(crate) const ALLOWED: &[(&str, &[&str])] = &[
    ("kv_metrics", &[]),
    ("otp", &[]),
    ("kv", &["otp"]),
    ("kv_raft", &["kv", "otp"]),
    ("kv_cluster", &["kv", "kv_metrics", "kv_raft", "otp"]),
    ("kv_server", &["kv", "kv_cluster", "kv_metrics", "otp"]),
    ("kv_admin", &["kv", "kv_cluster", "kv_metrics", "otp"]),
    ("kv_release", &["kv", "kv_admin", "kv_cluster", "kv_metrics", "kv_raft", "otp"]),
    ("foo", &["kv_release", "kv_server"]),
    ("bar", &["kv_release"]),
    ("kv_bench", &[]),
    ("tests", &[]),
    ("xtask", &[]),
];

/// What must not be reached even through others: bar takes no clients.
const NEVER: &[(&str, &str)] = &[("bar", "kv_server")];

/// Each package with the packages of the workspace that its manifest names.
pub(crate) type Packages = BTreeMap<String, BTreeSet<String>>;

/// The workspace's own packages, whatever the kind of the dependency.
pub(crate) fn own_packages(metadata: &Metadata) -> Packages {
    let members = metadata.workspace_packages();
    let names: BTreeSet<&str> = members.iter().map(|package| package.name.as_str()).collect();
    let own = |package: &&cargo_metadata::Package| {
        let known = package.dependencies.iter().map(|dependency| dependency.name.clone());
        (package.name.to_string(), known.filter(|name| names.contains(name.as_str())).collect())
    };
    members.iter().map(own).collect()
}

/// Dependencies that the table does not have.
pub(crate) fn undeclared(packages: &Packages) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (package, known) in packages {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| name == package) else {
            violations.push(violation(package, "has no row in ALLOWED; list there what it may depend on"));
            continue;
        };
        for name in known.iter().filter(|name| !allowed.contains(&name.as_str())) {
            violations.push(violation(
                package,
                &format!("must not depend on {name}; move the code, or take {name} out"),
            ));
        }
    }
    for (package, forbidden) in NEVER {
        if reaches(packages, package, forbidden) {
            let what = format!("reaches {forbidden} through others; remove that dependency");
            violations.push(violation(package, &what));
        }
    }
    violations
}

fn reaches(packages: &Packages, from: &str, to: &str) -> bool {
    // The workspace's packages form no cycle, cargo sees to that, so this ends.
    packages.get(from).is_some_and(|known| known.iter().any(|name| name == to || reaches(packages, name, to)))
}

fn violation(package: &str, what: &str) -> Violation {
    let path = "xtask/src/rules/dependencies.rs".into();
    Violation { path, line: 1, advice: format!("package {package} {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(dependencies: &[(&str, &[&str])]) -> Packages {
        let own = |(name, known): &(&str, &[&str])| {
            (name.to_string(), known.iter().map(ToString::to_string).collect())
        };
        dependencies.iter().map(own).collect()
    }

    #[test]
    fn the_table_itself_passes() {
        assert_eq!(undeclared(&packages(ALLOWED)), []);
    }

    #[test]
    fn a_dependency_that_the_table_lacks_is_named() {
        let violations = undeclared(&packages(&[("otp", &["kv"]), ("kv", &[])]));
        assert!(violations[0].advice.starts_with("package otp must not depend on kv"), "{violations:?}");
    }

    #[test]
    fn a_package_without_a_row_is_named() {
        assert!(undeclared(&packages(&[("new", &[])]))[0].advice.contains("has no row"));
    }

    #[test]
    fn bar_must_not_reach_the_server_through_others() {
        let found = undeclared(&packages(&[("bar", &["kv_release"]), ("kv_release", &["kv_server"])]));
        assert!(
            found.iter().any(|violation| violation.advice.contains("bar reaches kv_server")),
            "{found:?}"
        );
    }
}
