//! Programs of others that a developer's machine may lack and the CI's may not.

use crate::{Folder, RespClient, wait_until};
use std::{
    env,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// The program, if the machine has it; says so when not.
///
/// # Panics
/// When it is missing where `CI` is set: there nothing may be skipped.
pub fn tool(name: &str) -> Option<PathBuf> {
    let paths = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&paths).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.or_else(|| missing(name))
}

/// A Python that has redis-py; its packages come with the system's Python, which need not be the first of the path.
pub fn python_with_redis() -> Option<PathBuf> {
    let has_it = |python: &PathBuf| {
        let asked = Command::new(python).args(["-c", "import redis"]).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    let pythons = ["/usr/bin/python3", "python3"].map(PathBuf::from);
    pythons.into_iter().find(has_it).or_else(|| missing("python3 with redis-py"))
}

fn missing<T>(name: &str) -> Option<T> {
    assert!(env::var_os("CI").is_none(), "{name} is missing: .ci/run installs it");
    eprintln!("SKIPPED: this machine has no {name}");
    None
}

/// Redis itself, on a Unix socket in a folder of its own.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    folder: Folder,
}

impl RedisServer {
    /// Starts the one that the machine has, if any.
    pub fn start() -> Option<RedisServer> {
        let program = tool("redis-server")?;
        let folder = Folder::new();
        let child = Command::new(program)
            .args(["--port", "0", "--unixsocket", SOCKET, "--save", "", "--appendonly", "no"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        let server = RedisServer { child, folder };
        wait_until("redis-server answers", || RespClient::connect_unix(&server.socket()).is_ok());
        Some(server)
    }

    /// A new client of it.
    pub fn client(&self) -> RespClient {
        RespClient::connect_unix(&self.socket()).expect("redis-server takes clients")
    }

    /// Its version: `7.0.15`.
    pub fn version(&self) -> String {
        let info = self.client().ask("INFO server");
        let version = info.split(r"\r\n").find_map(|line| line.strip_prefix("redis_version:"));
        version.expect("Redis says which version it is").to_owned()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }
}

/// The socket's name in the server's folder.
const SOCKET: &str = "redis.sock";

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have ended already, which is just as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
