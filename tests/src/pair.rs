//! foo and bar, with a wire to each of them, so that it does not matter which one dials.

use crate::{Folder, Release, Settings, Wire, settings, wait_until};
use std::{net::SocketAddr, path::Path, sync::Arc};

/// Two nodes that know each other only by the ends of wires.
#[derive(Debug)]
pub struct Pair {
    /// The node that takes clients and owns `a..m`.
    pub foo: Release,
    /// The node that owns `n..z`.
    pub bar: Release,
    to_bar: Wire,
    to_foo: Wire,
}

impl Pair {
    /// Starts both as shipped and waits until they are linked.
    pub fn start() -> Pair {
        let pair = Pair::with(&Settings::default(), &Settings::default());
        pair.wait_until_linked();
        pair
    }

    /// Starts both with settings of their own; they may not come to be linked.
    pub fn with(foo: &Settings, bar: &Settings) -> Pair {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (to_foo, to_bar) = (Wire::new(), Wire::new());
        let folder = Arc::new(Folder::new());
        let foo = foo.write(&folder, "foo.toml", any, to_bar.address());
        let bar = bar.write(&folder, "bar.toml", to_foo.address(), any);
        let pair =
            Pair { foo: start("foo", &folder, &foo), bar: start("bar", &folder, &bar), to_bar, to_foo };
        pair.to_foo.point_at(pair.foo.link());
        pair.to_bar.point_at(pair.bar.link());
        pair
    }

    /// Waits until foo answers for bar's buckets.
    pub fn wait_until_linked(&self) {
        let mut client = self.foo.client();
        wait_until("foo reaches bar", || !client.ask("DROP no-such-bucket").starts_with("ERROR"));
    }

    /// Waits until foo knows that bar is not to be reached.
    pub fn wait_until_parted(&self) {
        let mut client = self.foo.client();
        let down = format!("ERROR node {} is down", settings::BAR);
        wait_until("foo misses bar", || client.ask("DROP no-such-bucket").starts_with(&down));
    }

    /// Starts bar again and points foo's wire at it.
    pub fn start_bar_again(&mut self) {
        self.bar.start_again();
        self.to_bar.point_at(self.bar.link());
    }

    /// Starts foo again and points bar's wire at it.
    pub fn start_foo_again(&mut self) {
        self.foo.start_again();
        self.to_foo.point_at(self.foo.link());
    }

    /// Waits until a node has tried this often to reach one that is not there.
    pub fn wait_for_attempts(&self, count: usize) {
        wait_until("attempts to link", || self.to_bar.refused() + self.to_foo.refused() >= count);
    }

    /// Cuts the link, and refuses new ones.
    pub fn cut(&self) {
        self.to_bar.cut();
        self.to_foo.cut();
    }

    /// Holds back everything that the nodes say to each other.
    pub fn stall(&self) {
        self.to_bar.stall();
        self.to_foo.stall();
    }

    /// Holds back everything from the moment on that `bytes` have left a node.
    pub fn stall_at(&self, bytes: &[u8]) {
        self.to_bar.stall_at(bytes);
        self.to_foo.stall_at(bytes);
    }

    /// Waits until `bytes` have left a node and are held back.
    pub fn wait_for_held(&self, bytes: &[u8]) {
        wait_until("the bytes leave a node", || self.to_bar.holds(bytes) || self.to_foo.holds(bytes));
    }

    /// Ends a stall or a cut.
    pub fn mend(&self) {
        self.to_bar.mend();
        self.to_foo.mend();
    }
}

fn start(name: &'static str, folder: &Arc<Folder>, config: &Path) -> Release {
    Release::start(name, folder, &["--config", config.to_str().expect("a plain path")])
}
