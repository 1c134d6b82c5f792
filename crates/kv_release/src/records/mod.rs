//! Buckets as JSON lines, which `export` writes and `import` reads: [`record`] is one line, [`export`] makes
//! lines of this node's buckets, [`import`] makes buckets of lines. [`mod@backup`] makes a backup of all of
//! them. Both are made page by page ([`pages`]).

pub(crate) mod backup;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod pages;
pub(crate) mod record;
#[cfg(test)]
mod tests;
