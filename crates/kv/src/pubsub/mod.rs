//! Publish and subscribe: messages on channels, and changes of buckets.

pub(crate) mod bucket_changes;
pub(crate) mod channels;
