//! A release as a child process, killed with the test.

use crate::{
    build,
    client::Client,
    http::{self, HttpResponse},
    resp::RespClient,
    temp_dir::TempDir,
    terminal::Terminal,
    wait::wait_until,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::Arc,
    thread,
};

/// The data directory of a node, in that of its test.
const DATA_DIR: &str = "data";

/// A running node.
#[derive(Debug)]
pub struct Release {
    name: &'static str,
    program: PathBuf,
    flags: Vec<String>,
    directory: Arc<TempDir>,
    log: PathBuf,
    child: Child,
}

impl Release {
    /// Starts foo standalone, without a configuration file, and waits until it serves.
    pub fn alone() -> Release {
        let directory = Arc::new(TempDir::new());
        let run_dir = directory.path().display().to_string();
        let flags = ["--clients", "127.0.0.1:0", "--run-dir", &run_dir];
        Release::start("foo", &directory, &flags)
    }

    /// As [`Release::alone`], with epoll instead of io_uring.
    pub fn alone_with_epoll() -> Release {
        Release::alone_with("[client_limits]\nio_uring = false\n")
    }

    /// As [`Release::alone`], with these lines of a configuration file.
    pub fn alone_with(lines: &str) -> Release {
        let directory = Arc::new(TempDir::new());
        let file = directory.write("alone.toml", lines).display().to_string();
        let run_dir = directory.path().display().to_string();
        let flags = ["--config", &file, "--clients", "127.0.0.1:0", "--run-dir", &run_dir];
        Release::start("foo", &directory, &flags)
    }

    /// As [`Release::alone`], with a port for HTTP.
    pub fn alone_with_admin() -> Release {
        Release::alone_with_admin_and("")
    }

    /// As [`Release::alone_with_admin`], with these lines of a configuration file.
    pub fn alone_with_admin_and(lines: &str) -> Release {
        let directory = Arc::new(TempDir::new());
        let file = directory.write("alone.toml", lines).display().to_string();
        let run_dir = directory.path().display().to_string();
        let ports = ["--clients", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        Release::start("foo", &directory, &[&["--config", &file, "--run-dir", &run_dir], &ports[..]].concat())
    }

    /// As [`Release::alone`], with a limit of open files, which it cannot raise.
    pub fn alone_with_open_files(limit: usize) -> Release {
        Release::alone_by(&format!("ulimit -n {limit}; exec \"$0\" \"$@\""))
    }

    /// As [`Release::durable_with`], with a limit of open files, which it cannot raise.
    pub fn durable_with_open_files(limit: usize, lines: &str) -> Release {
        let directory = Arc::new(TempDir::new());
        let [data_dir, file] = [directory.path().join(DATA_DIR), directory.write("durable.toml", lines)];
        let flags = ["--data-dir", &data_dir.display().to_string(), "--config", &file.display().to_string()];
        let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        let release = Release::by_script_in(&directory, &script, &flags);
        release.wait_until_loaded();
        release
    }

    /// As [`Release::alone`], with a limit in KiB of the memory that it may lock.
    pub fn alone_with_locked_memory(limit: usize) -> Release {
        let unprivileged = "setpriv --inh-caps=-ipc_lock --bounding-set=-ipc_lock";
        Release::alone_by(&format!(
            "ulimit -l {limit}; [ $(id -u) = 0 ] || exec \"$0\" \"$@\"; exec {unprivileged} \"$0\" \"$@\""
        ))
    }

    fn alone_by(script: &str) -> Release {
        Release::by_script_in(&Arc::new(TempDir::new()), script, &[])
    }

    /// Starts foo by a script of the shell.
    fn by_script_in(directory: &Arc<TempDir>, script: &str, flags: &[&str]) -> Release {
        let run_dir = directory.path().display().to_string();
        let flags = [&["--clients", "127.0.0.1:0", "--run-dir", &run_dir], flags].concat();
        let program = build::binary("foo");
        let mut shell = without_variables("sh");
        shell.arg("-c").arg(script).arg(&program);
        Release::spawn_by(shell, "foo", program, directory, &flags).until_banner()
    }

    /// Starts a release and waits until it has printed its banner.
    pub fn start(name: &'static str, directory: &Arc<TempDir>, flags: &[&str]) -> Release {
        Release::spawn(name, directory, flags).until_banner()
    }

    /// Starts this foo with these words before it, and waits until it has printed its banner.
    pub(crate) fn start_behind(
        words: &[String],
        program: &Path,
        directory: &Arc<TempDir>,
        flags: &[&str],
    ) -> Release {
        let words: Vec<_> = words.iter().map(OsStr::new).chain([program.as_os_str()]).collect();
        let mut command = without_variables(words[0]);
        command.args(&words[1..]);
        Release::spawn_by(command, "foo", program.to_owned(), directory, flags).until_banner()
    }

    fn until_banner(mut self) -> Release {
        self.wait_for_banner();
        self
    }

    fn wait_for_banner(&mut self) {
        wait_until("the node prints its banner", || {
            assert!(self.still_runs(), "exited:\n{}", self.log());
            self.log().contains("  all verbs  ")
        });
    }

    /// Starts foo standalone with durable buckets in a directory of its own.
    pub fn durable() -> Release {
        Release::durable_with("")
    }

    /// As [`Release::durable`], with these lines of a configuration file.
    pub fn durable_with(lines: &str) -> Release {
        let directory = Arc::new(TempDir::new());
        let data_dir = directory.path().join(DATA_DIR);
        Release::start_durable(build::binary("foo"), &directory, &data_dir, lines)
    }

    /// As [`Release::durable`], of a build with a fault: a value of the `kv_fault` that is compiled in.
    pub fn durable_with_fault(fault: &str) -> Release {
        let directory = Arc::new(TempDir::new());
        let data_dir = directory.path().join(DATA_DIR);
        Release::start_durable(build::faulty_foo(fault), &directory, &data_dir, "")
    }

    /// As [`Release::durable`], of a copy of the program, which a test may replace.
    pub fn durable_copy() -> Release {
        let directory = Arc::new(TempDir::new());
        let (program, data_dir) = (directory.path().join("foo"), directory.path().join(DATA_DIR));
        fs::copy(build::binary("foo"), &program).expect("the program can be copied");
        Release::start_durable(program, &directory, &data_dir, "")
    }

    /// Puts another copy of the program into the place of the one that was started, as an upgrade does.
    pub fn replace_program(&self) {
        let next = self.program.with_extension("next");
        fs::copy(build::binary(self.name), &next).expect("the program can be copied");
        fs::rename(next, &self.program).expect("the test's directory is writable");
    }

    /// Whether the node runs the program that is at its path now.
    pub fn runs_its_program(&self) -> bool {
        let inode = |path: &Path| fs::metadata(path).expect("a file").ino();
        inode(Path::new(&format!("/proc/{}/exe", self.pid()))) == inode(&self.program)
    }

    /// As [`Release::durable`], with the data below this directory.
    pub fn durable_in(data: &Path) -> Release {
        Release::durable_in_with(data, "")
    }

    /// As [`Release::durable_in`], with these lines of a configuration file.
    pub fn durable_in_with(data: &Path, lines: &str) -> Release {
        let directory = Arc::new(TempDir::new());
        Release::start_durable(build::binary("foo"), &directory, &data.join(DATA_DIR), lines)
    }

    fn start_durable(program: PathBuf, directory: &Arc<TempDir>, data_dir: &Path, lines: &str) -> Release {
        let run_dir = directory.path().display().to_string();
        let data_dir = data_dir.display().to_string();
        let file = directory.write("durable.toml", lines).display().to_string();
        let flags =
            ["--config", &file, "--clients", "127.0.0.1:0", "--run-dir", &run_dir, "--data-dir", &data_dir];
        let release = Release::spawn_program(program, "foo", directory, &flags).until_banner();
        release.wait_until_loaded();
        release
    }

    /// The data directory of a durable node.
    pub fn data_dir(&self) -> PathBuf {
        let mut flags = self.flags.iter().skip_while(|flag| *flag != "--data-dir");
        flags.nth(1).expect("a durable node").into()
    }

    /// Has the node look for its data elsewhere when it starts again.
    pub fn set_data_dir(&mut self, data_dir: &Path) {
        let place = self.flags.iter().position(|flag| flag == "--data-dir").expect("a durable node");
        self.flags[place + 1] = data_dir.display().to_string();
    }

    /// Waits until what is on disk is loaded.
    pub fn wait_until_loaded(&self) {
        let mut client = self.resp();
        wait_until("the data are loaded", || !client.ask("DBSIZE").starts_with("-LOADING"));
    }

    /// Starts a release without waiting.
    pub fn spawn(name: &'static str, directory: &Arc<TempDir>, flags: &[&str]) -> Release {
        Release::spawn_program(build::binary(name), name, directory, flags)
    }

    fn spawn_program(
        program: PathBuf,
        name: &'static str,
        directory: &Arc<TempDir>,
        flags: &[&str],
    ) -> Release {
        Release::spawn_by(without_variables(&program), name, program, directory, flags)
    }

    /// `command` runs the program with the arguments that follow.
    fn spawn_by(
        mut command: Command,
        name: &'static str,
        program: PathBuf,
        directory: &Arc<TempDir>,
        flags: &[&str],
    ) -> Release {
        let log = directory.path().join(format!("{name}.log"));
        let file = File::create(&log).expect("the test's directory is writable");
        let child = command
            .arg("start")
            .args(flags)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file can be shared"))
            .stderr(file)
            .spawn()
            .expect("the release starts");
        let flags = flags.iter().map(ToString::to_string).collect();
        Release { name, program, flags, directory: directory.clone(), log, child }
    }

    /// Kills the node and starts it again with the same flags.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.restart();
    }

    /// Starts the node again with the same flags.
    pub fn restart(&mut self) {
        self.begin_restart();
        self.wait_for_banner();
    }

    /// As [`Release::restart`], without waiting until the node serves.
    pub fn begin_restart(&mut self) {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        *self = Release::spawn_program(self.program.clone(), self.name, &self.directory.clone(), &flags);
    }

    /// Whether the node has a file open whose path contains `part`.
    pub fn has_open(&self, part: &str) -> bool {
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid())).into_iter().flatten().flatten();
        let mut paths = files.filter_map(|file| fs::read_link(file.path()).ok());
        paths.any(|path| path.to_string_lossy().contains(part))
    }

    /// Kills the node with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Has the node read these lines as its configuration file, which it was started with.
    pub fn reload(&self, lines: &str) {
        let file = self.flags.iter().skip_while(|flag| *flag != "--config").nth(1).expect("it has a file");
        fs::write(file, lines).expect("the test's directory is writable");
        self.signal(Signal::HUP);
    }

    /// Sends the node a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("our own child");
    }

    /// Waits until the node has exited by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the node exits", || {
            status = self.child.try_wait().expect("our own child");
            status.is_some()
        });
        status.expect("the node has exited")
    }

    /// Whether the node has not exited yet.
    pub fn still_runs(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_none()
    }

    /// The node's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The resident memory of the node, in bytes.
    pub fn resident_bytes(&self) -> usize {
        self.memory("VmRSS:")
    }

    /// The most resident memory that the node has had, in bytes.
    pub fn peak_resident_bytes(&self) -> usize {
        self.memory("VmHWM:")
    }

    fn memory(&self, of: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a running node");
        let line = status.lines().find_map(|line| line.strip_prefix(of)).expect("Linux has it");
        let kilobytes = line.trim().trim_end_matches(" kB").parse::<usize>();
        kilobytes.expect("a number") * 1024
    }

    /// Everything that the node has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the log is there")
    }

    /// Waits for a log line that contains all of `parts`.
    pub fn wait_for_log(&self, parts: &[&str]) {
        wait_until(&format!("{} logs {parts:?}", self.name), || {
            self.log().lines().any(|line| parts.iter().all(|part| line.contains(part)))
        });
    }

    /// Buckets of all kinds: with binary names, with times to live, in databases.
    pub fn fill(&self) {
        let mut client = self.client();
        client.ask("CREATE empty");
        client.ask("CREATE shopping");
        client.ask("PUT shopping milk 1");
        let mut resp = self.resp();
        for command in [
            "HSET colors red 1 green 2",
            "HPEXPIREAT colors 9000000000000 FIELDS 1 green",
            r#"SET "\xff\x00" "\xfe""#,
            "SET apples red PXAT 9000000000001",
            "SELECT 15",
            "HSET shopping eggs 3",
            "PEXPIREAT shopping 9000000000002",
        ] {
            resp.ask(command);
        }
    }

    /// Runs a verb of the release, with the flags that the node was started with.
    pub fn verb(&self, words: &[&str]) -> Output {
        self.command().args(words).args(&self.flags).output().expect("the release starts")
    }

    /// Starts a verb of the release, as [`Release::verb`] does, and does not wait.
    pub fn spawn_verb(&self, words: &[&str]) -> Child {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        spawn_verb(self.name, &[words, &flags].concat())
    }

    /// As [`Release::verb`], with this on standard input.
    pub fn verb_with_input(&self, words: &[&str], input: &[u8]) -> Output {
        let mut command = self.command();
        command.args(words).args(&self.flags);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the release starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        // A verb that fails early does not read all of it.
        let _ = stdin.write_all(input);
        drop(stdin);
        child.wait_with_output().expect("our own child")
    }

    fn command(&self) -> Command {
        without_variables(&self.program)
    }

    /// A remote console of the node on a terminal.
    pub fn terminal(&self) -> Terminal {
        let mut remote = self.command();
        // Without a TERM, or with a dumb one, there would be no line editing.
        remote.arg("remote").args(&self.flags).env("TERM", "xterm");
        Terminal::start(remote)
    }

    /// Types lines into a remote console of the node and returns its output.
    pub fn console(&self, lines: &str) -> String {
        let mut remote = self
            .command()
            .arg("remote")
            .args(&self.flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the release starts");
        let mut stdin = remote.stdin.take().expect("it is piped");
        stdin.write_all(lines.as_bytes()).expect("the console reads what is typed");
        drop(stdin);
        let output = remote.wait_with_output().expect("our own child");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("a text")
    }

    /// A command that the banner names.
    pub fn banner_command(&self, name: &str) -> String {
        let log = self.log();
        let command = log.lines().find_map(|line| line.strip_prefix("  ")?.strip_prefix(name));
        command.unwrap_or_else(|| panic!("no {name} in:\n{log}")).trim().to_owned()
    }

    /// What a command prints that is pasted into a shell.
    pub fn shell(&self, command: &str) -> String {
        let output = without_variables("sh").arg("-c").arg(command).output().expect("a shell");
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8(output.stdout).expect("a text")
    }

    /// The result of an expression on the node.
    pub fn rpc(&self, expression: &str) -> String {
        let output = self.verb(&["rpc", expression]);
        assert!(output.status.success(), "rpc {expression:?}: {output:?}");
        String::from_utf8(output.stdout).expect("a text")
    }

    /// A new client of this node.
    pub fn client(&self) -> Client {
        Client::connect(self.clients())
    }

    /// A new client of this node with the Redis protocol.
    pub fn resp(&self) -> RespClient {
        RespClient::connect(self.clients())
    }

    /// The client address, from the banner.
    pub fn clients(&self) -> SocketAddr {
        self.address("clients")
    }

    /// The address of the link, from the banner.
    pub fn link(&self) -> SocketAddr {
        self.address("link")
    }

    /// The address for HTTP, from the banner.
    pub fn admin(&self) -> SocketAddr {
        self.address("admin")
    }

    /// What the HTTP port has at a path.
    pub fn get(&self, path: &str) -> HttpResponse {
        self.http("GET", path)
    }

    /// As [`Release::get`], with another method.
    pub fn http(&self, method: &str, path: &str) -> HttpResponse {
        http::request(self.admin(), method, path)
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
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- output of {}:\n{}", self.name, self.log());
        }
    }
}

/// Runs a release with these arguments and waits for its exit.
pub fn verb(name: &str, words: &[&str]) -> Output {
    without_variables(build::binary(name)).args(words).output().expect("the release starts")
}

/// Starts a release with these arguments and does not wait.
pub fn spawn_verb(name: &str, words: &[&str]) -> Child {
    let mut command = without_variables(build::binary(name));
    command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the release starts")
}

/// The program without the developer's `KV_` variables.
fn without_variables(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("KV_") {
            command.env_remove(variable);
        }
    }
    command
}
