//! The release `bar`: the store and links to other nodes; clients reach it through nodes like foo.

use kv_release::Release;
use std::process::ExitCode;

fn main() -> ExitCode {
    kv_release::main(Release::new("bar", env!("CARGO_PKG_VERSION")))
}
