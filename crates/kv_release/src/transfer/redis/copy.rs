//! Copies the strings and hashes of a Redis server, with their times to live, while it goes on. Only commands
//! that read are sent: SCAN, TYPE, STRLEN, GET, HSCAN, PEXPIRETIME or PTTL, HPEXPIRETIME, INFO; and AUTH and
//! SELECT.

use super::client::{RedisClient, RedisReply};
use crate::{
    error::Error,
    limits::{
        REDIS_FIELDS, REDIS_HASHES, REDIS_LARGE_BYTES, REDIS_NAMES, REDIS_PAGE_BYTES, REDIS_REPLIES_BYTES,
        TRANSFER_PAGE_BYTES,
    },
    output::counted,
    records::record::{Item, Record},
    transfer::{
        progress::Progress,
        session::{ImportSession, NotTaken},
        source::RedisAddress,
    },
};
use kv::{Database, Origin};
use kv_cluster::escape_name;
use std::{collections::BTreeSet, mem, str};

/// Copies a database, or all that this server has, too.
pub(in crate::transfer) fn run(import: &mut ImportSession, address: &RedisAddress) -> Result<(), Error> {
    let mut client = RedisClient::connect(address)?;
    let sizes = sizes(&mut client)?;
    let wanted = |index: usize| address.database.is_none_or(|database| database.index() == index);
    let total = sizes.iter().filter(|(index, _)| wanted(*index)).map(|(_, keys)| keys).sum();
    // Redis 7 has the one, Redis 7.4 and Valkey 9 the other.
    let has_times = client.has(b"PEXPIRETIME")?;
    let has_field_times = client.has(b"HPEXPIRETIME")?;
    let (database, progress) = (Database::ZERO, Progress::new(false));
    let fields = REDIS_HASHES;
    let mut copy =
        Copy { client, import, database, has_times, has_field_times, fields, done: 0, total, progress };
    for (index, keys) in sizes.into_iter().filter(|(index, _)| wanted(*index)) {
        match Database::new(index) {
            Some(database) => copy.database(database)?,
            None => {
                copy.skip(NotTaken::OfDatabase(index), keys);
                copy.done += keys;
            }
        }
    }
    copy.import.send(true)
}

/// How many keys each database has, by INFO.
fn sizes(client: &mut RedisClient) -> Result<Vec<(usize, u64)>, Error> {
    let RedisReply::Bytes(info) = client.call(&[b"INFO", b"keyspace"])? else {
        return Err(client.unexpected());
    };
    let size = |line: &str| {
        let (index, rest) = line.strip_prefix("db")?.split_once(":keys=")?;
        let keys = rest.split(',').next()?;
        Some((index.parse().ok()?, keys.trim().parse().ok()?))
    };
    Ok(String::from_utf8_lossy(&info).lines().filter_map(size).collect())
}

/// The state of a copy.
struct Copy<'i> {
    client: RedisClient,
    import: &'i mut ImportSession,
    database: Database,
    has_times: bool,
    has_field_times: bool,
    /// Fields that are asked for at once: fewer while they are large.
    fields: usize,
    /// Names that have been copied or left out.
    done: u64,
    total: u64,
    progress: Progress,
}

/// A page of a hash.
struct HashPage {
    /// Alternating fields and values.
    words: Vec<Vec<u8>>,
    /// When each field expires, in milliseconds since 1970, and `None` if it has gone; empty if none does.
    times: Vec<Option<Option<u64>>>,
    /// The cursor of the next page: `0` after the last one.
    next: Vec<u8>,
}

impl Copy<'_> {
    fn database(&mut self, database: Database) -> Result<(), Error> {
        self.database = database;
        self.client.call(&[b"SELECT", database.index().to_string().as_bytes()])?;
        let (mut cursor, mut count) = (b"0".to_vec(), REDIS_NAMES);
        loop {
            let reply = self.scan(&[b"SCAN", &cursor], &mut count)?;
            let (next, names) = self.scanned(reply)?;
            // A name may be listed twice.
            let names: BTreeSet<Vec<u8>> = names.into_iter().collect();
            self.names(names.into_iter().collect())?;
            if next == b"0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// Copies a page of names.
    fn names(&mut self, names: Vec<Vec<u8>>) -> Result<(), Error> {
        let count = names.len() as u64;
        names.iter().for_each(|name| self.client.push(&[b"TYPE", name]));
        let kinds = self.client.replies(REDIS_LARGE_BYTES)?;
        let (mut strings, mut hashes) = (Vec::new(), Vec::new());
        for (name, kind) in names.into_iter().zip(kinds) {
            match self.bytes(kind)?.as_deref() {
                Some(b"string") => strings.push(name),
                Some(b"hash") => hashes.push(name),
                // It has gone.
                None | Some(b"none") => {}
                Some(kind) => self.skip(NotTaken::OfType(String::from_utf8_lossy(kind).into()), 1),
            }
        }
        self.strings(&strings)?;
        let mut rest = &hashes[..];
        while !rest.is_empty() {
            let (group, after) = rest.split_at(rest.len().min((self.fields / REDIS_HASHES).max(1)));
            self.hashes(group)?;
            rest = after;
        }
        self.done += count;
        Ok(())
    }

    /// Copies strings, about a page of bytes at a time.
    fn strings(&mut self, names: &[Vec<u8>]) -> Result<(), Error> {
        names.iter().for_each(|name| self.client.push(&[b"STRLEN", name]));
        let lengths = self.client.replies(REDIS_LARGE_BYTES)?;
        let (mut group, mut bytes) = (Vec::new(), 0);
        for (name, length) in names.iter().zip(lengths) {
            let Some(length) = self.number(length)? else { continue };
            group.push(name);
            bytes += usize::try_from(length).unwrap_or(0);
            if bytes >= REDIS_PAGE_BYTES {
                self.string_group(&mem::take(&mut group))?;
                bytes = 0;
            }
        }
        self.string_group(&group)
    }

    fn string_group(&mut self, names: &[&Vec<u8>]) -> Result<(), Error> {
        for name in names {
            self.client.push(&[b"GET", name]);
            self.push_expiry(name);
        }
        let mut replies = self.client.replies(REDIS_LARGE_BYTES)?.into_iter();
        for name in names {
            let (value, expiry) = (replies.next(), replies.next());
            let value = self.bytes(value.unwrap_or(RedisReply::Nil))?;
            let expiry = self.expiry(expiry)?;
            if let (Some(value), Some(expires_at_ms)) = (value, expiry) {
                self.record(name, Item::Str { value: value.into(), origin: Origin::Set }, expires_at_ms)?;
            }
        }
        Ok(())
    }

    /// Copies a few hashes: the first page of each at once, then the others of each.
    fn hashes(&mut self, names: &[Vec<u8>]) -> Result<(), Error> {
        let count = self.fields.min(REDIS_HASHES).to_string();
        for name in names {
            self.push_expiry(name);
            self.client.push(&[b"HSCAN", name, b"0", b"COUNT", count.as_bytes()]);
        }
        let mut replies = self.client.replies(REDIS_REPLIES_BYTES)?.into_iter();
        let (mut found, mut pages, mut large) = (Vec::new(), Vec::new(), Vec::new());
        for name in names {
            let expires_at_ms = self.expiry(replies.next())?;
            let reply = replies.next();
            let Some(expires_at_ms) = expires_at_ms else { continue };
            if reply == Some(RedisReply::TooLarge) {
                large.push((name, expires_at_ms));
            } else if let Some(page) = self.hash_page(reply.unwrap_or(RedisReply::Nil))? {
                found.push((name, expires_at_ms));
                pages.push(page);
            } else {
                self.skip(NotTaken::Changed, 1);
            }
        }
        self.adapt(&pages);
        let pages = self.with_times(found.iter().map(|(name, _)| name.as_slice()), pages)?;
        for ((name, expires_at_ms), page) in found.into_iter().zip(pages) {
            self.hash(name, expires_at_ms, page)?;
        }
        for (name, expires_at_ms) in large {
            let page = self.next_page(name, b"0")?;
            self.hash(name, expires_at_ms, page)?;
        }
        Ok(())
    }

    /// Copies a hash, from its first page on.
    fn hash(
        &mut self,
        name: &[u8],
        expires_at_ms: Option<u64>,
        first: Option<HashPage>,
    ) -> Result<(), Error> {
        let Some(page) = first else {
            self.skip(NotTaken::Changed, 1);
            return Ok(());
        };
        let sent = self.import.pages();
        self.record(name, Item::Bucket { keep_when_empty: false }, expires_at_ms)?;
        let copied = self.entries(name, page);
        let is_partly_sent = self.import.pages() > sent;
        if matches!(copied, Ok(false)) || (copied.is_err() && is_partly_sent) {
            self.import.lacks_entries(name);
        }
        copied.map(drop)
    }

    /// Copies the entries of a hash; `false` if it became another type meanwhile.
    fn entries(&mut self, name: &[u8], first: HashPage) -> Result<bool, Error> {
        let mut page = first;
        loop {
            let HashPage { words, times, next } = page;
            let (mut words, mut times) = (words.into_iter(), times.into_iter());
            while let (Some(field), Some(value)) = (words.next(), words.next()) {
                if let Some(expires_at_ms) = times.next().unwrap_or(Some(None)) {
                    let item = Item::Entry { field: field.into(), value: value.into() };
                    self.record(name, item, expires_at_ms)?;
                }
            }
            if next == b"0" {
                return Ok(true);
            }
            let Some(next_page) = self.next_page(name, &next)? else { return Ok(false) };
            page = next_page;
        }
    }

    /// Reads a page of a hash, of fewer fields while they are too large; `None` if it is of another type now.
    fn next_page(&mut self, name: &[u8], cursor: &[u8]) -> Result<Option<HashPage>, Error> {
        let mut count = self.fields.min(REDIS_FIELDS);
        let reply = self.scan(&[b"HSCAN", name, cursor], &mut count)?;
        self.fields = self.fields.min(count);
        let Some(page) = self.hash_page(reply)? else { return Ok(None) };
        let pages = vec![page];
        self.adapt(&pages);
        Ok(self.with_times([name].into_iter(), pages)?.pop().flatten())
    }

    /// The reply to SCAN or HSCAN with a `count`, which becomes smaller while the reply is too large.
    fn scan(&mut self, command: &[&[u8]], count: &mut usize) -> Result<RedisReply, Error> {
        loop {
            let text = count.to_string();
            self.client.push(&[command, &[b"COUNT", text.as_bytes()]].concat());
            let limit = if *count == 1 { REDIS_LARGE_BYTES } else { REDIS_REPLIES_BYTES };
            match self.client.replies(limit)?.pop() {
                Some(RedisReply::TooLarge) if *count > 1 => *count = (*count / 8).max(1),
                Some(RedisReply::TooLarge) => {
                    let command = escape_name(&command.join(&b' '));
                    let reason = format!("the reply to \"{command} COUNT 1\" exceeds {limit} bytes");
                    return Err(self.client.failed(&reason));
                }
                reply => return Ok(reply.unwrap_or(RedisReply::Nil)),
            }
        }
    }

    /// Asks when the fields of pages expire. A page is `None` if its hash is of another type now.
    fn with_times<'n>(
        &mut self,
        names: impl Iterator<Item = &'n [u8]>,
        pages: Vec<HashPage>,
    ) -> Result<Vec<Option<HashPage>>, Error> {
        let is_asked = |page: &HashPage| !page.words.is_empty();
        if !self.has_field_times {
            return Ok(pages.into_iter().map(Some).collect());
        }
        for (name, page) in names.zip(&pages).filter(|(_, page)| is_asked(page)) {
            let count = (page.words.len() / 2).to_string();
            let mut words: Vec<&[u8]> = vec![b"HPEXPIRETIME", name, b"FIELDS", count.as_bytes()];
            words.extend(page.words.iter().step_by(2).map(Vec::as_slice));
            self.client.push(&words);
        }
        let mut replies = self.client.replies(REDIS_LARGE_BYTES)?.into_iter();
        let with_times = |mut page: HashPage| {
            if is_asked(&page) {
                match replies.next() {
                    Some(RedisReply::List(times)) => page.times = times.iter().map(field_time).collect(),
                    Some(RedisReply::Error(error)) if error.starts_with("WRONGTYPE") => return Ok(None),
                    Some(RedisReply::Error(error)) => return Err(self.client.failed(&error)),
                    _ => return Err(self.client.unexpected()),
                }
            }
            Ok(Some(page))
        };
        pages.into_iter().map(with_times).collect()
    }

    /// A page of a hash; `None` if it is of another type now.
    fn hash_page(&self, reply: RedisReply) -> Result<Option<HashPage>, Error> {
        match reply {
            RedisReply::Error(error) if error.starts_with("WRONGTYPE") => Ok(None),
            reply => {
                let (next, words) = self.scanned(reply)?;
                Ok(Some(HashPage { words, times: Vec::new(), next }))
            }
        }
    }

    /// The next cursor, and the words of a page.
    fn scanned(&self, reply: RedisReply) -> Result<(Vec<u8>, Vec<Vec<u8>>), Error> {
        let parts = match reply {
            RedisReply::List(parts) => parts,
            RedisReply::Error(error) => return Err(self.client.failed(&error)),
            _ => return Err(self.client.unexpected()),
        };
        let Ok([RedisReply::Bytes(next), RedisReply::List(words)]) = <[RedisReply; 2]>::try_from(parts)
        else {
            return Err(self.client.unexpected());
        };
        let bytes = |word| match word {
            RedisReply::Bytes(bytes) => Ok(bytes),
            _ => Err(self.client.unexpected()),
        };
        Ok((next, words.into_iter().map(bytes).collect::<Result<_, _>>()?))
    }

    /// A reply of bytes; `None` if the key has gone, or is of another type now.
    fn bytes(&mut self, reply: RedisReply) -> Result<Option<Vec<u8>>, Error> {
        match reply {
            RedisReply::Bytes(bytes) => Ok(Some(bytes)),
            RedisReply::Nil => Ok(None),
            reply => self.number(reply).and(Err(self.client.unexpected())),
        }
    }

    /// A number; `None` if the key is of another type now.
    fn number(&mut self, reply: RedisReply) -> Result<Option<i64>, Error> {
        match reply {
            RedisReply::Number(number) => Ok(Some(number)),
            RedisReply::Error(error) if error.starts_with("WRONGTYPE") => {
                self.skip(NotTaken::Changed, 1);
                Ok(None)
            }
            RedisReply::Error(error) => Err(self.client.failed(&error)),
            _ => Err(self.client.unexpected()),
        }
    }

    fn push_expiry(&mut self, name: &[u8]) {
        let command: &[u8] = if self.has_times { b"PEXPIRETIME" } else { b"PTTL" };
        self.client.push(&[command, name]);
    }

    /// When a key expires, if it does; `None` if it has gone.
    fn expiry(&mut self, reply: Option<RedisReply>) -> Result<Option<Option<u64>>, Error> {
        let start = if self.has_times { 0 } else { kv::time::now_ms() };
        Ok(match self.number(reply.unwrap_or(RedisReply::Nil))? {
            // Redis's answers for "no such key" and "does not expire".
            None | Some(-2) => None,
            Some(time) => Some(u64::try_from(time).ok().map(|time| time.saturating_add(start))),
        })
    }

    fn record(&mut self, name: &[u8], item: Item<'_>, expires_at_ms: Option<u64>) -> Result<(), Error> {
        let record = Record { database: self.database, name: name.into(), item, expires_at_ms };
        record.write(&mut self.import.lines);
        if self.import.lines.len() >= TRANSFER_PAGE_BYTES {
            self.import.send(false)?;
            let (total, progress) = (counted(self.total, "key", "keys"), self.import.progress());
            self.progress.update(format_args!("{} of {total}: {progress}", self.done));
        }
        Ok(())
    }

    fn skip(&mut self, what: NotTaken, keys: u64) {
        *self.import.not_taken.entry(what).or_default() += keys;
    }

    /// Asks for more fields at once after small pages, for fewer after large ones.
    fn adapt(&mut self, pages: &[HashPage]) {
        let bytes: usize = pages.iter().flat_map(|page| &page.words).map(Vec::len).sum();
        self.fields = match bytes {
            _ if bytes > REDIS_PAGE_BYTES => self.fields / 4,
            _ if bytes < REDIS_PAGE_BYTES / 4 => self.fields * 2,
            _ => self.fields,
        };
        self.fields = self.fields.clamp(1, REDIS_HASHES * REDIS_HASHES);
    }
}

/// When a field expires, if it does; `None` if it has gone.
fn field_time(time: &RedisReply) -> Option<Option<u64>> {
    match time {
        // Redis's answers for "no such field" and "does not expire".
        RedisReply::Number(-2) => None,
        RedisReply::Number(time) => Some(u64::try_from(*time).ok()),
        _ => Some(None),
    }
}
