//! Buckets as JSON lines, which `export` writes and `import` reads: [`record`] is one line, [`export`] makes
//! lines of this node's buckets, [`import`] makes buckets of lines, [`compare`] looks at those that exist,
//! and [`mod@backup`] makes a backup of all of them. Exports and backups are made page by page ([`pages`]).

pub(crate) mod backup;
mod compare;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod pages;
pub(crate) mod record;
#[cfg(test)]
mod tests;
