//! Which children are restarted when one of them ends.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Which children a supervisor restarts when one of them ends, as in OTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The one that ended.
    OneForOne,
    /// All of them.
    OneForAll,
    /// The one that ended and those started after it.
    RestForOne,
}

impl Strategy {
    /// The indices, among `count` children in start order, that are restarted when the child at `ended` ends.
    pub(crate) fn affected(self, ended: usize, count: usize) -> Range<usize> {
        match self {
            Self::OneForOne => ended..ended + 1,
            Self::OneForAll => 0..count,
            Self::RestForOne => ended..count,
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneForOne => "one_for_one",
            Self::OneForAll => "one_for_all",
            Self::RestForOne => "rest_for_one",
        })
    }
}
