//! An import from a live Redis or Valkey server, which is only read.
//!
//! The client is our own: a dozen commands need no more than writing and reading RESP2, lengths are checked
//! before memory is taken, and a release does without the URL and Unicode tables of a full client.

mod client;
pub(super) mod copy;
