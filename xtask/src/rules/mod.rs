//! The tidy rules: what neither rustfmt nor clippy can see.

pub(crate) mod dependencies;
mod layout;
mod lints;
mod modules;
mod names;
mod vendored;
mod words;

use crate::sources::{self, Source, Violation};
use cargo_metadata::MetadataCommand;
use dependencies::Packages;
use std::{error::Error, path::PathBuf};

/// What the rules look at.
pub(crate) struct Workspace {
    packages: Packages,
    sources: Vec<Source>,
    root: PathBuf,
}

type Rule = fn(&Workspace) -> Vec<Violation>;

/// Every rule by its name.
const RULES: &[(&str, Rule)] = &[
    ("dependencies", |workspace| dependencies::undeclared(&workspace.packages)),
    ("module-cycles", |workspace| modules::cycles(&workspace.sources)),
    ("own-imports", |workspace| modules::imports_through_lib(&workspace.sources)),
    ("predicates", |workspace| each(workspace, names::mutating_predicates)),
    ("type-names", |workspace| names::duplicate_types(&workspace.sources)),
    ("file-heads", |workspace| each(workspace, layout::head)),
    ("file-lines", |workspace| each(workspace, layout::file_lines)),
    ("folder-files", |workspace| layout::folder_files(&workspace.sources)),
    ("line-width", |workspace| each(workspace, layout::line_width)),
    ("words", |workspace| each(workspace, words::replaced)),
    ("one-place", |workspace| each(workspace, lints::one_place)),
    ("function-lines", |workspace| each(workspace, lints::function_lines)),
    ("clippy-file", |workspace| each(workspace, lints::one_clippy_file)),
    ("leftovers", |workspace| each(workspace, lints::leftovers)),
    ("vendored", |workspace| vendored::check(&workspace.sources, &workspace.root)),
    ("reasons", |workspace| each(workspace, lints::reasons)),
];

fn each(workspace: &Workspace, rule: fn(&Source) -> Vec<Violation>) -> Vec<Violation> {
    workspace.sources.iter().flat_map(rule).collect()
}

/// All violations of the rule called `only`, or of all rules, in the order of their places.
pub(crate) fn check(only: Option<&str>) -> Result<Vec<Violation>, Box<dyn Error>> {
    let names: Vec<_> = RULES.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = only.filter(|only| !names.contains(only)) {
        return Err(format!("no rule is called {unknown}; there are {}", names.join(", ")).into());
    }
    let metadata = MetadataCommand::new().other_options(vec!["--locked".into()]).exec()?;
    let workspace = Workspace {
        packages: dependencies::own_packages(&metadata),
        sources: sources::read(metadata.workspace_root.as_std_path())?,
        root: metadata.workspace_root.into(),
    };
    let selected = RULES.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
    let mut violations: Vec<_> = selected.flat_map(|(_, rule)| rule(&workspace)).collect();
    violations.sort();
    violations.dedup();
    Ok(violations)
}
