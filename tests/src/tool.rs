//! Third-party programs, which may be missing on a developer's machine but not in CI.

use crate::{resp::RespClient, temp_dir::TempDir, wait::wait_until};
use std::{
    env,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// The path of a program, if it is installed; prints a note if not.
///
/// # Panics
/// When it is missing and `CI` is set, where nothing may be skipped.
pub fn tool(name: &str) -> Option<PathBuf> {
    let paths = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&paths).map(|directory| directory.join(name)).find(|path| path.is_file());
    found.or_else(|| missing(name))
}

/// A Python with redis-py, which may be the system's instead of the first one in `PATH`.
pub fn python_with_redis() -> Option<PathBuf> {
    let has_redis = |python: &PathBuf| {
        let import = Command::new(python).args(["-c", "import redis"]).stderr(Stdio::null()).status();
        import.is_ok_and(|status| status.success())
    };
    let pythons = ["/usr/bin/python3", "python3"].map(PathBuf::from);
    pythons.into_iter().find(has_redis).or_else(|| missing("python3 with redis-py"))
}

fn missing<T>(name: &str) -> Option<T> {
    assert!(env::var_os("CI").is_none(), "{name} is missing: .ci/run installs it");
    eprintln!("SKIPPED: this machine has no {name}");
    None
}

/// A Redis server on a Unix socket in a directory of its own.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    directory: TempDir,
}

impl RedisServer {
    /// Starts Redis, if it is installed.
    pub fn start() -> Option<RedisServer> {
        RedisServer::start_at(0, 16, &[])
    }

    /// Starts Redis with an append-only file that is synced before each reply, if it is installed.
    pub fn start_durable() -> Option<RedisServer> {
        RedisServer::start_at(0, 16, &["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// Starts Redis with 20 databases on a port of 127.0.0.1, if it is installed.
    pub fn start_with_port() -> Option<(RedisServer, u16)> {
        // Redis takes no port that the system chooses; this one was free just now.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        Some((RedisServer::start_at(port, 20, &[])?, port))
    }

    fn start_at(port: u16, databases: u32, options: &[&str]) -> Option<RedisServer> {
        let program = tool("redis-server")?;
        let directory = TempDir::new();
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--databases", &databases.to_string()])
            .args(["--unixsocket", SOCKET])
            .args(["--save", ""])
            .args(options)
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        let server = RedisServer { child, directory };
        wait_until("redis-server accepts clients", || RespClient::connect_unix(&server.socket()).is_ok());
        Some(server)
    }

    /// A new client of it.
    pub fn client(&self) -> RespClient {
        RespClient::connect_unix(&self.socket()).expect("redis-server accepts clients")
    }

    /// Its version: `7.0.15`.
    pub fn version(&self) -> String {
        let info = self.client().ask("INFO server");
        let version = info.split(r"\r\n").find_map(|line| line.strip_prefix("redis_version:"));
        version.expect("Redis returns its version").to_owned()
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join(SOCKET)
    }
}

/// The socket's name in the server's directory.
const SOCKET: &str = "redis.sock";

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
