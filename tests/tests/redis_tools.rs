//! The usual tools for Redis, from their packages, unchanged, on one node and on two.

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};
use tests::{
    Pair, Release, python_with_redis,
    resp::{command, words},
    tool,
};

fn on_one_node_and_two(session: impl Fn(&Release)) {
    session(&Release::alone());
    session(&Pair::start().foo);
}

/// A tool with the address of a node.
fn tool_for(node: &Release, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &node.clients().port().to_string()]);
    command
}

fn output_text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&both).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

/// The output of a tool for these lines of input.
fn output_for(command: &mut Command, lines: &str) -> String {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the tool starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(lines.as_bytes()).expect("the tool reads its input");
    drop(stdin);
    output_text(&child.wait_with_output().expect("our own child"))
}

#[test]
fn redis_cli_runs_a_session() {
    let Some(program) = tool("redis-cli") else { return };
    on_one_node_and_two(|node| {
        let lines = "HSET shopping milk 1 eggs 3\nHGETALL shopping\nGET shopping\nSET apples red\nMGET apples tea\n\
                     EXPIRE apples 100\nTTL apples\nDBSIZE\nSCAN 0 COUNT 100 MATCH app*\nHGET shopping\n";
        let expected = "2\nmilk\n1\neggs\n3\n\
                        WRONGTYPE Operation against a key holding the wrong kind of value\n\nOK\nred\n\n\
                        1\n100\n2\n";
        let printed = output_for(&mut tool_for(node, &program), lines);
        assert!(printed.starts_with(expected), "{printed}");
        assert!(
            printed.trim_end().ends_with("ERR wrong number of arguments for 'hget' command"),
            "{printed}"
        );
        let resp3 = output_for(tool_for(node, &program).args(["-3", "--no-raw"]), "HGETALL shopping\n");
        assert_eq!(resp3, "1# \"milk\" => \"1\"\n2# \"eggs\" => \"3\"\n");
        let mut names: Vec<_> = output_text(&tool_for(node, &program).arg("--scan").output().unwrap())
            .lines()
            .map(str::to_owned)
            .collect();
        names.sort();
        assert_eq!(names, ["apples", "shopping"]);
    });
}

#[test]
fn redis_cli_pipes_commands_and_lines() {
    let Some(program) = tool("redis-cli") else { return };
    on_one_node_and_two(|node| {
        let inline: String = (0..5_000).map(|number| format!("SET apples{number} {number}\r\n")).collect();
        let resp: String =
            inline.lines().map(|line| String::from_utf8(command(&words(line))).unwrap()).collect();
        for input in [inline, resp] {
            let printed = output_for(tool_for(node, &program).arg("--pipe"), &input);
            assert!(printed.contains("errors: 0, replies: 5000"), "{printed}");
            assert_eq!(node.resp().ask("DBSIZE"), r":5000\r\n");
            node.resp().ask("FLUSHALL");
        }
    });
}

#[test]
fn redis_cli_shows_help_from_the_node() {
    let (Some(program), Some(terminal)) = (tool("redis-cli"), tool("script")) else { return };
    let node = Release::alone();
    // redis-cli sends COMMAND DOCS only on a terminal. HGETDEL is newer than its built-in help.
    let session = format!("{} -p {}", program.display(), node.clients().port());
    let mut command = Command::new(terminal);
    command.args(["-qec", &session, "/dev/null"]).env("TERM", "dumb").env("HOME", "/nonexistent");
    let printed = output_for(&mut command, "help hgetdel\nexit\n");
    assert!(printed.contains("Returns the values of fields and removes the fields"), "{printed}");
    assert!(!printed.to_lowercase().contains("err"), "{printed}");
}

#[test]
fn redis_benchmark_completes() {
    let Some(program) = tool("redis-benchmark") else { return };
    on_one_node_and_two(|node| {
        let mut benchmark = tool_for(node, &program);
        benchmark.args(["-q", "-n", "20000", "-t", "ping,set,get,incr,hset,mset", "-P", "16", "-r", "1000"]);
        let printed = output_text(&benchmark.output().unwrap());
        for test in ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "HSET", "MSET (10 keys)"] {
            assert!(printed.contains(&format!("{test}: ")), "{printed}");
        }
        assert!(!printed.to_lowercase().contains("err"), "{printed}");
    });
}

#[test]
fn redis_py_runs_a_session() {
    let Some(python) = python_with_redis() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/redis_py.py");
    let session = |node: &Release, nodes: usize| {
        let address = node.clients();
        let mut command = Command::new(&python);
        command.arg(script).args([address.ip().to_string(), address.port().to_string(), nodes.to_string()]);
        output_text(&command.output().unwrap());
    };
    session(&Release::alone(), 1);
    session(&Pair::start().foo, 2);
}
