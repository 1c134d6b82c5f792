//! Configuration files for tests: every port 0, every folder the test's own.

use crate::Folder;
use std::{fmt::Write, net::SocketAddr, path::PathBuf};

/// What a test may want to be different in one node's file. The rest is as shipped.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Lines before the first table: cookie, limits, and the like.
    pub head: String,
    /// Bucket ranges with their nodes, in order.
    pub routes: Vec<(&'static str, &'static str)>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { head: "cookie = \"weknoweachother\"\n".into(), routes: vec![("a..m", FOO), ("n..z", BAR)] }
    }
}

/// The node that takes clients.
pub const FOO: &str = "foo@127.0.0.1";
/// The node that does not.
pub const BAR: &str = "bar@127.0.0.1";

impl Settings {
    /// Writes the file of one node of a pair; `foo` and `bar` are where links to them are found.
    pub(crate) fn write(&self, folder: &Folder, file: &str, foo: SocketAddr, bar: SocketAddr) -> PathBuf {
        let mut text = self.head.clone();
        let run_dir = folder.path().display();
        let mut line = |line: String| writeln!(text, "{line}").expect("a String takes text");
        line(format!("run_dir = {:?}", run_dir.to_string()));
        line(format!("[nodes.{FOO:?}]\nclients = \"127.0.0.1:0\"\nlink = \"{foo}\""));
        line(format!("[nodes.{BAR:?}]\nlink = \"{bar}\""));
        for (buckets, node) in &self.routes {
            line(format!("[[routes]]\nbuckets = {buckets:?}\nnodes = [{node:?}]"));
        }
        folder.write(file, &text)
    }
}
