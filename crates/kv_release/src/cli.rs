//! The command line: verbs and flags, and the help of each.

use crate::{
    config::{Flags, SECTIONS, layers::reference::reference},
    console::table::COMMANDS,
    exit_code,
    output::print_line,
    transfer::source::{self, Source},
};
use clap::{
    Arg, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand,
    error::{ContextKind, ContextValue},
};
use clap_complete::Shell;
use std::{ffi::OsString, path::PathBuf};

#[derive(Debug, Parser)]
#[command(
    disable_version_flag = true,
    disable_help_subcommand = true,
    about = "A key-value server that you can talk to",
    long_about = "A key-value server that you can talk to.\n\n\
                  Without a verb it starts the configured node; without a configuration that is one volatile \
                  node on 127.0.0.1."
)]
struct Cli {
    /// The configuration file [env: KV_CONFIG]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The name of this node in the file [env: KV_NODE]
    #[arg(long, short, global = true, value_name = "NAME@HOST")]
    node: Option<String>,
    /// Print the release's name and version
    #[arg(long, short = 'V')]
    version: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// What a release can do, as `mix release` names it.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start the node in the foreground; SIGTERM and Ctrl-C drain and end it
    Start {
        /// Leave the terminal's session; `daemon` starts itself with it.
        #[arg(long, hide = true)]
        detached: bool,
    },
    /// Start the node with a console on this terminal; leaving the console stops the node
    #[command(name = "start_iex", visible_alias = "start-iex")]
    StartIex,
    /// Start the node in the background and print its pid; `remote` opens a console on it
    #[command(
        visible_aliases = ["daemon_iex", "daemon-iex"],
        long_about = "Start the node in the background and print its pid; `remote` opens a console on it.\n\n\
                      It logs to the file NODE.log in the run directory (run_dir; by default \
                      $XDG_RUNTIME_DIR/kv, else /tmp/kv-UID), such as foo@127.0.0.1.log. The log of the start \
                      before is kept beside it as NODE.log.old."
    )]
    Daemon,
    /// Open a console on the running node; leaving it keeps the node running
    Remote,
    /// Evaluate an expression on the running node and print the result
    Rpc(Expression),
    /// Evaluate an expression on a private, empty store, without a running node
    Eval(Expression),
    /// Write the running node's buckets as JSON lines, while clients go on
    #[command(
        long_about = "Write the running node's buckets as JSON lines, while clients go on.\n\n\
                      Each line is a bucket, an entry of the bucket above it, or a string, with database and \
                      expiry (Unix time in milliseconds). It has what this node owns: export from each node \
                      of a cluster. Each entry is as it was when it was read.",
        after_help = "Examples:\n  foo export --to buckets.jsonl\n  foo export shopping"
    )]
    Export {
        /// Only the bucket or string of this name, in all databases
        name: Option<OsString>,
        /// The file to write, readable by its owner only and complete or not there; `-` for standard output
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Load buckets into the running node, from an export or a Redis server
    #[command(
        long_about = "Load buckets into the running node, from an export or a Redis server.\n\n\
                      Each name goes to the node that owns it. Names that exist are left as they are, unless \
                      --replace is given; the exit code is 1 if one of them has other contents. The lines of a bucket must follow each other.\n\n\
                      A Redis or Valkey server is only read. Its strings and hashes are copied, with their \
                      times to live, of all databases up to 15 or of one (/3); other types are counted.",
        after_help = "Examples:\n  foo import buckets.jsonl\n  bar export | foo import -\n  \
                      foo import redis://:password@10.0.0.5:6379"
    )]
    Import {
        /// A file that `export` wrote, `-` for standard input, or redis://[user:password@]host[:port][/db]
        #[arg(value_name = "SOURCE", value_parser = source::parse)]
        source: Source,
        /// Replace names that exist
        #[arg(long)]
        replace: bool,
    },
    /// Write all buckets of the running node, as they are at one moment, while clients go on
    #[command(
        long_about = "Write all buckets of the running node, as they are at one moment, while clients go on.\n\n\
                      It has what this node owns: back up each node of a cluster. If clients change more \
                      meanwhile than may be kept for it (storage.max_memory), it is given up and nothing is \
                      written.",
        after_help = "Examples:\n  foo backup shop.kvdb\n  foo backup - | zstd > shop.kvdb.zst\n  \
                      foo backup --verify shop.kvdb"
    )]
    Backup {
        /// The file to write, readable by its owner only and complete or not there; `-` for standard output
        file: PathBuf,
        /// Read the file instead (`-` for standard input), check every byte of it, and print what it holds
        #[arg(long)]
        verify: bool,
    },
    /// Load a backup into the running node, or into the data directory of a node that does not run
    #[command(
        long_about = "Load a backup into the running node, or into the data directory of a node that does not \
                      run.\n\n\
                      If the node has a data directory (--data-dir) that is not in use, it is filled; all of \
                      the backup is there then, or nothing. Otherwise the backup is loaded into the running \
                      node, and each name goes to the node that owns it. Node and directory must be empty. \
                      All of the file is checked before anything is loaded. What has expired is left out.",
        after_help = "Examples:\n  foo restore shop.kvdb\n  foo restore shop.kvdb --data-dir data"
    )]
    Restore {
        /// A file that `backup` wrote
        file: PathBuf,
    },
    /// Repair the data of a durable range that has stopped, while its node does not run
    #[command(subcommand)]
    Range(RangeVerb),
    /// Drain the running node and start it again in the same process; what is volatile is lost
    Restart,
    /// Drain the running node and end it
    Stop,
    /// Print the pid of the running node
    Pid,
    /// Print the release's name and version
    Version,
    /// Check the configuration and print what it means, without starting anything
    CheckConfig {
        /// Print every value that is in force, and where it comes from
        #[arg(long)]
        print: bool,
    },
    /// Print the completions of a shell
    Completions {
        /// The shell to complete for
        shell: Shell,
    },
    /// Print this help, the help of a verb, or with `config` the reference of all configuration keys
    Help {
        /// A verb, or `config`
        #[arg(value_name = "VERB", index = 1)]
        topic: Option<String>,
        /// What follows the verb, such as `skip`.
        #[arg(hide = true, index = 2)]
        rest: Vec<String>,
    },
}

/// What can be done to a range while its node does not run.
#[derive(Debug, Subcommand)]
pub(crate) enum RangeVerb {
    /// Leave out an entry of the log that crashes the range whenever it is executed
    #[command(
        long_about = "Leave out an entry of the log that crashes the range whenever it is executed.\n\n\
                      The log, and the error of each request, say which entry that is, once the range has \
                      stopped. All requests of the entry are printed, and are lost, although \
                      they were acknowledged: do not do it to any other entry. The node must not run, and \
                      executes the rest of the log when it starts.\n\n\
                      Before it asks, the log is opened as at a start of the node: what a crash has left at \
                      its end is cut off.",
        after_help = "Example:\n  foo range skip a..m 4711"
    )]
    Skip {
        /// The range as errors call it, such as a..m, or its directory, such as 1-1
        range: String,
        /// The index of the entry
        index: u64,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Make this node's replica the only one of its range, when the majority is gone for good
    #[command(
        long_about = "Make this node's replica the only one of its range, when the majority of its replicas is \
                      gone for good.\n\n\
                      What this replica has not received is lost, although it may have been acknowledged. What \
                      it has received and was not acknowledged counts as written. The replicas that are gone \
                      must never run again with their old data: wipe them first. The node must not run. When it \
                      has been started it serves alone, and nodes of the row that come with empty data \
                      directories become copies again by themselves. The range `meta` has replicas, too.",
        after_help = "Example:\n  foo range recover ..m --unsafe-from-this-replica"
    )]
    Recover {
        /// The range as errors call it, such as a..m or meta, or its directory, such as 1-1
        range: String,
        /// It is known that what this replica does not have is lost
        #[arg(long, required = true)]
        unsafe_from_this_replica: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Have this node get its replica of a range from the other nodes again, since it is damaged
    #[command(
        long_about = "Have this node get its replica of a range from the other nodes again, since it is \
                      damaged.\n\n\
                      The node must not run, and a majority of the others has to have the range. The replica is \
                      moved into the directory `replaced` of the data directory, and the node makes an empty one \
                      when it starts.",
        after_help = "Example:\n  foo range rebuild ..m"
    )]
    Rebuild {
        /// The range as errors call it, such as a..m or meta
        range: String,
    },
}

/// A line for the console.
#[derive(Debug, Parser)]
pub(crate) struct Expression {
    /// For example: nodes, tree, 'get shopping milk', 'Node.connect(:"bar@127.0.0.1")'
    #[arg(required = true, value_name = "EXPR")]
    words: Vec<String>,
    /// Print JSON, for scripts
    #[arg(long)]
    pub(crate) json: bool,
    /// With `routes`: print what the configuration should say
    #[arg(long)]
    toml: bool,
}

impl Expression {
    /// The line that the words make.
    pub(crate) fn line(&self) -> String {
        let toml = self.toml.then_some("--toml");
        self.words.iter().map(String::as_str).chain(toml).collect::<Vec<_>>().join(" ")
    }
}

/// The command of one release, with its name in every usage line. Flags that set a key come from the key.
pub(crate) fn command(release: &'static str) -> clap::Command {
    let keys = SECTIONS.iter().flat_map(|section| section.keys);
    let flags = keys.filter_map(|key| {
        let flag = key.flag?;
        let variable = key.variable.map(|variable| format!(" [env: {variable}]")).unwrap_or_default();
        let help = format!("{}{variable}", key.help.trim_end_matches('.'));
        Some(Arg::new(flag.name).long(flag.name).global(true).value_name(flag.value_name).help(help))
    });
    let command = Cli::command()
        .name(release)
        .bin_name(release)
        .override_usage(format!("{release} [FLAGS] [VERB]"))
        .after_help(exit_code::TABLE)
        .args(flags);
    let verbs = command.get_subcommands().map(|verb| verb.get_name().to_owned());
    let topics: Vec<_> = verbs.chain(["config".to_owned()]).collect();
    command.mut_subcommand("help", |help| {
        help.mut_arg("topic", |topic| topic.value_parser(topics).hide_possible_values(true))
    })
}

/// Parses the command line; on an error, or if --help was given, prints it and exits. No verb is a start.
pub(crate) fn parse(release: &'static str) -> (Flags, Verb) {
    let matches = command(release).try_get_matches().unwrap_or_else(|error| with_hint(release, error).exit());
    from_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Adds what may have been meant by a word that is no verb.
fn with_hint(release: &str, mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    if COMMANDS.iter().any(|command| command.words().next() == Some(word)) {
        let hint = format!("the console has this word: {release} rpc {word}");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
    }
    error
}

fn from_matches(matches: &ArgMatches) -> Result<(Flags, Verb), clap::Error> {
    let Cli { config, node, version, verb } = Cli::from_arg_matches(matches)?;
    let names = SECTIONS.iter().flat_map(|section| section.keys).filter_map(|key| Some(key.flag?.name));
    let values = names.filter_map(|name| Some((name, matches.get_one::<String>(name)?.clone()))).collect();
    let verb = match verb {
        _ if version => Verb::Version,
        Some(verb) => verb,
        None => Verb::Start { detached: false },
    };
    Ok((Flags { config, node, values }, verb))
}

/// Prints the help of the release, of a verb, or of the configuration; of a part of the verb, if `rest` names
/// one.
pub(crate) fn print_help(release: &'static str, topic: Option<&str>, rest: &[String]) {
    let mut command = command(release);
    command.build();
    let text = match topic {
        Some("config") => reference(SECTIONS),
        Some(verb) => {
            let mut verb = command.find_subcommand_mut(verb).expect("a topic is a verb");
            for part in rest {
                if verb.find_subcommand(part).is_none() {
                    break;
                }
                verb = verb.find_subcommand_mut(part).expect("it is there");
            }
            verb.render_long_help().to_string()
        }
        None => command.render_long_help().to_string(),
    };
    print_line(text.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> (Flags, Verb) {
        let matches = command("foo").try_get_matches_from(line.split(' ')).expect("a valid line");
        from_matches(&matches).expect("a valid line")
    }

    #[test]
    fn the_definition_is_sound() {
        command("foo").debug_assert();
    }

    #[test]
    fn no_verb_is_a_start() {
        for line in ["foo", "foo start"] {
            assert!(matches!(parsed(line).1, Verb::Start { detached: false }));
        }
    }

    #[test]
    fn the_version_is_a_verb_and_a_flag() {
        for line in ["foo version", "foo --version", "foo -V"] {
            assert!(matches!(parsed(line).1, Verb::Version), "{line}");
        }
    }

    #[test]
    fn every_daemon_has_a_console() {
        for line in ["foo daemon", "foo daemon_iex", "foo daemon-iex"] {
            assert!(matches!(parsed(line).1, Verb::Daemon), "{line}");
        }
    }

    #[test]
    fn flags_stand_before_or_after_the_verb() {
        for line in [
            "foo --config a.toml --log-level debug rpc nodes --json",
            "foo rpc nodes --json --config a.toml --log-level debug",
        ] {
            let (flags, verb) = parsed(line);
            assert_eq!(flags.config, Some("a.toml".into()));
            assert_eq!(flags.value("log-level"), Some("debug"));
            assert_eq!(flags.value("clients"), None);
            let Verb::Rpc(expression) = verb else { panic!("{line}") };
            assert!(expression.json);
            assert_eq!(expression.line(), "nodes");
        }
    }

    #[test]
    fn help_completes_verbs_and_config() {
        let mut script = Vec::new();
        clap_complete::generate(clap_complete::Shell::Bash, &mut command("foo"), "foo", &mut script);
        let script = String::from_utf8(script).expect("a script is text");
        let topics = script.lines().find(|line| line.contains("restart") && line.contains("config"));
        assert!(topics.is_some_and(|line| line.contains("check-config")), "{script}");
        let (_, Verb::Help { topic, .. }) = parsed("foo help config") else { panic!() };
        assert_eq!(topic.as_deref(), Some("config"));
        assert!(command("foo").try_get_matches_from(["foo", "help", "nothing"]).is_err());
    }

    #[test]
    fn an_expression_may_be_many_words() {
        let Verb::Rpc(expression) = parsed("foo rpc routes --toml").1 else { panic!() };
        assert_eq!(expression.line(), "routes --toml");
        let Verb::Rpc(expression) = parsed("foo rpc get shopping milk").1 else { panic!() };
        assert_eq!(expression.line(), "get shopping milk");
    }
}
