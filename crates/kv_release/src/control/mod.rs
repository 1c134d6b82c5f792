//! The control socket: how `rpc`, `remote`, `stop`, `restart` and `pid` reach the running node.
//!
//! A request is one line of JSON, and so is its reply; lines of buckets follow those of `export` and
//! `import`. The socket is in the run directory, which only the node's user can enter.

pub(crate) mod client;
pub(crate) mod message;
pub(crate) mod run_dir;
pub(crate) mod server;
#[cfg(test)]
mod tests;
