//! What is published: messages on channels, and the changes of buckets.

pub(crate) mod bucket_changes;
pub(crate) mod channels;
