//! The exit codes of every verb, in one place. `--help` prints this table too.

/// Done. A node that was stopped by `stop`, SIGTERM or SIGINT ends with it too.
pub(crate) const OK: u8 = 0;
/// Failed while running: a node gave up, for the init system to restart it, or an expression was refused.
pub(crate) const FAILED: u8 = 1;
/// Something needed is unavailable: a port in use, a node already running, no node running.
pub(crate) const UNAVAILABLE: u8 = 69;
/// A node ended without its log being written: an operator decides what starts next (EX_IOERR of sysexits.h).
pub(crate) const LOST: u8 = 74;
/// Invalid configuration, or a run directory, data directory or limit of the system that only an operator can
/// change; nothing was started (EX_CONFIG of sysexits.h).
pub(crate) const CONFIG: u8 = 78;
/// A second SIGINT or Ctrl-C cut the drain short (128 + SIGINT).
pub(crate) const INTERRUPTED: u8 = 130;

/// The table as `--help` shows it.
pub(crate) const TABLE: &str = "\
Exit codes:
  0    done; also after SIGTERM, SIGINT or `stop`
  1    failed while running: the node gave up, an expression or `stop` was refused, or not all was imported
       or exported
  2    invalid command line
  69   unavailable: a port in use, a node already running, no node running
  74   the node ended, and what it had acknowledged is not all on disk; not after SHUTDOWN NOSAVE or FORCE
  78   invalid configuration, or an unusable run directory or data directory; nothing was started
  130  a second Ctrl-C cut the drain short";
