//! Databases, as Redis has them: the same name is another bucket in each. Which node owns a bucket does not
//! depend on its database.

use serde::{Deserialize, Serialize};

/// The number of databases.
pub const DATABASES: usize = 16;

/// A database by its index. The text protocol, the console and subscriptions to buckets know only
/// [`Database::ZERO`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8")]
pub struct Database(u8);

/// A bucket's name, and its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FullName<'a> {
    /// The database.
    pub database: Database,
    /// The name in it, which decides which node owns the bucket.
    #[serde(with = "serde_bytes")]
    pub name: &'a [u8],
}

impl<'a> FullName<'a> {
    /// A name of database 0.
    pub fn new(name: &'a [u8]) -> FullName<'a> {
        FullName { database: Database::ZERO, name }
    }
}

impl Database {
    /// The database of clients that have selected none.
    pub const ZERO: Database = Database(0);

    /// The database with this index, if there is one.
    pub fn new(index: usize) -> Option<Database> {
        u8::try_from(index).ok().filter(|_| index < DATABASES).map(Database)
    }

    /// All databases, in the order of their indices.
    pub fn all() -> impl Iterator<Item = Database> {
        (0..DATABASES).filter_map(Database::new)
    }

    /// Its index.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl TryFrom<u8> for Database {
    type Error = &'static str;

    fn try_from(index: u8) -> Result<Database, Self::Error> {
        Database::new(index.into()).ok_or("there is no such database")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_sixteen_databases() {
        assert_eq!(Database::all().map(Database::index).collect::<Vec<_>>(), (0..16).collect::<Vec<_>>());
        assert_eq!((Database::new(16), Database::try_from(16).is_err()), (None, true));
    }
}
