//! The large values whose places the blocks of an arena name.

use super::Arena;
use crate::{
    error::CommandError,
    memory::{
        entry::{LargeRef, Value},
        large::LargeValue,
    },
};

impl Arena {
    /// Adds a large value.
    pub(crate) fn add_value(&mut self, value: LargeValue) -> LargeRef {
        let len = value.len();
        self.large_bytes += len;
        let index = match self.values_free.pop() {
            Some(index) => {
                self.values[index as usize] = value;
                index
            }
            None => {
                self.values.push(value);
                self.values.len() as u32 - 1
            }
        };
        LargeRef { index, len: len as u32 }
    }

    /// A large value.
    pub(crate) fn value(&self, at: LargeRef) -> &LargeValue {
        &self.values[at.index as usize]
    }

    /// Frees a value that no block names any more, if it is large.
    pub(crate) fn free_value(&mut self, value: Value<'_>) {
        if let Some(at) = value.large() {
            self.before_value_change(at);
            self.large_bytes -= at.len as usize;
            self.values[at.index as usize] = LargeValue::aligned_to(0);
            self.values_free.push(at.index);
        }
    }

    /// Writes into a large value; see [`LargeValue::write`]. Returns what identifies it from now on.
    pub(crate) fn write_value(
        &mut self,
        at: LargeRef,
        offset: usize,
        bytes: &[u8],
        aligned: Option<&LargeValue>,
    ) -> Result<LargeRef, CommandError> {
        self.before_value_change(at);
        let value = &mut self.values[at.index as usize];
        value.write(offset, bytes, aligned)?;
        let len = value.len();
        self.large_bytes = self.large_bytes - at.len as usize + len;
        Ok(LargeRef { len: len as u32, ..at })
    }
}
