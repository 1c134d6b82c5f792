//! The servers that are compared: which are installed, how each is started, and that each is ended.

use crate::{
    error::{Context, Error},
    interrupt::Interrupt,
    limits,
    workload::{Operation, Protocol, Workload},
};
use std::{
    ffi::OsString,
    fs::{self, Permissions},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};
use tempfile::{Builder, TempDir};

/// Everything that can be started.
#[derive(Debug, Clone)]
pub(crate) enum Program {
    Ours(PathBuf),
    Redis,
    Valkey,
    Memcached,
    /// This program's own echo, for one workload.
    Echo(Workload),
}

impl Program {
    /// Our release and its peers.
    pub(crate) fn all(ours: &Path) -> [Program; 4] {
        [Program::Ours(ours.into()), Program::Redis, Program::Valkey, Program::Memcached]
    }

    pub(crate) fn path(&self) -> Result<PathBuf, Error> {
        Ok(match self {
            Program::Ours(path) => path.clone(),
            Program::Redis => "redis-server".into(),
            Program::Valkey => "valkey-server".into(),
            Program::Memcached => "memcached".into(),
            Program::Echo(_) => fs::read_link("/proc/self/exe").context("cannot find this program")?,
        })
    }

    /// Its name and version, when it is installed.
    pub(crate) fn version(&self) -> Option<String> {
        let argument = if matches!(self, Program::Ours(_)) { "version" } else { "--version" };
        let said = Command::new(self.path().ok()?).arg(argument).output().ok()?.stdout;
        let said = String::from_utf8_lossy(&said);
        let number = version_in(&said)?;
        let path = self.path().ok()?;
        let name = path.file_name()?.to_string_lossy();
        Some(format!("{} {number}", name.trim_end_matches("-server")))
    }

    /// What each is asked in: a bucket of ours is a hash, memcached knows strings alone.
    pub(crate) fn protocols(&self) -> &'static [Protocol] {
        match self {
            Program::Ours(_) => &[Protocol::Resp, Protocol::Text],
            Program::Memcached => &[Protocol::Memcached],
            Program::Redis | Program::Valkey | Program::Echo(_) => &[Protocol::Resp],
        }
    }

    /// Volatile, on one thread, on this port of the loopback interface.
    fn arguments(&self, port: u16, folder: &TempDir) -> Vec<OsString> {
        let (address, port) = (format!("127.0.0.1:{port}"), port.to_string());
        let mut arguments: Vec<OsString> = match self {
            Program::Ours(_) => vec!["start".into(), "--clients".into(), address.into(), "--run-dir".into()],
            Program::Redis | Program::Valkey => {
                let words =
                    ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"];
                words.map(OsString::from).into()
            }
            Program::Memcached => {
                let words =
                    ["-t", "1", "-U", "0", "-l", "127.0.0.1", "-p", &port, "-u", "root", "-m", MEMORY_MB];
                return words.map(OsString::from).into();
            }
            Program::Echo(workload) => return echo_arguments(&address, workload),
        };
        arguments.push(folder.path().into());
        arguments
    }
}

/// Whether a protocol has what an operation works on.
pub(crate) fn knows(protocol: Protocol, operation: Operation) -> bool {
    match (protocol, operation) {
        (Protocol::Resp, _) | (_, Operation::Ping) => true,
        (Protocol::Text, operation) => matches!(operation, Operation::Hget | Operation::Hset),
        (Protocol::Memcached, operation) => matches!(operation, Operation::Get | Operation::Set),
    }
}

/// Megabytes that memcached may use, so that it evicts nothing.
const MEMORY_MB: &str = "4096";

fn echo_arguments(address: &str, workload: &Workload) -> Vec<OsString> {
    let mut arguments = vec!["echo".into(), "--address".into(), address.into()];
    arguments.extend(workload.arguments().map(OsString::from));
    arguments
}

/// The first word that is a number with dots, after a `v=` or not.
fn version_in(text: &str) -> Option<&str> {
    let words = text.split_ascii_whitespace().map(|word| word.trim_start_matches("v="));
    words.into_iter().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    _folder: TempDir,
}

impl Server {
    /// Starts a program on the servers' core, and waits until it takes connections.
    pub(crate) fn start(program: &Program, interrupt: &Interrupt) -> Result<Server, Error> {
        let private = Permissions::from_mode(0o700);
        let folder = Builder::new().permissions(private).tempdir().context("cannot make a folder")?;
        let address = free_address()?;
        let path = program.path()?;
        let child = Command::new("taskset")
            .args(["-c", limits::SERVER_CORE])
            .arg(&path)
            .args(program.arguments(address.port(), &folder))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start taskset")?;
        let mut server = Server { child, address, _folder: folder };
        server.wait_until_up(&path.display().to_string(), interrupt)?;
        Ok(server)
    }

    /// The process, which `taskset` has become.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_up(&mut self, program: &str, interrupt: &Interrupt) -> Result<(), Error> {
        let not_up = |why: String| Error::NotUp { program: program.into(), why };
        let deadline = Instant::now() + limits::START;
        while TcpStream::connect(self.address).is_err() {
            interrupt.check()?;
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(not_up(format!("it ended with {status}; start it by hand to see why")));
            }
            if Instant::now() > deadline {
                return Err(not_up(format!("nothing listens after {} s", limits::START.as_secs())));
            }
            thread::sleep(limits::LOOK);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
fn free_address() -> Result<SocketAddr, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot find a free port")?;
    listener.local_addr().context("cannot find a free port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_servers_say() {
        assert_eq!(version_in("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0"), Some("7.0.15"));
        assert_eq!(version_in("memcached 1.6.18"), Some("1.6.18"));
        assert_eq!(version_in("foo"), None);
    }

    #[test]
    fn a_program_that_is_not_installed_has_no_version() {
        assert_eq!(Program::Ours("/nowhere/foo".into()).version(), None);
    }
}
