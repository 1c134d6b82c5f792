//! A bucket goes to the memory of another shard, or is copied there.

use super::{
    Bucket, add_block, add_to_table, fits,
    layout::{Block, Body, Head, walk},
    put_in_table, remove_from_table,
};
use crate::{
    memory::Memory,
    memory::arena::{Full, Handle},
    memory::entry::Entry,
};

impl Bucket {
    /// Moves the bucket to another memory, under another name. When there is no room for it, it stays as it was.
    pub(crate) fn move_to(self, from: &mut Memory, to: &mut Memory, name: &[u8]) -> Result<Bucket, Full> {
        let Block { head: Head { kept, expires_at_ms, .. }, body } = self.block(from);
        let head = Head { name, kept, expires_at_ms };
        let moved = match body {
            Body::Str(_) => add_block(to, Block { head, body })?,
            Body::Compact(entries) if fits(&head, entries.len()) => add_block(to, Block { head, body })?,
            Body::Compact(entries) => {
                let number = to.add_table();
                for (_, entry) in walk(entries) {
                    put_in_table(to, number, to.hash(entry.key), entry, 0)?;
                }
                add_block(to, Block { head, body: Body::Table(number) })?
            }
            Body::Table(source) => {
                let number = to.add_table();
                let moved = add_block(to, Block { head, body: Body::Table(number) })?;
                if pour((from, source), (to, number)).is_err() {
                    pour((to, number), (from, source)).expect("what has left can come back to its place");
                    moved.end(to);
                    return Err(Full);
                }
                moved
            }
        };
        self.end(from);
        Ok(moved)
    }
}

/// Moves the entries of a table to a table of another memory, one by one, so that at no time both memories hold them all.
fn pour(source: (&mut Memory, u32), sink: (&mut Memory, u32)) -> Result<(), Full> {
    let ((from, source), (to, sink)) = (source, sink);
    for line in 0..from.table(source).lines() {
        for handle in from.table(source).line(line).collect::<Vec<Handle>>() {
            let entry = from.entry(handle);
            // All shards hash alike.
            let hash = from.hash(entry.key);
            add_to_table(to, sink, hash, entry)?;
            let place = from.table(source).find(hash, |candidate| candidate == handle);
            remove_from_table(from, source, place.expect("it was just seen there"));
        }
    }
    Ok(())
}

/// Entries that borrow nothing, packed as in a compact bucket.
pub(crate) struct Packed(Vec<u8>);

impl Packed {
    /// Copies entries.
    pub(crate) fn new(entries: &[Entry<'_>]) -> Packed {
        let mut bytes = vec![0; entries.iter().map(Entry::size).sum()];
        let mut at = 0;
        for entry in entries {
            entry.write(&mut bytes[at..]);
            at += entry.size();
        }
        Packed(bytes)
    }

    /// The entries.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        walk(&self.0).map(|(_, entry)| entry)
    }
}
