//! Every command of the console: one row says how it is typed, what it does, and what runs it.

use super::{
    node::{ControlCommand, Node},
    parse::{Argument, call, first_word},
    render::columns,
    value::{Names, NodeRow, RouteRow, Status, Value},
};
use crate::{
    limits::{CONSOLE_NAMES, TREE_CHILDREN},
    suggest::nearest,
};
use kv::{Component, Op, Reply, Request};
use kv_cluster::{NodeName, describe_failure};
use std::{pin::Pin, time::UNIX_EPOCH};

/// One command. Help, parsing, completion and suggestions read the same row.
pub(crate) struct Command {
    /// The word and its arguments: upper case stands for a value, brackets mark an optional one.
    usage: &'static str,
    help: &'static str,
    /// Another word for it, most often Elixir's.
    alias: Option<&'static str>,
    run: Run,
}

type Outcome = Result<Value, String>;
type OutcomeFuture<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// What runs a command.
#[derive(Clone, Copy)]
enum Run {
    /// On this node, at once.
    Here(fn(&Node, &[Argument]) -> Outcome),
    /// As a request to the owner of the bucket, which is the first argument.
    OnBucket(for<'a> fn(&'a [Argument]) -> Op<'a>),
    /// With other nodes.
    AcrossNodes(for<'a> fn(&'a Node, &'a [Argument]) -> OutcomeFuture<'a>),
}

const fn here(usage: &'static str, help: &'static str, run: fn(&Node, &[Argument]) -> Outcome) -> Command {
    Command { usage, help, alias: None, run: Run::Here(run) }
}

const fn on_bucket(
    usage: &'static str,
    help: &'static str,
    op: for<'a> fn(&'a [Argument]) -> Op<'a>,
) -> Command {
    Command { usage, help, alias: None, run: Run::OnBucket(op) }
}

const fn across_nodes(
    usage: &'static str,
    help: &'static str,
    run: for<'a> fn(&'a Node, &'a [Argument]) -> OutcomeFuture<'a>,
) -> Command {
    Command { usage, help, alias: None, run: Run::AcrossNodes(run) }
}

impl Command {
    const fn alias(self, alias: &'static str) -> Command {
        Command { alias: Some(alias), ..self }
    }
}

/// All commands, in the order of the help. If several rows accept a line, the first one runs it.
pub(crate) const COMMANDS: &[Command] = &[
    here("help [COMMAND]", "all commands, or one", help).alias("?"),
    here("status", "this node: name, version, pid, addresses, memory", status),
    here("node", "this node's name", node_name).alias("Node.self"),
    here("nodes", "all nodes, up or down", nodes),
    here("Node.list", "the nodes that are up, without this one", connected_nodes),
    across_nodes(
        "connect NODE",
        "connect to a node, as in connect bar@127.0.0.1 or Node.connect(:\"bar@127.0.0.1\")",
        |node, arguments| Box::pin(connect(node, arguments)),
    )
    .alias("Node.connect"),
    here("routes", "which node owns which buckets", routes),
    across_nodes("buckets", "the names of all buckets, on all nodes", |node, _| Box::pin(buckets(node))),
    here("tree [CHILDREN]", "the supervision tree of this node", tree),
    on_bucket("create BUCKET", "create a bucket; an existing one keeps its contents", |_| Op::Create),
    on_bucket("put BUCKET KEY VALUE", "set a key", |words| Op::Put {
        key: &words[1].bytes,
        value: &words[2].bytes,
    }),
    on_bucket("get BUCKET KEY", "read a key", |words| Op::Get { key: &words[1].bytes }),
    on_bucket("delete BUCKET KEY", "delete a key", |words| Op::Delete { key: &words[1].bytes }),
    on_bucket("keys BUCKET", "the first keys of a bucket", |_| Op::Keys { cursor: 0 }),
    on_bucket("drop BUCKET", "delete a bucket with its contents", |_| Op::Drop),
    here(
        "crash registry",
        "crash the registry, to see it restart (a bucket of this name goes in quotes)",
        |node, _| {
            node.cluster.local().crash(Component::Registry);
            Ok(Value::Done)
        },
    ),
    on_bucket("crash BUCKET", "crash a bucket, to see that only it is lost", |_| Op::Crash),
    here("pid", "this node's pid", |_, _| Ok(Value::Number(std::process::id()))),
    here("version", "this release's name and version", version),
    here("stop", "drain this node and end it", |node, _| send(node, ControlCommand::Stop))
        .alias("System.stop"),
    on_bucket("stop BUCKET", "the same as drop", |_| Op::Drop),
    here("restart", "drain this node and start it again", |node, _| send(node, ControlCommand::Restart))
        .alias("System.restart"),
];

impl Command {
    /// The words that call it.
    pub(crate) fn words(&self) -> impl Iterator<Item = &'static str> {
        [first_word(self.usage)].into_iter().chain(self.alias)
    }

    fn accepts(&self, arguments: &[Argument]) -> bool {
        let mut parameters = self.usage.split(' ').skip(1);
        let fits = |argument: &Argument| match parameters.next() {
            None => false,
            Some(word) if word.starts_with(|c: char| c.is_lowercase()) => argument.is_bare(word),
            Some(_) => true,
        };
        arguments.iter().all(fits) && parameters.all(|parameter| parameter.starts_with('['))
    }
}

/// Finds the row of a line, and the line's arguments. The error says what would have been valid.
fn parse(line: &str) -> Result<(&'static Command, Vec<Argument>), String> {
    let (word, arguments) = call(line)?;
    let rows = || COMMANDS.iter().filter(|command| command.words().any(|name| name == word));
    if let Some(command) = rows().find(|command| command.accepts(&arguments)) {
        return Ok((command, arguments));
    }
    let usages: Vec<&str> = rows().map(|command| command.usage).collect();
    Err(if usages.is_empty() { unknown(word) } else { format!("usage: {}", usages.join(" or ")) })
}

fn unknown(word: &str) -> String {
    match nearest(word, COMMANDS.iter().flat_map(Command::words)) {
        Some(command) => format!("unknown command {word:?}; did you mean `{command}`?"),
        None => format!("unknown command {word:?}; `help` lists the commands"),
    }
}

/// Whether the line ends this node.
pub(crate) fn stops_node(line: &str) -> bool {
    parse(line).is_ok_and(|(command, _)| command.usage == "stop")
}

/// Evaluates one line. The error is for the person who typed it.
pub(crate) async fn evaluate(node: &Node, line: &str) -> Outcome {
    let (command, arguments) = parse(line)?;
    match command.run {
        Run::Here(run) => run(node, &arguments),
        Run::OnBucket(op) => execute(node, &arguments[0].bytes, op(&arguments)).await,
        Run::AcrossNodes(run) => run(node, &arguments).await,
    }
}

fn help(_: &Node, arguments: &[Argument]) -> Outcome {
    let topic = arguments.first();
    let rows: Vec<&Command> = COMMANDS
        .iter()
        .filter(|command| topic.is_none_or(|topic| command.words().any(|word| topic.is_bare(word))))
        .collect();
    if let (Some(topic), true) = (topic, rows.is_empty()) {
        return Err(unknown(&String::from_utf8_lossy(&topic.bytes)));
    }
    let mut text = columns(rows.iter().map(|command| [command.usage.to_owned(), command.help.to_owned()]));
    if topic.is_none() {
        let aliases: Vec<&str> = COMMANDS.iter().filter_map(|command| command.alias).collect();
        text += &format!("\n\nAliases: {}.", aliases.join(", "));
        text += "\nA word with blanks goes in quotes, with the escapes \\\" \\\\ \\n \\r \\t \\xNN.";
    }
    Ok(Value::Text(text))
}

fn send(node: &Node, command: ControlCommand) -> Outcome {
    node.send(command);
    Ok(Value::Done)
}

fn status(node: &Node, _: &[Argument]) -> Outcome {
    let started = node.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Value::Status(Status {
        node: node.cluster.node_name().to_string(),
        release: node.release,
        version: node.version,
        pid: std::process::id(),
        clients: node.clients.map(|address| address.to_string()),
        link: node.link.map(|address| address.to_string()),
        config: node.file.as_ref().map(|file| file.display().to_string()),
        memory: node.cluster.local().stats().into(),
        up_seconds: node.started.elapsed().unwrap_or_default().as_secs(),
        started_unix_ms: u64::try_from(started.as_millis()).unwrap_or(u64::MAX),
    }))
}

fn version(node: &Node, _: &[Argument]) -> Outcome {
    Ok(Value::Text(format!("{} {}", node.release, node.version)))
}

fn node_name(node: &Node, _: &[Argument]) -> Outcome {
    Ok(Value::NodeName(node.cluster.node_name().to_string()))
}

fn connected_nodes(node: &Node, _: &[Argument]) -> Outcome {
    let up = node.cluster.nodes().into_iter().filter(|row| row.up);
    Ok(Value::NodeNames(up.map(|row| row.name.to_string()).collect()))
}

fn nodes(node: &Node, _: &[Argument]) -> Outcome {
    let me = node.cluster.node_name().to_string();
    let me = NodeRow { node: me, up: true, me: true, reason: None, routes_differ: None };
    let others = node.cluster.nodes().into_iter().map(|row| NodeRow {
        node: row.name.to_string(),
        up: row.up,
        me: false,
        reason: row.reason.map(|reason| reason.to_string()),
        routes_differ: row.disputed_names,
    });
    Ok(Value::Nodes([me].into_iter().chain(others).collect()))
}

/// `true` or `false`, as in Elixir; only an invalid name is an error.
async fn connect(node: &Node, arguments: &[Argument]) -> Outcome {
    let name: NodeName = arguments[0].node_name()?.parse().map_err(|error| format!("{error}"))?;
    Ok(Value::Bool(node.cluster.connect(&name).await))
}

fn routes(node: &Node, _: &[Argument]) -> Outcome {
    let rows = node.cluster.routes().spans().iter();
    let row = |row: &kv_cluster::Route| RouteRow {
        buckets: row.buckets().to_owned(),
        node: row.owner().to_string(),
    };
    Ok(Value::Routes(rows.map(row).collect()))
}

fn tree(node: &Node, arguments: &[Argument]) -> Outcome {
    let children = match arguments.first() {
        Some(count) => count.number("children", "tree 100")?,
        None => TREE_CHILDREN,
    };
    let root = node.root.get().ok_or("the node is still starting")?;
    Ok(Value::Tree(root.tree(children)))
}

/// The buckets of all nodes, page by page until enough are found.
async fn buckets(node: &Node) -> Outcome {
    let (mut names, mut unavailable) = (Vec::new(), Vec::new());
    let mut pages = node.cluster.buckets();
    while names.len() <= CONSOLE_NAMES
        && let Some(page) = pages.next().await
    {
        match page {
            Ok(page) => names.extend(page.into_iter().map(Vec::from)),
            Err(error) => unavailable.push(error.to_string()),
        }
    }
    let more = names.len() > CONSOLE_NAMES;
    names.truncate(CONSOLE_NAMES);
    names.sort();
    Ok(Value::Names(Names { names, more, unavailable }))
}

/// Executes one request at the owner of its bucket.
async fn execute(node: &Node, bucket: &[u8], op: Op<'_>) -> Outcome {
    let outcome = node.cluster.execute(Request { bucket, op }, |reply| value_of(reply, bucket, op)).await;
    outcome.map_err(|error| error.to_string())?
}

fn value_of(reply: Reply<'_>, bucket: &[u8], op: Op<'_>) -> Outcome {
    match reply {
        Reply::Done => Ok(Value::Done),
        Reply::Value(value) => Ok(Value::Bytes(Some(value.to_vec()))),
        Reply::NoKey => Ok(Value::Bytes(None)),
        Reply::NoBucket => Err("NOT FOUND".to_owned()),
        Reply::Keys { keys, next } => {
            let names = keys.iter().map(|key| key.to_vec()).collect();
            Ok(Value::Names(Names { names, more: next != 0, unavailable: Vec::new() }))
        }
        // The command asked for the crash.
        Reply::Crashed if op == Op::Crash => Ok(Value::Done),
        failure => Err(describe_failure(bucket, &failure)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_cluster::Error;

    /// The usage of the row that a line finds, and the line's arguments.
    fn parsed(line: &str) -> (&'static str, Vec<Vec<u8>>) {
        let (command, arguments) = parse(line).unwrap();
        (command.usage, arguments.into_iter().map(|argument| argument.bytes).collect())
    }

    fn row(usage: &'static str, arguments: &[&[u8]]) -> (&'static str, Vec<Vec<u8>>) {
        (usage, arguments.iter().map(|argument| argument.to_vec()).collect())
    }

    #[test]
    fn elixir_and_plain_words_mean_the_same() {
        for line in ["node", "node()", "Node.self", "Node.self()"] {
            assert_eq!(parsed(line), row("node", &[]), "{line}");
        }
        for line in ["connect bar@MacBookPro", "Node.connect(bar@MacBookPro)"] {
            assert_eq!(parsed(line), row("connect NODE", &[b"bar@MacBookPro"]), "{line}");
        }
        assert_eq!(parsed("Node.list()").0, "Node.list");
    }

    #[test]
    fn a_bucket_may_be_called_registry() {
        assert_eq!(parsed("crash registry").0, "crash registry");
        assert_eq!(parsed("crash \"registry\""), row("crash BUCKET", &[b"registry"]));
    }

    #[test]
    fn stop_alone_is_the_node_and_with_a_name_the_bucket() {
        assert!(stops_node("stop") && stops_node("System.stop()"));
        assert!(!stops_node("stop shopping"));
        assert_eq!(parsed("stop shopping"), row("stop BUCKET", &[b"shopping"]));
    }

    #[test]
    fn optional_arguments_may_be_left_out() {
        assert_eq!(parsed("tree"), row("tree [CHILDREN]", &[]));
        assert_eq!(parsed("tree 100"), row("tree [CHILDREN]", &[b"100"]));
        assert!(parse("tree 100 100").is_err());
    }

    #[test]
    fn errors_say_what_would_be_valid() {
        for (line, message) in [
            ("buckts", "unknown command \"buckts\"; did you mean `buckets`?"),
            ("GET shopping", "unknown command \"GET\"; did you mean `get`?"),
            ("Node.lst", "unknown command \"Node.lst\"; did you mean `Node.list`?"),
            ("xyzzy", "unknown command \"xyzzy\"; `help` lists the commands"),
            ("get shopping", "usage: get BUCKET KEY"),
            ("crash", "usage: crash registry or crash BUCKET"),
        ] {
            assert_eq!(parse(line).err().as_deref(), Some(message), "{line}");
        }
    }

    #[test]
    fn every_row_is_found_by_its_own_usage() {
        for command in COMMANDS {
            assert_eq!(parsed(command.usage).0, command.usage);
        }
    }

    #[test]
    fn a_reply_that_only_redis_commands_get_is_an_error() {
        let value = value_of(Reply::Number(1), b"shopping", Op::Get { key: b"milk" });
        assert_eq!(value.err(), Some(Error::UnexpectedReply.to_string()));
    }
}
