//! Every command of the console: one row says how it is typed, what it does, and what runs it.

use super::{
    file, names,
    node::{ControlCommand, Node},
    nodes,
    parse::{Argument, call, first_word},
    ranges,
    render::columns,
    value::{Status, Value},
};
use crate::suggest::nearest;
use kv::{Component, Op, Reply, Request};
use kv_cluster::{Error, NodeName, Outcome as RequestOutcome, describe_failure};
use std::{pin::Pin, time::UNIX_EPOCH};

/// One command. Help, parsing, completion and suggestions read the same row.
pub(crate) struct Command {
    /// The word and its arguments: upper case stands for a value, brackets mark an optional one.
    usage: &'static str,
    help: &'static str,
    /// Another word for it, most often Elixir's.
    alias: Option<&'static str>,
    /// A line that calls it; empty if the word alone is one.
    example: &'static str,
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
    Command { usage, help, alias: None, example: "", run: Run::Here(run) }
}

const fn on_bucket(
    usage: &'static str,
    help: &'static str,
    op: for<'a> fn(&'a [Argument]) -> Op<'a>,
) -> Command {
    Command { usage, help, alias: None, example: "", run: Run::OnBucket(op) }
}

const fn across_nodes(
    usage: &'static str,
    help: &'static str,
    run: for<'a> fn(&'a Node, &'a [Argument]) -> OutcomeFuture<'a>,
) -> Command {
    Command { usage, help, alias: None, example: "", run: Run::AcrossNodes(run) }
}

impl Command {
    const fn alias(self, alias: &'static str) -> Command {
        Command { alias: Some(alias), ..self }
    }

    const fn example(self, example: &'static str) -> Command {
        Command { example, ..self }
    }
}

/// All commands, in the order of the help. If several rows accept a line, the first one runs it.
pub(crate) const COMMANDS: &[Command] = &[
    here("help [COMMAND]", "all commands, or one with an example", help).alias("?").example("help put"),
    here("status", "this node: name, version, pid, addresses, memory", status),
    here("node", "this node's name", nodes::node_name).alias("Node.self"),
    here("nodes", "all nodes, up or down", nodes::nodes),
    here("Node.list", "the nodes that are up, without this one", nodes::connected_nodes),
    across_nodes("connect NODE", "connect to a node, and say why that fails", |node, arguments| {
        Box::pin(nodes::connect(node, arguments))
    })
    .alias("Node.connect")
    .example("Node.connect(:\"bar@127.0.0.1\")"),
    across_nodes("ping NODE", "connect to a node: :pong, or :pang and why", |node, arguments| {
        Box::pin(nodes::ping(node, arguments))
    })
    .alias("Node.ping")
    .example("Node.ping(:\"bar@127.0.0.1\")"),
    here("routes", "which node owns which buckets", nodes::routes),
    here(
        "routes --toml",
        "the tables [nodes] and [[routes]] as the configuration should have them, to paste",
        file::toml,
    ),
    here("ranges", "what this node keeps on disk, and how far", ranges::ranges),
    across_nodes(
        "replicas ROW NODE [NODE] [NODE] [NODE] [NODE]",
        "have the replicas of a row on one node, three or five, while it is used",
        |node, arguments| Box::pin(nodes::replicas(node, arguments)),
    )
    .example("replicas ..m foo@10.0.0.1 bar@10.0.0.2 baz@10.0.0.3"),
    across_nodes(
        "move ROW to NODE [NODE] [NODE] [NODE] [NODE]",
        "the same as replicas",
        |node, arguments| Box::pin(nodes::move_row(node, arguments)),
    )
    .example("move n.. to foo@10.0.0.1"),
    across_nodes(
        "split ROW at NAME",
        "split a row in two, while it is used: the second one begins with a name",
        |node, arguments| Box::pin(nodes::split(node, arguments)),
    )
    .example("split ..m at g"),
    across_nodes("leader ROW NODE", "have a node lead a row of which it has a replica", |node, arguments| {
        Box::pin(nodes::leader(node, arguments))
    })
    .example("leader ..m bar@10.0.0.2"),
    across_nodes(
        "add-node NODE ADDRESS",
        "have a node be one of the cluster, with the address of its links, while it is used",
        |node, arguments| Box::pin(nodes::add(node, arguments)),
    )
    .example("add-node foo@10.0.0.4 10.0.0.4:4051"),
    across_nodes(
        "remove-node NODE",
        "have a node that has no copies, and owns nothing, be none of the cluster any more",
        |node, arguments| Box::pin(nodes::remove(node, arguments)),
    )
    .example("remove-node foo@10.0.0.1"),
    across_nodes(
        "health",
        "ok, or what is wrong with this node, the others and the copies; then the exit code is 1",
        |node, _| Box::pin(nodes::health(node)),
    ),
    here("plans", "the rows that are being moved or split", nodes::plans),
    here(
        "snapshot",
        "begin a snapshot of each durable range of this node, and cut its log",
        ranges::snapshot,
    ),
    across_nodes(
        "buckets [PREFIX] [PAGE]",
        "the names of the buckets on all nodes, page by page",
        |node, arguments| Box::pin(names::buckets(node, arguments)),
    )
    .example("buckets shop"),
    across_nodes(
        "tree [NODE] [CHILDREN]",
        "the supervision tree of this node, or of another, with a number of buckets",
        |node, arguments| Box::pin(nodes::tree(node, arguments)),
    )
    .example("tree bar@127.0.0.1 100"),
    on_bucket("create BUCKET", "create a bucket; an existing one keeps its contents", |_| Op::Create)
        .example("create shopping"),
    on_bucket("put BUCKET KEY VALUE", "set a key", |words| Op::Put {
        key: &words[1].bytes,
        value: &words[2].bytes,
    })
    .example("put shopping milk \"1 litre\""),
    on_bucket("get BUCKET KEY", "read a key", |words| Op::Get { key: &words[1].bytes })
        .example("get shopping milk"),
    on_bucket("delete BUCKET KEY", "delete a key", |words| Op::Delete { key: &words[1].bytes })
        .example("delete shopping milk"),
    across_nodes("keys BUCKET [PREFIX] [PAGE]", "the keys of a bucket, page by page", |node, arguments| {
        Box::pin(names::keys(node, arguments))
    })
    .example("keys shopping mi"),
    across_nodes("peek NAME", "what a bucket or a Redis client's string holds", |node, arguments| {
        Box::pin(names::peek(node, arguments))
    })
    .example("peek shopping"),
    on_bucket("drop BUCKET", "delete a bucket with its contents", |_| Op::Drop).example("drop shopping"),
    here(
        "crash registry",
        "crash the registry, to see it restart, empty (a bucket of this name goes in quotes)",
        |node, _| {
            node.cluster.local().crash(Component::Registry);
            Ok(Value::Done)
        },
    ),
    on_bucket(
        "crash BUCKET",
        "crash a bucket: only it is lost, or, if it is durable, its range loads again and nothing is lost",
        |_| Op::Crash,
    )
    .example("crash shopping"),
    here("pid", "this node's pid", |_, _| Ok(Value::Number(std::process::id()))),
    here("version", "this release's name and version", version),
    here("stop", "drain this node and end it", |node, _| send(node, ControlCommand::Stop))
        .alias("System.stop"),
    on_bucket("stop BUCKET", "the same as drop", |_| Op::Drop).example("stop shopping"),
    here("restart", "drain this node and start it again; what is volatile is lost", |node, _| {
        send(node, ControlCommand::Restart)
    })
    .alias("System.restart"),
];

impl Command {
    /// The words that call it.
    pub(crate) fn words(&self) -> impl Iterator<Item = &'static str> {
        [first_word(self.usage)].into_iter().chain(self.alias)
    }

    /// Whether this word calls it, in either case.
    fn is_called(&self, word: &str) -> bool {
        self.words().any(|name| name.eq_ignore_ascii_case(word))
    }

    fn accepts(&self, arguments: &[Argument]) -> bool {
        let mut parameters = self.usage.split(' ').skip(1);
        let fits = |argument: &Argument| match parameters.next() {
            None => false,
            Some(word) if word.starts_with(|c: char| c.is_lowercase() || c == '-') => argument.is_bare(word),
            Some(_) => true,
        };
        arguments.iter().all(fits) && parameters.all(|parameter| parameter.starts_with('['))
    }
}

/// Finds the row of a line, and the line's arguments. The error says what would have been valid.
fn parse(line: &str) -> Result<(&'static Command, Vec<Argument>), String> {
    let (word, arguments) = call(line)?;
    let rows = || COMMANDS.iter().filter(|command| command.is_called(word));
    if let Some(command) = rows().find(|command| command.accepts(&arguments)) {
        return Ok((command, arguments));
    }
    let usages: Vec<&str> = rows().map(|command| command.usage).collect();
    Err(if usages.is_empty() { unknown(word) } else { format!("usage: {}", usages.join(" or ")) })
}

/// Words of Redis and of the text protocol that the console does not have, and its own line instead.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (&["set", "hset", "mset", "hmset"], "put BUCKET KEY VALUE"),
    (&["hget", "hmget", "mget"], "get BUCKET KEY"),
    (&["hdel"], "delete BUCKET KEY"),
    (&["del", "unlink"], "drop BUCKET` or `delete BUCKET KEY"),
    (&["hgetall", "show", "type", "exists", "ttl", "hlen", "strlen", "getrange"], "peek NAME"),
    (&["hkeys", "hscan"], "keys BUCKET"),
    (&["scan"], "buckets"),
    (&["info"], "status"),
    (&["lastsave"], "ranges"),
    (&["save", "bgsave", "bgrewriteaof"], "snapshot"),
];

fn unknown(word: &str) -> String {
    let is_there = |words: &[&str]| words.iter().any(|there| there.eq_ignore_ascii_case(word));
    if let Some((_, here)) = ELSEWHERE.iter().find(|(words, _)| is_there(words)) {
        return format!("unknown command {word:?}; here it is `{here}`");
    }
    match nearest(word, COMMANDS.iter().flat_map(Command::words)) {
        Some(command) => format!("unknown command {word:?}; did you mean `{command}`?"),
        None => format!("unknown command {word:?}; `help` lists the commands"),
    }
}

/// The parameters that a line still lacks, for a hint behind it.
pub(crate) fn missing_parameters(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let word = words.next().filter(|_| !line.contains(['(', '"']))?;
    let typed = words.count();
    let rows = COMMANDS.iter().filter(|command| command.is_called(word));
    let missing = rows.map(|command| command.usage.split(' ').skip(1 + typed).collect::<Vec<_>>().join(" "));
    let missing = missing.filter(|missing| !missing.is_empty()).collect::<Vec<_>>().join(" or ");
    let blank = if line.ends_with(' ') { "" } else { " " };
    (!missing.is_empty()).then(|| format!("{blank}{missing}"))
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
        .filter(|command| {
            topic.is_none_or(|topic| topic.as_bare().is_some_and(|word| command.is_called(word)))
        })
        .collect();
    if let (Some(topic), true) = (topic, rows.is_empty()) {
        return Err(unknown(&String::from_utf8_lossy(&topic.bytes)));
    }
    let mut text = columns(rows.iter().map(|command| [command.usage.to_owned(), command.help.to_owned()]));
    if topic.is_some() {
        let examples = rows.iter().map(|command| command.example).filter(|example| !example.is_empty());
        text.extend(examples.map(|example| format!("\nfor example: {example}")));
        let aliases: Vec<&str> = rows.iter().filter_map(|command| command.alias).collect();
        if !aliases.is_empty() {
            text += &format!("\nalso called: {}", aliases.join(", "));
        }
    } else {
        let aliases: Vec<&str> = COMMANDS.iter().filter_map(|command| command.alias).collect();
        text += &format!("\n\nAliases: {}.", aliases.join(", "));
        text += "\nWords may be in upper or lower case. A word with blanks goes in quotes, with the escapes \\\" \\\\ \\n \\r \\t \\xNN.";
    }
    Ok(Value::Text(text))
}

/// Ends the node, or starts it again, unless that would lose what a range has in memory alone.
fn send(node: &Node, command: ControlCommand) -> Outcome {
    if let Some(failure) = node.cluster.local().log_failure() {
        return Err(format!(
            "the node goes on: what it has acknowledged is in memory alone, and lost when it ends ({failure}); fix \
             that first, or `export`, or end it all the same with `kill {}`",
            std::process::id()
        ));
    }
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
        durable: !node.cluster.local().ranges().is_empty(),
        data_dir: node.cluster.local().data_dir().map(|data_dir| data_dir.display().to_string()),
        volatile: node.cluster.local().volatile_rows().map(str::to_owned).collect(),
        memory: node.cluster.local().stats().into(),
        up_seconds: node.started.elapsed().unwrap_or_default().as_secs(),
        started_unix_ms: u64::try_from(started.as_millis()).unwrap_or(u64::MAX),
    }))
}

fn version(node: &Node, _: &[Argument]) -> Outcome {
    Ok(Value::Text(format!("{} {}", node.release, node.version)))
}

/// Executes one request at the owner of its bucket.
async fn execute(node: &Node, bucket: &[u8], op: Op<'_>) -> Outcome {
    let local = node.cluster.node_name();
    let read = |reply: Reply<'_>| value_of(reply, local, bucket, op);
    match node.cluster.execute(Request::new(bucket, op), read).await {
        Ok(outcome) => outcome,
        // A range that halts at this operation is loaded again.
        Err(error @ Error::Range(_)) if op == Op::Crash && error.outcome() == RequestOutcome::Unknown => {
            Ok(Value::Text("crashed; its range is loaded again from its log, and nothing is lost".to_owned()))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn value_of(reply: Reply<'_>, local: &NodeName, bucket: &[u8], op: Op<'_>) -> Outcome {
    match reply {
        Reply::Done => Ok(Value::Done),
        Reply::Value(value) => Ok(Value::Bytes(Some(value.to_vec()))),
        Reply::OwnedValue(value) => Ok(Value::Bytes(Some(Box::<[u8]>::from(value).into()))),
        Reply::NoKey => Ok(Value::Bytes(None)),
        Reply::NoBucket => Err("NOT FOUND".to_owned()),
        // The command asked for the crash.
        Reply::Crashed if op == Op::Crash => Ok(Value::Done),
        failure => Err(describe_failure(local.as_str(), bucket, &failure)),
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
    fn words_are_the_same_in_both_cases_and_names_are_not() {
        assert_eq!(parsed("GET Shopping milk"), row("get BUCKET KEY", &[b"Shopping", b"milk"]));
        assert_eq!(parsed("NODE.LIST").0, "Node.list");
        assert_eq!(parsed("Tree 5").0, "tree [NODE] [CHILDREN]");
        assert!(stops_node("STOP"));
    }

    #[test]
    fn every_command_with_parameters_has_an_example_that_calls_it() {
        for command in COMMANDS {
            let line = if command.example.is_empty() { command.usage } else { command.example };
            assert_eq!(parsed(line).0, command.usage, "{line}");
        }
    }

    #[test]
    fn a_line_is_completed_with_the_parameters_that_it_lacks() {
        for (line, missing) in [
            ("put", Some(" BUCKET KEY VALUE")),
            ("PUT shopping ", Some("KEY VALUE")),
            ("put shopping milk", Some(" VALUE")),
            ("put shopping milk 1", None),
            ("crash ", Some("registry or BUCKET")),
            ("keys shopping", Some(" [PREFIX] [PAGE]")),
            ("status", None),
            ("pu", None),
            ("", None),
            ("Node.ping(", None),
        ] {
            assert_eq!(missing_parameters(line).as_deref(), missing, "{line}");
        }
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
        assert_eq!(parsed("tree"), row("tree [NODE] [CHILDREN]", &[]));
        assert_eq!(parsed("tree bar@a 100"), row("tree [NODE] [CHILDREN]", &[b"bar@a", b"100"]));
        assert!(parse("tree bar@a 100 100").is_err());
    }

    #[test]
    fn errors_say_what_would_be_valid() {
        for (line, message) in [
            ("buckts", "unknown command \"buckts\"; did you mean `buckets`?"),
            ("GETT shopping", "unknown command \"GETT\"; did you mean `get`?"),
            ("Node.lst", "unknown command \"Node.lst\"; did you mean `Node.list`?"),
            ("set a 1", "unknown command \"set\"; here it is `put BUCKET KEY VALUE`"),
            ("HGET a b", "unknown command \"HGET\"; here it is `get BUCKET KEY`"),
            ("hgetall a", "unknown command \"hgetall\"; here it is `peek NAME`"),
            ("SHOW a", "unknown command \"SHOW\"; here it is `peek NAME`"),
            ("del a", "unknown command \"del\"; here it is `drop BUCKET` or `delete BUCKET KEY`"),
            ("xyzzy", "unknown command \"xyzzy\"; `help` lists the commands"),
            ("get shopping", "usage: get BUCKET KEY"),
            ("crash", "usage: crash registry or crash BUCKET"),
        ] {
            assert_eq!(parse(line).err().as_deref(), Some(message), "{line}");
        }
    }

    #[test]
    fn a_word_from_elsewhere_is_no_word_here_and_leads_to_one_that_is() {
        for (words, lines) in ELSEWHERE {
            assert!(words.iter().all(|word| !COMMANDS.iter().any(|command| command.is_called(word))));
            for line in lines.split("` or `") {
                assert!(COMMANDS.iter().any(|command| command.is_called(first_word(line))), "{line}");
            }
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
        let local = "foo@host".parse().unwrap();
        let value = value_of(Reply::Number(1), &local, b"shopping", Op::Get { key: b"milk" });
        assert_eq!(value.err(), Some(Error::UnexpectedReply.to_string()));
    }
}
