//! The values that a node reads only when it starts: those of every key that is not live. Compared with those
//! of a reloaded configuration, they show which changes need a restart.

use super::{
    key::{Section, Table},
    merged::Merged,
};
use config::ValueKind;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// The values by key. All nodes, and all rows, are one value each.
#[derive(Default)]
pub(crate) struct StartupValues(BTreeMap<String, ValueKind>);

impl StartupValues {
    pub(crate) fn new(sections: &[&Section], merged: &Merged) -> StartupValues {
        let keys = sections.iter().flat_map(|section| section.keys.iter().map(|key| (section.table, key)));
        let names = keys.filter(|(_, key)| !key.live).map(|(table, key)| match table {
            Table::Top => key.name.to_owned(),
            Table::Named(table) => format!("{table}.{}", key.name),
            Table::Nodes => "nodes".to_owned(),
            Table::Rows(table) => table.to_owned(),
        });
        StartupValues(names.filter_map(|name| merged.value(&name).map(|value| (name, value))).collect())
    }

    /// The keys whose values differ.
    pub(crate) fn changes(&self, other: &StartupValues) -> Vec<String> {
        let keys: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        keys.into_iter().filter(|key| self.0.get(*key) != other.0.get(*key)).cloned().collect()
    }
}

/// Without the values, one of which may be the cookie.
impl fmt::Debug for StartupValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StartupValues(hidden)")
    }
}
