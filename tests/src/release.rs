//! A release as a child process: started, asked, signalled, and gone with the test.

use crate::{Client, Folder, RespClient, build, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::Arc,
    thread,
};

/// A running node.
#[derive(Debug)]
pub struct Release {
    name: &'static str,
    flags: Vec<String>,
    folder: Arc<Folder>,
    log: PathBuf,
    child: Child,
}

impl Release {
    /// Starts foo alone, without a file, and waits until it serves.
    pub fn alone() -> Release {
        let folder = Arc::new(Folder::new());
        let run_dir = folder.path().display().to_string();
        let flags = ["--clients", "127.0.0.1:0", "--run-dir", &run_dir];
        Release::start("foo", &folder, &flags)
    }

    /// As [`Release::alone`], with clients served by epoll, as where io_uring is not to be had.
    pub fn alone_by_epoll() -> Release {
        let folder = Arc::new(Folder::new());
        let file = folder.write("epoll.toml", "[client_limits]\nio_uring = false\n").display().to_string();
        let run_dir = folder.path().display().to_string();
        let flags = ["--config", &file, "--clients", "127.0.0.1:0", "--run-dir", &run_dir];
        Release::start("foo", &folder, &flags)
    }

    /// Starts a release and waits until it says where it is.
    pub fn start(name: &'static str, folder: &Arc<Folder>, flags: &[&str]) -> Release {
        let mut release = Release::spawn(name, folder, flags);
        wait_until("the node says where it is", || {
            assert!(release.child.try_wait().expect("our own child").is_none(), "ended:\n{}", release.log());
            release.log().contains("  all verbs  ")
        });
        release
    }

    /// Starts a release and waits for nothing.
    pub fn spawn(name: &'static str, folder: &Arc<Folder>, flags: &[&str]) -> Release {
        let log = folder.path().join(format!("{name}.log"));
        let file = File::create(&log).expect("the test's folder is writable");
        let child = command(name)
            .arg("start")
            .args(flags)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file can be shared"))
            .stderr(file)
            .spawn()
            .expect("the release starts");
        let flags = flags.iter().map(ToString::to_string).collect();
        Release { name, flags, folder: folder.clone(), log, child }
    }

    /// Ends the node with SIGKILL and starts it again just as it was started before.
    pub fn kill_and_start(&mut self) {
        self.kill();
        self.start_again();
    }

    /// Starts the node again just as it was started before.
    pub fn start_again(&mut self) {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        *self = Release::start(self.name, &self.folder.clone(), &flags);
    }

    /// Ends the node with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Sends the node a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("our own child");
    }

    /// Waits until the node has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the node ends", || {
            status = self.child.try_wait().expect("our own child");
            status.is_some()
        });
        status.expect("the node has ended")
    }

    /// Whether the node still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_none()
    }

    /// The node's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that the node has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the log is there")
    }

    /// Waits for a line of the log that holds all of `parts`.
    pub fn wait_for_log(&self, parts: &[&str]) {
        wait_until(&format!("{} logs {parts:?}", self.name), || {
            self.log().lines().any(|line| parts.iter().all(|part| line.contains(part)))
        });
    }

    /// Runs a verb of the release, with the flags that the node was started with.
    pub fn verb(&self, words: &[&str]) -> Output {
        command(self.name).args(words).args(&self.flags).output().expect("the release starts")
    }

    /// Types lines into a console of the node and returns all that it printed.
    pub fn console(&self, lines: &str) -> String {
        let mut remote = command(self.name)
            .arg("remote")
            .args(&self.flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the release starts");
        let mut keyboard = remote.stdin.take().expect("it was asked for");
        keyboard.write_all(lines.as_bytes()).expect("the console reads what is typed");
        drop(keyboard);
        let output = remote.wait_with_output().expect("our own child");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("a text")
    }

    /// What the node answers to an expression.
    pub fn rpc(&self, expression: &str) -> String {
        let output = self.verb(&["rpc", expression]);
        assert!(output.status.success(), "rpc {expression:?}: {output:?}");
        String::from_utf8(output.stdout).expect("a text")
    }

    /// A new client of this node.
    pub fn client(&self) -> Client {
        Client::connect(self.clients())
    }

    /// A new client of this node that speaks the Redis protocol.
    pub fn resp(&self) -> RespClient {
        RespClient::connect(self.clients())
    }

    /// Where clients connect, as the node says at its start.
    pub fn clients(&self) -> SocketAddr {
        self.address("clients")
    }

    /// Where other nodes connect, as the node says at its start.
    pub fn link(&self) -> SocketAddr {
        self.address("link")
    }

    fn address(&self, of: &str) -> SocketAddr {
        let log = self.log();
        let after = log.lines().find_map(|line| line.trim_start().strip_prefix(of));
        let found = after.and_then(|rest| rest.split_whitespace().find_map(|word| word.parse().ok()));
        found.unwrap_or_else(|| panic!("no address for {of} in:\n{log}"))
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        // It may have ended already, which is just as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- {} said:\n{}", self.name, self.log());
        }
    }
}

/// Runs a release with these words and waits for its end.
pub fn verb(name: &str, words: &[&str]) -> Output {
    command(name).args(words).output().expect("the release starts")
}

/// The release without a word of the developer's own environment.
fn command(name: &str) -> Command {
    let mut command = Command::new(build::binary(name));
    command.stdin(Stdio::null());
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("KV_") {
            command.env_remove(variable);
        }
    }
    command
}
