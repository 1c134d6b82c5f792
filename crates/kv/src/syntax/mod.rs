//! Small notations that clients and operators write: glob patterns, quoted words and sizes in bytes.

pub mod byte_size;
pub mod escape;
pub mod glob;
