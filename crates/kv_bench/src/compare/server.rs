//! A server process, on a core of its own or on all, killed on drop.

use super::peer::Program;
use crate::{
    error::{Context, Error},
    interrupt::Interrupt,
    limits,
};
use std::{
    fs::Permissions,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};
use tempfile::{Builder, TempDir};

/// A server process, killed on drop.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    directory: TempDir,
}

impl Server {
    /// Starts a program on the servers' core and waits until it answers.
    pub(crate) fn start_pinned(program: &Program, interrupt: &Interrupt) -> Result<Server, Error> {
        let mut taskset = Command::new("taskset");
        taskset.args(["-c", limits::SERVER_CORE]).arg(program.path()?);
        Server::spawn(taskset, program, interrupt)
    }

    /// Starts a program on all cores and waits until it answers.
    pub(crate) fn start(program: &Program, interrupt: &Interrupt) -> Result<Server, Error> {
        Server::spawn(Command::new(program.path()?), program, interrupt)
    }

    fn spawn(mut command: Command, program: &Program, interrupt: &Interrupt) -> Result<Server, Error> {
        let private = Permissions::from_mode(0o700);
        let directory = Builder::new().permissions(private).tempdir().context("cannot create a directory")?;
        let address = free_address()?;
        let path = program.path()?;
        command.args(program.arguments(address, directory.path())).envs(program.variable());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context(format!("cannot start {}", path.display()))?;
        let mut server = Server { child, address, directory };
        server.wait_until_ready(program, interrupt)?;
        Ok(server)
    }

    /// The directory that it was given.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The process id of the server: `taskset` executes it in its own place.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_ready(&mut self, program: &Program, interrupt: &Interrupt) -> Result<(), Error> {
        let path = program.path()?.display().to_string();
        let start_failed = |why: String| Error::StartFailed { program: path.clone(), why };
        let deadline = Instant::now() + limits::START_TIMEOUT;
        while !self.is_ready(program) {
            interrupt.check()?;
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(start_failed(format!("it exited with {status}; start it by hand to see why")));
            }
            if Instant::now() > deadline {
                return Err(start_failed(format!("no answer after {} s", limits::START_TIMEOUT.as_secs())));
            }
            thread::sleep(limits::CONNECT_INTERVAL);
        }
        Ok(())
    }

    /// Whether it answers a command on data. A server that is still loading refuses it. The echo, which waits
    /// for whole batches, is not asked.
    fn is_ready(&self, program: &Program) -> bool {
        let mut reply = [0];
        let asked = TcpStream::connect(self.address).and_then(|mut stream| {
            if matches!(program, Program::Echo(_)) {
                return Ok(());
            }
            stream.set_read_timeout(Some(limits::START_TIMEOUT))?;
            stream.write_all(b"*2\r\n$6\r\nEXISTS\r\n$1\r\n0\r\n")?;
            stream.read_exact(&mut reply)
        });
        asked.is_ok() && reply != *b"-"
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address with a port that was free a moment ago.
fn free_address() -> Result<SocketAddr, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot find a free port")?;
    listener.local_addr().context("cannot find a free port")
}
