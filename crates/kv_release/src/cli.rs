//! The command line: verbs and flags, and the help of each.

use crate::exit_code;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use std::{ffi::OsString, path::PathBuf};

/// What a release was asked to do.
#[derive(Debug, Parser)]
#[command(
    disable_version_flag = true,
    override_usage = "<RELEASE> [FLAGS] [VERB]",
    about = "A key-value server that you can talk to",
    long_about = "A key-value server that you can talk to.\n\nWithout a verb it starts a node on what is configured; without a configuration that is one volatile node on 127.0.0.1."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) flags: Flags,
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// Flags go before the environment, which goes before the file. All verbs take them, since the
/// running node is found by the same configuration that started it.
#[derive(Debug, Default, Clone, Parser)]
pub(crate) struct Flags {
    /// The configuration file [env: KV_CONFIG]
    #[arg(long, short, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Which node of the file this is [env: KV_NODE]
    #[arg(long, short, global = true, value_name = "NAME@HOST")]
    pub(crate) node: Option<String>,
    /// Where clients connect [env: KV_CLIENTS]
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    pub(crate) clients: Option<String>,
    /// Where other nodes connect [env: KV_LINK]
    #[arg(long, global = true, value_name = "HOST:PORT")]
    pub(crate) link: Option<String>,
    /// Where the control socket and the pid file are [env: KV_RUN_DIR]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    pub(crate) run_dir: Option<String>,
    /// error, warn, info, debug or trace, or target=level,... [env: KV_LOG]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// text or json [env: KV_LOG_FORMAT]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}

impl Flags {
    /// The flags as they would be typed, for a release that starts itself.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let text = |text: &Option<String>| text.as_ref().map(OsString::from);
        [
            ("--config", self.config.as_ref().map(OsString::from)),
            ("--node", text(&self.node)),
            ("--clients", text(&self.clients)),
            ("--link", text(&self.link)),
            ("--run-dir", text(&self.run_dir)),
            ("--log-level", text(&self.log_level)),
            ("--log-format", text(&self.log_format)),
        ]
        .into_iter()
        .filter_map(|(flag, value)| Some([flag.into(), value?]))
        .flatten()
        .collect()
    }
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
    /// Start the node in the background and print its pid
    Daemon,
    /// Open a console on the running node; leaving it keeps the node running
    Remote,
    /// Evaluate an expression on the running node and print the result
    Rpc(Expression),
    /// Evaluate an expression on an empty store of its own, without a running node
    Eval(Expression),
    /// Drain the running node and start it again in the same process
    Restart,
    /// Drain the running node and end it
    Stop,
    /// Print the pid of the running node
    Pid,
    /// Print the release's name and version
    Version,
    /// Check the configuration, say what it means, and start nothing
    CheckConfig,
    /// Print the completions of a shell
    Completions {
        /// The shell to complete for
        shell: Shell,
    },
}

/// What the console would take as one line.
#[derive(Debug, Parser)]
pub(crate) struct Expression {
    /// For example: nodes, tree, 'get shopping milk', 'Node.connect(:"bar@127.0.0.1")'
    #[arg(required = true, value_name = "EXPR")]
    words: Vec<String>,
    /// Print JSON, for scripts
    #[arg(long)]
    pub(crate) json: bool,
}

impl Expression {
    /// The line that the words make.
    pub(crate) fn line(&self) -> String {
        self.words.join(" ")
    }
}

/// The command of one release, with its name in every usage line.
pub(crate) fn command(release: &'static str) -> clap::Command {
    Cli::command()
        .name(release)
        .bin_name(release)
        .override_usage(format!("{release} [FLAGS] [VERB]"))
        .after_help(exit_code::TABLE)
}

/// Reads the command line; on a mistake, or when help was asked for, prints it and exits.
pub(crate) fn parse(release: &'static str) -> Cli {
    Cli::from_arg_matches(&command(release).get_matches()).unwrap_or_else(|error| error.exit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Cli {
        let matches = command("foo").try_get_matches_from(line.split(' ')).expect("a good line");
        Cli::from_arg_matches(&matches).expect("a good line")
    }

    #[test]
    fn the_definition_is_sound() {
        command("foo").debug_assert();
    }

    #[test]
    fn no_verb_is_a_start() {
        assert!(parsed("foo").verb.is_none());
        assert!(matches!(parsed("foo start").verb, Some(Verb::Start { detached: false })));
    }

    #[test]
    fn flags_stand_before_or_after_the_verb() {
        for line in ["foo --config a.toml rpc nodes --json", "foo rpc nodes --json --config a.toml"] {
            let cli = parsed(line);
            assert_eq!(cli.flags.config, Some("a.toml".into()));
            let Some(Verb::Rpc(expression)) = cli.verb else { panic!("{line}") };
            assert!(expression.json);
            assert_eq!(expression.line(), "nodes");
        }
    }

    #[test]
    fn an_expression_may_be_many_words() {
        let Some(Verb::Rpc(expression)) = parsed("foo rpc get shopping milk").verb else { panic!() };
        assert_eq!(expression.line(), "get shopping milk");
    }
}
