//! The text of `HELP`.

/// The commands, one per line.
pub(super) const HELP: &str = "\
CREATE bucket            start a bucket; an existing one keeps its contents\r
PUT bucket key value     set a key; quote what holds a blank: \"hello world\"\r
GET bucket key           the value's line, then OK; an empty line when the key is missing\r
DELETE bucket key        forget a key\r
KEYS bucket              the bucket's keys, a line each\r
SHOW name                the single value that a Redis client has SET; of a bucket, what it is\r
SUBSCRIBE bucket         the bucket's changes, a line each, as they happen\r
DROP bucket              end a bucket and all that it holds\r
BUCKETS                  the names of all buckets on all nodes\r
PING                     +PONG, as Redis answers it\r
QUIT                     close the connection\r
OK\r
";
