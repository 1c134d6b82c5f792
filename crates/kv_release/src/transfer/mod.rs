//! `export` and `import`: buckets between the running node and a file, or from a Redis server.
//!
//! Both verbs hold one page at a time. A file's lines cross the control socket as they are; what is read from
//! Redis is made lines first.

pub(crate) mod export;
pub(crate) mod import;
mod progress;
mod redis;
mod session;
pub(crate) mod source;
