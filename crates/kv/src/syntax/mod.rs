//! Small notations that clients and operators write: glob patterns, quoted words and sizes in bytes; and how
//! errors quote names.

pub mod byte_size;
pub mod escape;
pub mod excerpt;
pub mod glob;
