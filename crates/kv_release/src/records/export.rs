//! The lines of an export, page by page. Each bucket is read while clients go on: the export has every bucket
//! and every entry that stays, each as it was at the moment when it was read.

use super::{
    pages::{ExportCounts, ExportScope, Pages},
    record::{Item, Record},
};
use crate::limits::{EXPORT_STEPS, TRANSFER_PAGE_BYTES};
use kv::{BucketPage, Database, FullName, Kind, ScanFilter};
use kv_cluster::{Cluster, Owner, RangeFailure, Scope, Target, escape_name};
use std::vec;

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
    /// The ranges of this node when it began.
    spans: Vec<String>,
    counts: ExportCounts,
}

impl Export {
    /// The export of all buckets of this node, or of the name in every database. An error says why this node
    /// does not have the name.
    pub(crate) fn new(cluster: Cluster, name: Option<Vec<u8>>) -> Result<Export, String> {
        if let Some(name) = &name {
            match cluster.owner(name) {
                Owner::Local(_) => {}
                Owner::Later(target) if target.range().is_some() => {}
                Owner::Later(Target::Peer(peer)) => {
                    let (name, peer) = (escape_name(name), peer.name());
                    return Err(format!("bucket \"{name}\" belongs to {peer}: run `export` there"));
                }
                Owner::Later(_) => {
                    let name = escape_name(name);
                    return Err(format!(
                        "bucket \"{name}\" is in a range that another node leads: run `export` there; `ranges` \
                         says which one it is"
                    ));
                }
                Owner::Refused(refusal) => return Err(refusal.error(name).to_string()),
            }
        }
        Ok(Export {
            spans: cluster.local().spans().map_err(|failure| failure.to_string())?,
            cluster,
            name,
            databases: Database::all().collect::<Vec<_>>().into_iter(),
            database: Database::ZERO,
            scan: None,
            names: Vec::new().into_iter(),
            bucket: None,
            counts: ExportCounts::default(),
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
            let page = self.cluster.local().scan_served(Scope::All, cursor, &filter, kv::time::now_ms())?;
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

    /// A range that is split, or comes, or leaves, was not read from its beginning to its end.
    fn check_spans(&self) -> Result<(), String> {
        let spans = self.cluster.local().spans().map_err(|failure| failure.to_string())?;
        match spans == self.spans {
            true => Ok(()),
            false => Err("the ranges of this node have changed meanwhile: run `export` again".to_owned()),
        }
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

impl Pages for Export {
    fn total(&self) -> u64 {
        self.cluster.local().bucket_counts(Scope::All).iter().sum()
    }

    fn next_page(&mut self) -> Result<Option<Vec<u8>>, String> {
        self.check_spans()?;
        let mut lines = Vec::new();
        for _ in 0..EXPORT_STEPS {
            if lines.len() >= TRANSFER_PAGE_BYTES {
                break;
            }
            if !self.step(&mut lines).map_err(|failure| failure.to_string())? {
                return Ok((!lines.is_empty()).then_some(lines));
            }
        }
        Ok(Some(lines))
    }

    fn counts(&self) -> ExportCounts {
        self.counts
    }

    fn into_scope(self) -> Result<ExportScope, String> {
        self.check_spans()?;
        if let Some(name) = &self.name
            && self.counts == ExportCounts::default()
        {
            return Err(format!("there is no bucket \"{}\"; a file is named with --to", escape_name(name)));
        }
        let scope = ExportScope::new(&self.cluster);
        Ok(match self.name {
            Some(_) => ExportScope { others: Vec::new(), ..scope },
            None => ExportScope { stopped: self.cluster.local().stopped_ranges(), ..scope },
        })
    }
}
