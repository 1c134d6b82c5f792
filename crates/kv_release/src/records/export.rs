//! The lines of an export, page by page. Each bucket is read while clients go on: the export has every bucket
//! and every entry that stays, each as it was at the moment when it was read.

use super::record::{Item, Record};
use crate::limits::{EXPORT_STEPS, TRANSFER_PAGE_BYTES};
use kv::{BucketPage, Database, FullName, Kind, ScanFilter};
use kv_cluster::{Cluster, Owner, RangeFailure, Target, escape_name};
use serde::{Deserialize, Serialize};
use std::vec;

/// What an export or a backup has written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExportCounts {
    pub(crate) buckets: u64,
    pub(crate) entries: u64,
    pub(crate) strings: u64,
}

/// Whose buckets an export or a backup has.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExportScope {
    pub(crate) node: String,
    /// The other nodes, whose buckets it does not have.
    pub(crate) others: Vec<String>,
    /// The ranges of the node that have stopped, and why: it does not have their buckets.
    #[serde(default)]
    pub(crate) stopped: Vec<String>,
}

impl ExportScope {
    /// All buckets of this node.
    pub(super) fn new(cluster: &Cluster) -> ExportScope {
        let others = cluster.nodes().iter().map(|node| node.name.to_string()).collect();
        ExportScope { node: cluster.node_name().to_string(), others, stopped: Vec::new() }
    }
}

/// All buckets of this node, or those of one name, as lines.
pub(crate) struct Export {
    cluster: Cluster,
    /// `None`: every name.
    name: Option<Vec<u8>>,
    /// The databases that have not been begun.
    databases: vec::IntoIter<Database>,
    database: Database,
    /// The cursor of the next page of names, if there is one.
    scan: Option<u64>,
    names: vec::IntoIter<Box<[u8]>>,
    /// The bucket that is being read, and the cursor of its next page.
    bucket: Option<(Box<[u8]>, u64)>,
    counts: ExportCounts,
    /// Why it ended early.
    failure: Option<String>,
}

impl Export {
    /// The export of all buckets of this node, or of the name in every database. An error says why this node
    /// does not have the name.
    pub(crate) fn new(cluster: Cluster, name: Option<Vec<u8>>) -> Result<Export, String> {
        if let Some(name) = &name {
            match cluster.owner(name) {
                Owner::Local(_) | Owner::Later(Target::Range(_)) => {}
                Owner::Later(Target::Peer(peer)) => {
                    let (name, peer) = (escape_name(name), peer.name());
                    return Err(format!("bucket \"{name}\" belongs to {peer}: run `export` there"));
                }
                Owner::Refused(refusal) => return Err(refusal.error(name).to_string()),
            }
        }
        Ok(Export {
            cluster,
            name,
            databases: Database::all().collect::<Vec<_>>().into_iter(),
            database: Database::ZERO,
            scan: None,
            names: Vec::new().into_iter(),
            bucket: None,
            counts: ExportCounts::default(),
            failure: None,
        })
    }

    /// How many buckets this node has, for the progress of an export.
    pub(crate) fn total(&self) -> u64 {
        self.cluster.local().bucket_counts().iter().sum()
    }

    /// The next lines, about a page of them, or fewer if many buckets have gone meanwhile; `None` at the end.
    pub(crate) fn next_page(&mut self) -> Option<Vec<u8>> {
        let mut lines = Vec::new();
        for _ in 0..EXPORT_STEPS {
            if lines.len() >= TRANSFER_PAGE_BYTES {
                break;
            }
            let goes_on = self.step(&mut lines).unwrap_or_else(|failure| {
                self.failure = Some(failure.to_string());
                false
            });
            if !goes_on {
                return (!lines.is_empty()).then_some(lines);
            }
        }
        Some(lines)
    }

    /// What has been exported so far.
    pub(crate) fn counts(&self) -> ExportCounts {
        self.counts
    }

    /// Whose buckets it has. An error if there is no bucket with the name, or not all could be read.
    pub(crate) fn scope(&self) -> Result<ExportScope, String> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if let Some(name) = &self.name
            && self.counts == ExportCounts::default()
        {
            return Err(format!("there is no bucket \"{}\"", escape_name(name)));
        }
        let scope = ExportScope::new(&self.cluster);
        Ok(match self.name {
            Some(_) => ExportScope { others: Vec::new(), ..scope },
            None => ExportScope { stopped: self.cluster.local().stopped_ranges(), ..scope },
        })
    }

    /// Reads one page of a bucket or of names; `false` at the end.
    fn step(&mut self, lines: &mut Vec<u8>) -> Result<bool, RangeFailure> {
        if let Some((name, cursor)) = self.bucket.take() {
            self.read(name, cursor, lines)?;
        } else if let Some(name) = self.names.next() {
            self.read(name, 0, lines)?;
        } else if let Some(cursor) = self.scan.take() {
            let filter = ScanFilter { database: self.database, ..ScanFilter::default() };
            let page = self.cluster.local().scan_running(cursor, &filter, kv::time::now_ms())?;
            self.scan = Some(page.next).filter(|next| *next != 0);
            self.names = page.names.into_iter();
        } else if let Some(database) = self.databases.next() {
            self.database = database;
            match &self.name {
                Some(name) => self.names = vec![name.clone().into_boxed_slice()].into_iter(),
                None => self.scan = Some(0),
            }
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Reads one page of a bucket, unless it has gone.
    fn read(&mut self, name: Box<[u8]>, cursor: u64, lines: &mut Vec<u8>) -> Result<(), RangeFailure> {
        let full = FullName { database: self.database, name: &name };
        let page = self.cluster.local().bucket_page(full, cursor, kv::time::now_ms())?;
        let Some(page) = page else { return Ok(()) };
        let BucketPage { head, origin, entries, next } = page;
        let line = |item, expires_at_ms| Record {
            database: self.database,
            name: (&*name).into(),
            item,
            expires_at_ms,
        };
        match head.kind {
            // A string has taken the place of the map that was being read.
            Kind::Str if cursor != 0 => return Ok(()),
            Kind::Str => {
                let value = entries.first().map_or(&b""[..], |entry| &entry.value);
                line(Item::Str { value: value.into(), origin }, head.expires_at_ms).write(lines);
                self.counts.strings += 1;
                return Ok(());
            }
            Kind::Map if cursor == 0 => {
                let item = Item::Bucket { keep_when_empty: head.keep_when_empty };
                line(item, head.expires_at_ms).write(lines);
                self.counts.buckets += 1;
            }
            Kind::Map => {}
        }
        for entry in &entries {
            let item = Item::Entry { field: (&*entry.key).into(), value: (&*entry.value).into() };
            line(item, entry.expires_at_ms).write(lines);
        }
        self.counts.entries += entries.len() as u64;
        self.bucket = (next != 0).then_some((name, next));
        Ok(())
    }
}
