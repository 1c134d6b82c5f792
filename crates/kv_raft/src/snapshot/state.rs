//! What a store has besides its buckets, as bytes: the log behind a snapshot depends on it.

use crate::identity::take;
use kv::{Database, FullName, NAME_BYTES, StateRecord, WatchedBucket, Watcher};

const LAST_VERSION: u8 = 1;
const BUCKET: u8 = 2;
const SPLIT_AT: u8 = 4;

/// Appends a record.
pub(super) fn encode(record: &StateRecord<'_>, bytes: &mut Vec<u8>) {
    match *record {
        StateRecord::SplitAt(at) => {
            bytes.push(SPLIT_AT);
            bytes.extend_from_slice(&(at.len() as u32).to_le_bytes());
            bytes.extend_from_slice(at);
        }
        StateRecord::LastVersion(last_version) => {
            bytes.push(LAST_VERSION);
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&last_version.to_le_bytes());
        }
        StateRecord::Bucket { full, version, bucket, watchers } => {
            bytes.extend_from_slice(&[BUCKET, full.database.index() as u8]);
            bytes.extend_from_slice(&(full.name.len() as u32).to_le_bytes());
            bytes.extend_from_slice(full.name);
            bytes.extend_from_slice(&version.to_le_bytes());
            bytes.push(bucket.exists.into());
            bytes.extend_from_slice(&bucket.expires_at_ms.unwrap_or_default().to_le_bytes());
            bytes.extend_from_slice(&(watchers.len() as u32).to_le_bytes());
            for Watcher { link, connection } in watchers {
                bytes.extend_from_slice(&link.to_le_bytes());
                bytes.extend_from_slice(&connection.to_le_bytes());
            }
        }
    }
}

/// Passes each record to `visit`; `None` if the bytes are something else.
pub(super) fn decode<E>(
    mut bytes: &[u8],
    mut visit: impl FnMut(StateRecord<'_>) -> Result<(), E>,
) -> Option<Result<(), E>> {
    while let [kind, rest @ ..] = bytes {
        bytes = rest;
        let visited = match *kind {
            SPLIT_AT => {
                let length = u32::from_le_bytes(take(&mut bytes)?) as usize;
                visit(StateRecord::SplitAt(bytes.split_off(..length).filter(|at| at.len() <= NAME_BYTES)?))
            }
            LAST_VERSION => {
                // Of which shard, in files of early releases.
                take::<4>(&mut bytes)?;
                visit(StateRecord::LastVersion(u64::from_le_bytes(take(&mut bytes)?)))
            }
            BUCKET => {
                let [database] = take(&mut bytes)?;
                let length = u32::from_le_bytes(take(&mut bytes)?) as usize;
                let name = bytes.split_off(..length).filter(|name| name.len() <= NAME_BYTES)?;
                let full = FullName { database: Database::new(database.into())?, name };
                let (version, [exists]) = (u64::from_le_bytes(take(&mut bytes)?), take(&mut bytes)?);
                let expires_at_ms = Some(u64::from_le_bytes(take(&mut bytes)?)).filter(|at_ms| *at_ms != 0);
                let bucket = WatchedBucket { exists: exists != 0, expires_at_ms };
                let watchers = decode_watchers(&mut bytes)?;
                visit(StateRecord::Bucket { full, version, bucket, watchers: &watchers })
            }
            _ => return None,
        };
        if visited.is_err() {
            return Some(visited);
        }
    }
    Some(Ok(()))
}

fn decode_watchers(bytes: &mut &[u8]) -> Option<Vec<Watcher>> {
    let count = u32::from_le_bytes(take(bytes)?) as usize;
    let mut watchers = bytes.split_off(..count.checked_mul(WATCHER_BYTES)?)?;
    let mut number = || take(&mut watchers).map(u64::from_le_bytes);
    (0..count).map(|_| Some(Watcher { link: number()?, connection: number()? })).collect()
}

const WATCHER_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// What docs/disk-format.md says.
    const BYTES: &[u8] = b"\x01\0\0\0\0\x07\0\0\0\0\0\0\0\
        \x02\x0f\x04\0\0\0list\x06\0\0\0\0\0\0\0\x01\0\x01\0\0\0\0\0\0\x02\0\0\0\
        \0\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\
        \x02\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\
        \0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0";

    fn check(records: [StateRecord<'_>; 3]) {
        let mut bytes = Vec::new();
        records.iter().for_each(|record| encode(record, &mut bytes));
        assert_eq!(bytes, BYTES);
        let (mut expected, mut read) = (records.iter(), 0);
        let decoded = decode(BYTES, |record| {
            read += 1;
            if Some(&record) == expected.next() { Ok(()) } else { Err(format!("{record:?}")) }
        });
        assert_eq!((decoded, read), (Some(Ok(())), 3));
    }

    #[test]
    fn what_is_watched_is_read_as_it_was_written_or_not_at_all() {
        let full = FullName { database: Database::new(15).expect("a database"), name: b"list" };
        let watchers = [Watcher { link: 0, connection: 3 }, Watcher { link: 4, connection: 5 }];
        let bucket = WatchedBucket { exists: true, expires_at_ms: Some(256) };
        check([
            StateRecord::LastVersion(7),
            StateRecord::Bucket { full, version: 6, bucket, watchers: &watchers },
            StateRecord::Bucket {
                full: FullName::new(b""),
                version: 7,
                bucket: WatchedBucket { exists: false, expires_at_ms: None },
                watchers: &[Watcher { link: 0, connection: 1 }],
            },
        ]);
        let mut whole = Vec::new();
        for length in 0..=BYTES.len() {
            if decode(&BYTES[..length], |_| Ok::<_, ()>(())).is_some() {
                whole.push(length);
            }
        }
        assert_eq!(whole, [0, 13, 76, BYTES.len()]);
        assert_eq!(decode(b"\x03", |_| Ok::<_, ()>(())), None);
        // Lengths that no memory is taken for.
        assert_eq!(decode(b"\x02\0\xff\xff\xff\xff", |_| Ok::<_, ()>(())), None);
    }
}
