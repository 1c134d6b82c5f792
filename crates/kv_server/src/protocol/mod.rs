//! The two protocols that clients speak. Each implements [`crate::pipeline::Protocol`].

mod end_reason;
pub(crate) mod resp;
pub(crate) mod text;

#[cfg(test)]
mod tests;
