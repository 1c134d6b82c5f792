//! Every limit of this crate, with its unit.

use std::time::Duration;

/// The largest configuration file, in bytes.
pub(crate) const CONFIG_FILE_BYTES: u64 = 1 << 20;
/// How many rows of the routes are reported as invalid at once.
pub(crate) const ROUTE_ERRORS: usize = 20;
/// The largest cookie, in bytes.
pub(crate) const COOKIE_BYTES: usize = 4096;
/// The longest path of a Unix socket that every system accepts, in bytes.
pub(crate) const SOCKET_PATH_BYTES: usize = 103;

/// The pause after which a node that waits until it may join a cluster asks again.
pub(crate) const JOIN_PAUSE: Duration = Duration::from_secs(1);
/// How long one that has joined waits at its start for what others know.
pub(crate) const REJOIN_WAIT: Duration = Duration::from_secs(1);

/// The longest request line on the control socket, in bytes: an expression of 2 MiB, escaped.
pub(crate) const CONTROL_REQUEST_BYTES: u64 = 4 << 20;
/// The longest reply line on the control socket, in bytes.
pub(crate) const CONTROL_REPLY_BYTES: u64 = 16 << 20;
/// Bytes that a verb reads from the control socket at a time.
pub(crate) const CONTROL_PIECE_BYTES: usize = 64 << 10;
/// Connections to the control socket at once.
pub(crate) const CONTROL_CONNECTIONS: usize = 32;
/// HTTP connections at once, where enough files may be open.
pub(crate) const ADMIN_CONNECTIONS: usize = 128;
/// One of this number of descriptors at most is for them.
pub(crate) const ADMIN_SHARE: usize = 16;
/// How long a verb waits for the running node's reply.
pub(crate) const CONTROL_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of JSON lines of an export or an import that cross the control socket at a time, before the last
/// line.
pub(crate) const TRANSFER_PAGE_BYTES: usize = 256 << 10;
/// Bytes of a backup that are read from a file at a time.
pub(crate) const BACKUP_READ_BYTES: usize = 256 << 10;
/// Buckets, and pages of names, that are read at most for a page of an export.
pub(crate) const EXPORT_STEPS: usize = 4_096;
/// Bytes of JSON lines that are parsed at once on a thread that has other tasks.
pub(crate) const BLOCKING_BYTES: usize = 1 << 20;
/// The longest line of an import, in bytes: the longest value, each byte of it escaped, and its names.
pub(crate) const IMPORT_LINE_BYTES: u64 = (1 << 30) + (8 << 20);
/// The longest page of an import, in bytes: lines, and a longest one.
pub(crate) const IMPORT_PAGE_BYTES: u64 = IMPORT_LINE_BYTES + TRANSFER_PAGE_BYTES as u64;
/// How long `export` and `import` wait for one page: a large value may have to cross a link.
pub(crate) const TRANSFER_TIMEOUT: Duration = Duration::from_secs(300);
/// How much the expiry of a name that exists may differ from that of an import, which has everything of it
/// then, in milliseconds. Servers before Redis 7 say how long a key lives, and not until when.
pub(crate) const EXPIRY_TOLERANCE_MS: u64 = 1_000;
/// Names that exist, and reasons why others were refused, which an import shows.
pub(crate) const IMPORT_NOTES: usize = 10;
/// Names that are asked for at once when a Redis server is copied.
pub(crate) const REDIS_NAMES: usize = 1_000;
/// Fields of the first page of a hash, and hashes whose first pages are asked for at once at most.
pub(crate) const REDIS_HASHES: usize = 64;
/// Fields of a further page of a hash.
pub(crate) const REDIS_FIELDS: usize = 1_000;
/// Bytes of strings, or of pages of hashes, that are asked for at once, before the last one.
pub(crate) const REDIS_PAGE_BYTES: usize = 1 << 20;
/// Bytes of the first pages of hashes, or of a page of more than one field, before fewer are asked for.
pub(crate) const REDIS_REPLIES_BYTES: u64 = 8 << 20;
/// Bytes of any other replies that are read at once: the longest value, and a page with it.
pub(crate) const REDIS_LARGE_BYTES: u64 = REDIS_BULK_BYTES + REDIS_REPLIES_BYTES;
/// The longest string that a Redis server may send, in bytes: 512 MiB, as long as one may be here.
pub(crate) const REDIS_BULK_BYTES: u64 = 512 << 20;
/// The longest line of a reply of a Redis server, in bytes.
pub(crate) const REDIS_HEADER_BYTES: u64 = 64 << 10;
/// How deep lists may be nested in a reply of a Redis server: a page of SCAN has a list in a list.
pub(crate) const REDIS_NESTING: u32 = 2;
/// How long the connection to a Redis server may take.
pub(crate) const REDIS_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a Redis server may send nothing while a reply is due.
pub(crate) const REDIS_TIMEOUT: Duration = Duration::from_secs(60);
/// The pause between two updates of a progress line.
pub(crate) const PROGRESS_PAUSE: Duration = Duration::from_millis(200);

/// Names that the console lists on one page, before the rest of a node's page.
pub(crate) const CONSOLE_NAMES: usize = 1000;
/// Entries of a bucket that `peek` shows.
pub(crate) const PEEK_ENTRIES: usize = 10;
/// Bytes of a key or a value that `peek` shows.
pub(crate) const PEEK_BYTES: usize = 100;
/// Children per supervisor that `tree` draws by default.
pub(crate) const TREE_CHILDREN: usize = 20;
/// Lines of history that the console keeps.
pub(crate) const HISTORY_LINES: usize = 1000;

/// How long `daemon` and `restart` wait until the node replies.
pub(crate) const BOOT_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause between two attempts.
pub(crate) const BOOT_POLL: Duration = Duration::from_millis(20);
/// How much of its log `daemon` shows if the node did not start, in bytes.
pub(crate) const DAEMON_LOG_BYTES: u64 = 16 << 10;
/// How long the runtime may take to shut down after the drain.
pub(crate) const RUNTIME_SHUTDOWN: Duration = Duration::from_secs(1);

/// Panics that are logged one by one before they are only counted.
pub(crate) const PANIC_LINES: u32 = 10;
/// Descriptors that a node needs besides those of its clients, its threads and its links: standard streams,
/// pid file, listeners, and what the system's libraries open for a moment.
pub(crate) const OWN_DESCRIPTORS: usize = 32;
/// Descriptors of each thread that serves clients: io_uring or epoll, and what wakes it.
pub(crate) const DESCRIPTORS_OF_THREAD: usize = 4;

/// Time that `start` waits for a process of the same node that is ending, for one that may have been killed a
/// moment ago, and between two attempts.
pub(crate) const ENDING_WAIT: Duration = Duration::from_secs(30);
pub(crate) const KILLED_WAIT: Duration = Duration::from_millis(250);
pub(crate) const PID_LOCK_PAUSE: Duration = Duration::from_millis(10);
