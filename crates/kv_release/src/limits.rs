//! Every limit of this crate, with its unit.

use std::time::Duration;

/// The largest configuration file that is read, in bytes.
pub(crate) const CONFIG_FILE_BYTES: u64 = 1 << 20;
/// The largest cookie, in bytes.
pub(crate) const COOKIE_BYTES: usize = 4096;
/// The longest path of a Unix socket that every system takes, in bytes.
pub(crate) const SOCKET_PATH_BYTES: usize = 103;

/// The longest line that the control socket takes: an expression of 2 MiB, escaped, in bytes.
pub(crate) const CONTROL_REQUEST_BYTES: u64 = 4 << 20;
/// The longest line that the control socket answers, in bytes.
pub(crate) const CONTROL_REPLY_BYTES: u64 = 16 << 20;
/// How many conversations the control socket holds at once.
pub(crate) const CONTROL_CONNECTIONS: usize = 32;
/// How long a verb waits for the running node's answer.
pub(crate) const CONTROL_PATIENCE: Duration = Duration::from_secs(30);

/// How many names the console lists at most.
pub(crate) const CONSOLE_NAMES: usize = 1000;
/// How many children of one supervisor `tree` draws when it is not told.
pub(crate) const TREE_CHILDREN: usize = 20;
/// How many lines of history the console keeps.
pub(crate) const HISTORY_LINES: usize = 1000;

/// How long `daemon` and `restart` wait until the node answers.
pub(crate) const BOOT_PATIENCE: Duration = Duration::from_secs(30);
/// How often they look.
pub(crate) const BOOT_POLL: Duration = Duration::from_millis(20);
/// How much of its log `daemon` shows when the node did not come up, in bytes.
pub(crate) const DAEMON_LOG_BYTES: u64 = 16 << 10;
/// How long the runtime may take to end after the drain.
pub(crate) const RUNTIME_SHUTDOWN: Duration = Duration::from_secs(1);
