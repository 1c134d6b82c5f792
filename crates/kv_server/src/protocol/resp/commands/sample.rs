//! HRANDFIELD of more fields than one step picks: they are picked page by page.

use super::paging::{PagedReply, read_page, write_too_large};
use crate::{
    limits::PAGED_REPLY_BYTES,
    pipeline::{buffers::Output, router},
    protocol::resp::{
        encoder::{RespEncoder, RespVersion},
        reply::{error::SessionError, write_reply},
        session::RespSession,
    },
};
use kv::{Args, Command, CommandError, Op, Projection, RandomFields, Reply, Request};
use std::io;

/// Bytes of the shortest item of a reply, an empty string.
const ITEM_BYTES: u64 = 6;

/// Writes random fields of a hash, as the arguments of HRANDFIELD say.
pub(crate) async fn write_sample(
    session: &RespSession,
    bucket: &[u8],
    args: Args<'_>,
    output: &mut Output<'_>,
) -> io::Result<()> {
    let mut sample = match RandomFields::parse(args) {
        Ok(RandomFields { count, projection }) => Sample { session, bucket, projection, count },
        Err(error) => return session.write_error(error.into(), output),
    };
    let picked = match sample.count {
        Some(count) if count >= 0 => sample.pick_distinct(count.unsigned_abs(), output).await,
        count => sample.pick(count.map_or(1, i64::unsigned_abs), output).await,
    };
    match picked {
        Ok(Some((reply, entries))) => {
            sample.write_header(entries, output);
            reply.write(output).await
        }
        Ok(None) => Ok(()),
        Err(error) => session.write_error(error, output),
    }
}

/// What is to be picked.
struct Sample<'a> {
    session: &'a RespSession,
    bucket: &'a [u8],
    projection: Projection,
    count: Option<i64>,
}

/// The picked entries and their number; `None` if another reply was written instead.
type Picked = Result<Option<(PagedReply, usize)>, SessionError>;

impl Sample<'_> {
    /// Picks `count` entries, with duplicates.
    async fn pick(&mut self, count: u64, output: &mut Output<'_>) -> Picked {
        let (mut reply, mut entries, mut cursor) = (PagedReply::new(&self.session.client.account), 0, 0);
        if count > PAGED_REPLY_BYTES as u64 / ITEM_BYTES {
            write_too_large(self.session, "a smaller count", output);
            return Ok(None);
        }
        while entries < count as usize {
            let left = (count as usize - entries) as u32;
            let op = Op::RandomEntries { projection: self.projection, cursor, count: left };
            let before = entries;
            let page = read_page(self.session, self.request(op), output, |encoder, items| {
                entries += self.encode(encoder, items, |_| true);
            });
            let Some((encoded, next)) = page.await else { return Ok(None) };
            cursor = if entries > before { 0 } else { next };
            if entries == before && next == 0 {
                break;
            }
            if !reply.push(encoded) {
                write_too_large(self.session, "a smaller count", output);
                return Ok(None);
            }
        }
        Ok(Some((reply, entries)))
    }

    /// Picks `count` distinct entries: each entry with the share of those still to pick among those still to
    /// come.
    async fn pick_distinct(&mut self, count: u64, output: &mut Output<'_>) -> Picked {
        let (mut reply, mut entries, mut cursor) = (PagedReply::new(&self.session.client.account), 0, 0);
        let mut left = self.len().await?;
        let mut wanted = count.min(left);
        while wanted > 0 {
            let op = Op::Entries { projection: self.projection, cursor };
            let page = read_page(self.session, self.request(op), output, |encoder, items| {
                entries += self.encode(encoder, items, |_| {
                    let is_picked = wanted > 0 && fastrand::u64(..left.max(1)) < wanted;
                    left = left.saturating_sub(1);
                    wanted -= u64::from(is_picked);
                    is_picked
                });
            });
            let Some((encoded, next)) = page.await else { return Ok(None) };
            if !reply.push(encoded) {
                write_too_large(self.session, "a smaller count", output);
                return Ok(None);
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        Ok(Some((reply, entries)))
    }

    fn request<'r>(&'r self, op: Op<'r>) -> Request<'r> {
        Request { database: self.session.database, bucket: self.bucket, op }
    }

    /// How many fields the hash has.
    async fn len(&self) -> Result<u64, SessionError> {
        let command = Command::find("hlen").ok_or(CommandError::Syntax)?;
        let request = self.request(Op::Command { command, args: Args::NONE });
        let len = router::execute_one(&self.session.context.cluster, request, |reply| match reply {
            Reply::Number(len) => Ok(len.unsigned_abs()),
            Reply::Error(error) => Err(error),
            _ => Ok(0),
        });
        Ok(len.await??)
    }

    /// Writes those entries that `is_picked` accepts, and returns their number.
    fn encode(
        &self,
        encoder: &mut RespEncoder<'_>,
        items: &[Reply<'_>],
        mut is_picked: impl FnMut(&[Reply<'_>]) -> bool,
    ) -> usize {
        let item_count = if self.projection == Projection::Both { 2 } else { 1 };
        let mut written = 0;
        for entry in items.chunks(item_count).filter(|entry| is_picked(entry)) {
            if item_count == 2 && encoder.version == RespVersion::Resp3 {
                encoder.array(2);
            }
            entry.iter().for_each(|item| write_reply(encoder, self.bucket, item));
            written += 1;
        }
        written
    }

    /// Writes what precedes the entries; without a count, nil if there is none.
    fn write_header(&self, entries: usize, output: &mut Output<'_>) {
        let mut encoder = self.session.encoder(output);
        let is_flat = self.projection == Projection::Both && encoder.version == RespVersion::Resp2;
        match self.count {
            None if entries == 0 => encoder.null(),
            None => {}
            Some(_) => encoder.array(if is_flat { 2 * entries } else { entries }),
        }
    }
}
