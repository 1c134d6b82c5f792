//! A running server on a core of its own, which is ended whatever happens.

use super::peer::Program;
use crate::{
    error::{Context, Error},
    interrupt::Interrupt,
    limits,
};
use std::{
    fs::Permissions,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};
use tempfile::{Builder, TempDir};

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
            .args(program.arguments(address, folder.path()))
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
