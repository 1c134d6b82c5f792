//! What a request looks up: a bucket by its name, and there the field that its arguments begin with. Both are
//! hashed once.

use crate::memory::Memory;

/// The hashes of what one request looks up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lookup<'a> {
    /// That of the bucket's name.
    pub(crate) name: u64,
    /// Whoever made this knows that the registry's latest look-up will have been of the same name, which then is not
    /// compared.
    pub(crate) again: bool,
    /// The field, and its hash, when it was hashed ahead.
    pub(crate) field: Option<(&'a [u8], u64)>,
}

impl Lookup<'_> {
    /// A look-up of a name alone.
    pub(crate) fn new(name: u64) -> Self {
        Lookup { name, again: false, field: None }
    }

    /// The hash of a field, which most often is the one that is known.
    #[inline]
    pub(crate) fn hash(&self, field: &[u8], memory: &Memory) -> u64 {
        match self.field {
            Some((known, hash)) if std::ptr::eq(known, field) => hash,
            _ => memory.hash(field),
        }
    }
}
