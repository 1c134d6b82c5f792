//! The tidy rules: what neither rustfmt nor clippy can see.

pub(crate) mod dependencies;
mod modules;
mod text;

use crate::sources::{self, Violation};
use cargo_metadata::MetadataCommand;
use std::error::Error;

/// All violations in the workspace, in the order of their places.
pub(crate) fn judge() -> Result<Vec<Violation>, Box<dyn Error>> {
    let metadata = MetadataCommand::new().other_options(vec!["--locked".into()]).exec()?;
    let sources = sources::read(metadata.workspace_root.as_std_path())?;

    let mut violations = dependencies::arrows(&dependencies::own_packages(&metadata));
    violations.extend(modules::cycles(&sources));
    for source in &sources {
        violations.extend(text::RULES.iter().flat_map(|rule| rule(source)));
    }
    violations.sort();
    Ok(violations)
}
