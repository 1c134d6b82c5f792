//! The commands: what redis-cli shows of each.

mod hash_expiry;
mod hash_model;
mod hashes;
mod keys;
mod session;
mod strings;
