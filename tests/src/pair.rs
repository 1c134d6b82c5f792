//! foo and bar, with a proxy in front of each, so that it does not matter which one dials.

use crate::{
    proxy::Proxy,
    release::Release,
    settings::{self, Settings},
    temp_dir::TempDir,
    wait::wait_until,
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Two nodes that know each other only by the addresses of the proxies.
#[derive(Debug)]
pub struct Pair {
    /// The node with clients, which owns `..m`.
    pub foo: Release,
    /// The node that owns `n..`.
    pub bar: Release,
    to_bar: Proxy,
    to_foo: Proxy,
    directory: Arc<TempDir>,
}

impl Pair {
    /// Starts both with the default settings and waits until they are linked.
    pub fn start() -> Pair {
        let pair = Pair::with(&Settings::default(), &Settings::default());
        pair.wait_until_linked();
        pair
    }

    /// Starts both with the guide's routes, by which some names have no owner, and waits until they are
    /// linked.
    pub fn with_holes() -> Pair {
        let pair = Pair::with(&Settings::with_holes(), &Settings::with_holes());
        pair.wait_until_linked();
        pair
    }

    /// Starts both with a data directory each, and waits until they are linked.
    pub fn durable() -> Pair {
        let settings = Settings { durable: true, ..Settings::default() };
        let pair = Pair::with(&settings, &settings);
        pair.wait_until_linked();
        pair.foo.wait_until_loaded();
        pair
    }

    /// Starts both with these settings, with which they may never be linked.
    pub fn with(foo: &Settings, bar: &Settings) -> Pair {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (to_foo, to_bar) = (Proxy::new(), Proxy::new());
        let directory = Arc::new(TempDir::new());
        let foo = foo.write(&directory, "foo.toml", any, to_bar.address());
        let bar = bar.write(&directory, "bar.toml", to_foo.address(), any);
        let (foo, bar) = (start("foo", &directory, &foo), start("bar", &directory, &bar));
        let pair = Pair { foo, bar, to_bar, to_foo, directory };
        pair.to_foo.forward_to(pair.foo.link());
        pair.to_bar.forward_to(pair.bar.link());
        pair
    }

    /// Waits until foo serves bar's buckets.
    pub fn wait_until_linked(&self) {
        let mut client = self.foo.client();
        wait_until("foo reaches bar", || !client.ask("DROP no-such-bucket").starts_with("ERROR"));
    }

    /// Waits until foo reports that bar is down.
    pub fn wait_until_unlinked(&self) {
        let mut client = self.foo.client();
        let down = format!("ERROR node {} is down", settings::BAR);
        wait_until("foo reports bar as down", || client.ask("DROP no-such-bucket").starts_with(&down));
    }

    /// The data directory of a durable node.
    pub fn data_dir(&self, node: &str) -> PathBuf {
        settings::data_dir(&self.directory, node)
    }

    /// Restarts bar, at which its proxy then points.
    pub fn restart_bar(&mut self) {
        self.bar.restart();
        self.to_bar.forward_to(self.bar.link());
    }

    /// Restarts foo, at which its proxy then points.
    pub fn restart_foo(&mut self) {
        self.foo.restart();
        self.to_foo.forward_to(self.foo.link());
    }

    /// How many attempts to connect have failed.
    pub fn attempts(&self) -> usize {
        self.to_bar.refused() + self.to_foo.refused()
    }

    /// Waits until the nodes have made `count` failed attempts to connect.
    pub fn wait_for_attempts(&self, count: usize) {
        wait_until("attempts to link", || self.attempts() >= count);
    }

    /// Cuts the link, and refuses new ones.
    pub fn cut(&self) {
        self.to_bar.cut();
        self.to_foo.cut();
    }

    /// Holds back everything that the nodes send to each other.
    pub fn stall(&self) {
        self.to_bar.stall();
        self.to_foo.stall();
    }

    /// Holds back everything as soon as a node has sent `bytes`.
    pub fn stall_at(&self, bytes: &[u8]) {
        self.to_bar.stall_at(bytes);
        self.to_foo.stall_at(bytes);
    }

    /// Lets `bytes` of what is held back pass, and then holds back everything again.
    pub fn forward_only(&self, bytes: usize) {
        self.to_bar.forward_only(bytes);
        self.to_foo.forward_only(bytes);
    }

    /// Flips a bit of `bytes` whenever a node sends them.
    pub fn damage(&self, bytes: &[u8]) {
        self.to_bar.damage(bytes);
        self.to_foo.damage(bytes);
    }

    /// Waits until a node has sent `bytes` and they are held back.
    pub fn wait_for_held(&self, bytes: &[u8]) {
        wait_until("a node sends the bytes", || self.to_bar.has_held(bytes) || self.to_foo.has_held(bytes));
    }

    /// Ends a stall, a cut or a damage.
    pub fn restore(&self) {
        self.to_bar.restore();
        self.to_foo.restore();
    }
}

fn start(name: &'static str, directory: &Arc<TempDir>, config: &Path) -> Release {
    Release::start(name, directory, &["--config", config.to_str().expect("a plain path")])
}
