//! The languages that clients speak.

pub(crate) mod text;
