//! The commands: what redis-cli shows of each.

mod keys;
mod session;
mod strings;
