//! A bucket moves to the memory of another shard, or is copied there.

use super::{
    Bucket,
    layout::{Block, Body, Entries, Head, inline_entries},
    map::{add_to_table, remove_from_table},
};
use crate::memory::{
    Memory,
    arena::{ArenaFull, Handle},
    entry::Entry,
};

impl Bucket {
    /// Moves the bucket's contents to another memory, under another name, where it is `unfinished` from the
    /// start. What is left here is to be destroyed. When there is no room for it, everything stays as it was.
    pub(crate) fn move_to(
        self,
        from: &mut Memory,
        to: &mut Memory,
        name: &[u8],
        unfinished: &mut Option<Bucket>,
    ) -> Result<(), ArenaFull> {
        let Block { head: Head { keep_when_empty, expires_at_ms, .. }, body } = self.block(from);
        let head = Head { name, keep_when_empty, expires_at_ms };
        let Body::Map(Entries::Table(source)) = body else {
            *unfinished = Some(Bucket::create(to, Block { head, body })?);
            return Ok(());
        };
        let target = to.add_table();
        let moved = Bucket::create(to, Block { head, body: Body::Map(Entries::Table(target)) })?;
        *unfinished = Some(moved);
        if let Err(full) = drain_into((from, source), (to, target)) {
            drain_into((to, target), (from, source)).expect("what has left has room where it was");
            *unfinished = None;
            moved.destroy(to);
            return Err(full);
        }
        Ok(())
    }
}

/// Moves the entries of a table to a table of another memory, one by one, so that no entry is in both
/// memories for long.
fn drain_into(source: (&mut Memory, u32), target: (&mut Memory, u32)) -> Result<(), ArenaFull> {
    let ((from, source), (to, target)) = (source, target);
    for line in 0..from.table(source).home_lines() {
        for handle in from.table(source).line_chain(line).collect::<Vec<Handle>>() {
            let entry = from.entry(handle);
            // All shards hash alike.
            let hash = from.hash(entry.key);
            add_to_table(to, target, hash, entry)?;
            #[cfg(test)]
            crate::failpoint::reach("drain_into");
            let slot = from.table(source).find(hash, |candidate| candidate == handle);
            remove_from_table(from, source, slot.expect("it was just seen there"));
        }
    }
    Ok(())
}

/// Entries that borrow nothing, packed as inline entries are.
pub(crate) struct PackedEntries(Vec<u8>);

impl PackedEntries {
    /// Copies entries.
    pub(crate) fn new(entries: &[Entry<'_>]) -> PackedEntries {
        let mut bytes = vec![0; entries.iter().map(Entry::size).sum()];
        let mut offset = 0;
        for entry in entries {
            entry.write(&mut bytes[offset..]);
            offset += entry.size();
        }
        PackedEntries(bytes)
    }

    /// The entries.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        inline_entries(&self.0).map(|(_, entry)| entry)
    }
}
