//! The numbers in an encoded group. docs/disk-format.md lists them.

/// The first byte of an encoded group.
pub(super) const VERSION: u8 = 1;

/// That of a group with a split, which earlier releases do not have.
pub(super) const SPLIT_VERSION: u8 = 2;

/// The first byte of a step.
pub(super) mod step {
    pub(crate) const BATCH: u8 = 1;
    pub(crate) const TRANSACTION: u8 = 2;
    pub(crate) const FLUSH: u8 = 3;
    pub(crate) const END_WATCHES: u8 = 4;
    pub(crate) const SPLIT: u8 = 5;
}

/// The second byte of a request, after its database.
pub(super) mod op {
    pub(crate) const CREATE: u8 = 1;
    pub(crate) const PUT: u8 = 2;
    pub(crate) const DELETE: u8 = 3;
    pub(crate) const DROP: u8 = 4;
    pub(crate) const COMMAND: u8 = 5;
    pub(crate) const WATCH: u8 = 6;
    pub(crate) const UNWATCH: u8 = 7;
    pub(crate) const LOAD: u8 = 8;

    // Never in a log.
    pub(crate) const GET: u8 = 128;
    pub(crate) const SHOW: u8 = 129;
    pub(crate) const KEYS: u8 = 130;
    pub(crate) const ENTRIES: u8 = 131;
    pub(crate) const RANDOM_ENTRIES: u8 = 132;
    pub(crate) const MEMORY_USAGE: u8 = 133;
    pub(crate) const CRASH: u8 = 134;
}
