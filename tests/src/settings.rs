//! Configuration files for tests: every port is 0, every directory belongs to the test.

use crate::temp_dir::TempDir;
use std::{fmt::Write, net::SocketAddr, path::PathBuf};

/// What a test may change in one node's file. The rest is as shipped.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Lines before the first table, such as cookie and limits.
    pub head: String,
    /// Bucket ranges with their nodes, in order.
    pub routes: Vec<(&'static str, &'static str)>,
    /// Whether each node has a data directory.
    pub durable: bool,
    /// Whether each node has a port for HTTP.
    pub admin: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            head: "cookie = \"weknoweachother\"\n".into(),
            routes: vec![("..m", FOO), ("n..", BAR)],
            durable: false,
            admin: false,
        }
    }
}

/// The node with clients.
pub const FOO: &str = "foo@127.0.0.1";
/// The node without clients.
pub const BAR: &str = "bar@127.0.0.1";

impl Settings {
    /// The guide's routes, by which names such as `1abc` have no owner.
    pub fn with_holes() -> Settings {
        Settings { routes: vec![("a..m", FOO), ("n..z", BAR)], ..Settings::default() }
    }

    /// Writes the file of one node of a pair; `foo` and `bar` are the addresses of their links.
    pub(crate) fn write(&self, directory: &TempDir, file: &str, foo: SocketAddr, bar: SocketAddr) -> PathBuf {
        let mut text = self.head.clone();
        let run_dir = directory.path().display();
        let mut line = |line: String| writeln!(text, "{line}").expect("a String can grow");
        line(format!("run_dir = {:?}", run_dir.to_string()));
        let data_dir = |node| match self.durable {
            true => format!("\ndata_dir = {:?}", data_dir(directory, node).display().to_string()),
            false => String::new(),
        };
        let (foo_data, bar_data) = (data_dir(FOO), data_dir(BAR));
        let admin = if self.admin { "\nadmin = \"127.0.0.1:0\"" } else { "" };
        line(format!("[nodes.{FOO:?}]\nclients = \"127.0.0.1:0\"\nlink = \"{foo}\"{admin}{foo_data}"));
        line(format!("[nodes.{BAR:?}]\nlink = \"{bar}\"{admin}{bar_data}"));
        for (buckets, node) in &self.routes {
            line(format!("[[routes]]\nbuckets = {buckets:?}\nnodes = [{node:?}]"));
        }
        directory.write(file, &text)
    }
}

/// Where a durable node of a pair has its data.
pub(crate) fn data_dir(directory: &TempDir, node: &str) -> PathBuf {
    directory.path().join(format!("data-{node}"))
}
