//! What the sections have in common: keys, and the layers that their values come from. Later layers win:
//! defaults < file < `KV_*` variables < flags.
//!
//! Follow a value in this order: [`key`] -> [`mod@file`], [`environment`], [`flags`] -> [`merged`].

pub(crate) mod environment;
pub(crate) mod error;
pub(crate) mod file;
pub(crate) mod flags;
pub(crate) mod in_force;
pub(crate) mod key;
pub(crate) mod merged;
pub(crate) mod reference;
pub(crate) mod restart_required;
