//! Publish and subscribe: messages on channels, and changes of buckets. The subscribers to a bucket are kept
//! in its shard (`shard::subscribers`).

pub(crate) mod backlog;
pub(crate) mod bucket_changes;
pub(crate) mod channels;
pub(crate) mod publication;
