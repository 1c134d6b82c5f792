//! Where an import comes from, as the command line says.

use std::path::PathBuf;

/// The argument of `import`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Stdin,
    File(PathBuf),
}

/// For the command line: parses a source.
pub(crate) fn parse(text: &str) -> Result<Source, String> {
    match text {
        "-" => Ok(Source::Stdin),
        path => Ok(Source::File(path.into())),
    }
}
