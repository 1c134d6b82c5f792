//! Copies of the large arguments of a request, in pieces, made before the request's shard is locked. Under
//! the lock they are taken over, so it is held for no longer than for a small value.

use crate::{error::CommandError, memory::large::LargeValue};

/// Copies of arguments, each with the argument's place in memory. They are only valid for a request that
/// borrows the same arguments.
#[derive(Debug, Clone, Default)]
pub(crate) struct PreparedValues {
    values: Vec<(Place, LargeValue)>,
    /// Whether a write to a string that has another length than expected is refused, to be prepared again.
    pub(crate) refuses_outdated: bool,
}

/// Where an argument begins, and its length.
type Place = (usize, usize);

fn place(argument: &[u8]) -> Place {
    (argument.as_ptr() as usize, argument.len())
}

impl PreparedValues {
    /// Adds the copy of an argument.
    pub(crate) fn push(&mut self, argument: &[u8], copy: LargeValue) {
        self.values.push((place(argument), copy));
    }

    /// Bytes of all copies.
    pub(crate) fn bytes(&self) -> usize {
        self.values.iter().map(|(_, copy)| copy.len()).sum()
    }

    /// Whether there are none.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Takes the copy of an argument, if there is one.
    pub(crate) fn take(&mut self, argument: &[u8]) -> Option<LargeValue> {
        if self.values.is_empty() {
            return None;
        }
        let at = self.values.iter().position(|(at, _)| *at == place(argument))?;
        Some(self.values.swap_remove(at).1)
    }

    /// Takes the copy of an argument that is written at `offset` of a string, if it was made for that.
    pub(crate) fn take_for(
        &mut self,
        argument: &[u8],
        offset: usize,
    ) -> Result<Option<LargeValue>, CommandError> {
        match self.take(argument) {
            Some(copy) if copy.is_aligned_to(offset) => Ok(Some(copy)),
            Some(_) if self.refuses_outdated => Err(CommandError::Outdated),
            _ => Ok(None),
        }
    }
}
