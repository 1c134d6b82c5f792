//! The versions of the link protocol. Two nodes speak the newest one that both know: the dialer proposes its
//! own newest one, and dials again with that of the listener if that is older.

use crate::limits::{LINK_VERSION, OLDEST_LINK_VERSION};
use std::fmt;

/// The versions that a node speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Versions {
    oldest: u8,
    pub(crate) newest: u8,
}

impl Versions {
    /// Those of this release.
    pub(crate) const OWN: Versions = Versions { oldest: OLDEST_LINK_VERSION, newest: LINK_VERSION };

    /// This version alone.
    pub(crate) fn only(version: u8) -> Versions {
        Versions { oldest: version, newest: version }
    }

    /// Those up to `newest`.
    pub(crate) fn up_to(self, newest: u8) -> Versions {
        Versions { newest, ..self }
    }

    pub(crate) fn has(self, version: u8) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.oldest == self.newest {
            true => write!(f, "version {}", self.newest),
            false => write!(f, "versions {} to {}", self.oldest, self.newest),
        }
    }
}
