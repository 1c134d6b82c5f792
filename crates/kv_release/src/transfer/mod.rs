//! `export` and `import`: buckets between the running node and a file, or from a Redis server. `backup` and
//! `restore`: all of a node's buckets, as they were at one moment.
//!
//! All verbs hold one page at a time. A file's lines cross the control socket as they are; what is read from
//! Redis is made lines first.

mod destination;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod owner;
mod progress;
mod redis;
pub(crate) mod restore;
mod session;
pub(crate) mod source;
