//! The table of commands by name: kv's commands on buckets, and the commands of the session.

use crate::{
    pipeline::buffers::Output,
    protocol::resp::{
        encoder::RespEncoder,
        parser::RawCommand,
        reply::error::{SessionError, quoted},
        session::RespSession,
    },
};
use foldhash::fast::RandomState;
use kv::{
    Args, Command, CommandError, CommandSpec,
    flag::{LOADING, PUBSUB, STALE},
};
use std::{collections::HashMap, fmt, pin::Pin};

/// All commands that a Redis client can call.
#[derive(Debug)]
pub(crate) struct CommandTable {
    entries: Vec<Entry>,
    by_name: HashMap<&'static [u8], usize, RandomState>,
}

#[derive(Debug)]
struct Entry {
    command: CommandRef,
    /// The first argument is the name of a subcommand, which has a row of its own.
    has_subcommands: bool,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CommandRef {
    /// A command on buckets.
    Bucket(&'static Command),
    /// A command of the session.
    Session(&'static SessionCommand),
}

/// A command that a client has sent, with its row; the number of its arguments is right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resolved<'a> {
    pub(crate) command: CommandRef,
    /// The index of the row.
    pub(crate) index: usize,
    /// What the client has sent, without the argument that names a subcommand.
    pub(crate) raw: RawCommand<'a>,
}

/// A command of the session: about the connection, the server, or all keys.
pub(crate) struct SessionCommand {
    pub(super) spec: CommandSpec,
    /// A subscribed client may call it, even in RESP2.
    pub(super) allowed_while_subscribed: bool,
    /// It is queued between MULTI and EXEC.
    pub(super) queued_in_multi: bool,
    /// It yields between its arguments, so there may be any number.
    pub(super) yields_between_arguments: bool,
    handler: Handler,
}

/// How a command of the session is executed.
#[derive(Clone, Copy)]
enum Handler {
    /// Not at all: it only has subcommands.
    Container,
    Sync(SyncHandler),
    Async(AsyncHandler),
}

type SyncHandler = fn(&mut RespSession, Args<'_>, &mut RespEncoder<'_>) -> Result<(), SessionError>;
type AsyncHandler = for<'c, 'o> fn(Call<'c, 'o>) -> Handling<'c>;
type Handling<'c> = Pin<Box<dyn Future<Output = Result<(), SessionError>> + Send + 'c>>;

/// The arguments of an asynchronous handler, which may wait for other nodes or for the client to read.
pub(crate) struct Call<'c, 'o> {
    pub(crate) table: &'c CommandTable,
    pub(crate) session: &'c mut RespSession,
    /// The arguments after the name.
    pub(crate) args: Args<'c>,
    pub(crate) output: &'c mut Output<'o>,
}

/// Makes an `async fn` the handler of a row.
macro_rules! boxed {
    ($handler:path) => {
        |call| Box::pin($handler(call))
    };
}
pub(super) use boxed;

/// Flags of commands that need neither data nor an up-to-date replica.
pub(super) const ANY_TIME: u16 = LOADING | STALE;

/// Bytes of the longest name of a command.
const LONGEST_NAME: usize = 32;

/// Bytes of the arguments of an unknown command that the error quotes.
const QUOTED_ARGUMENTS: usize = 128;

impl CommandTable {
    /// A table of these commands, in this order.
    pub(super) fn new(commands: impl Iterator<Item = CommandRef>) -> CommandTable {
        let commands: Vec<CommandRef> = commands.collect();
        let has_subcommands = |name| commands.iter().any(|other| container(other.spec()) == Some(name));
        let entry = |command: &CommandRef| Entry {
            command: *command,
            has_subcommands: has_subcommands(command.spec().name),
        };
        let names = commands.iter().map(|command| command.spec().name.as_bytes());
        let by_name = names.enumerate().map(|(index, name)| (name, index)).collect();
        CommandTable { entries: commands.iter().map(entry).collect(), by_name }
    }

    /// The number of commands, subcommands included.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The rows in their order, subcommands included.
    pub(crate) fn specs(&self) -> impl Iterator<Item = &'static CommandSpec> {
        self.entries.iter().map(|entry| entry.command.spec())
    }

    /// The subcommands of a command.
    pub(super) fn subcommands(&self, spec: &CommandSpec) -> Vec<&'static CommandSpec> {
        self.specs().filter(|other| container(other) == Some(spec.name)).collect()
    }

    /// The row with this index.
    pub(super) fn get(&self, index: usize) -> CommandRef {
        self.entries[index].command
    }

    /// The row with this name, in any case; subcommands are named `client|id`.
    pub(crate) fn find(&self, name: &[u8]) -> Option<&'static CommandSpec> {
        self.index(name).map(|index| self.get(index).spec())
    }

    /// The index of the row with this name, in any case.
    pub(crate) fn index(&self, name: &[u8]) -> Option<usize> {
        let mut lower = [0; LONGEST_NAME];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.by_name.get(&*lower).copied()
    }

    /// Whether there is a command on buckets with this name.
    pub(crate) fn is_on_buckets(&self, name: &[u8]) -> bool {
        self.index(name).is_some_and(|index| matches!(self.get(index), CommandRef::Bucket(_)))
    }

    /// Finds the row of a command and checks the number of its arguments.
    pub(crate) fn resolve<'a>(&self, raw: &RawCommand<'a>) -> Result<Resolved<'a>, SessionError> {
        let resolved = self.locate(raw)?;
        let &CommandSpec { arity, name, .. } = resolved.command.spec();
        let wanted = arity.unsigned_abs() as usize;
        if raw.count == wanted || (arity < 0 && raw.count > wanted) {
            Ok(resolved)
        } else {
            Err(CommandError::Arity(name.to_owned()).into())
        }
    }

    /// Finds the row of a command.
    pub(crate) fn locate<'a>(&self, raw: &RawCommand<'a>) -> Result<Resolved<'a>, SessionError> {
        let index = self.index(raw.name).filter(|index| !self.get(*index).is_subcommand());
        let mut index = index.ok_or_else(|| unknown_command(raw))?;
        let mut own = *raw;
        if self.entries[index].has_subcommands
            && let Some(word) = raw.args().next()
        {
            index = self.subcommand(self.get(index).spec().name, word)?;
            own = raw.skip_argument();
        }
        Ok(Resolved { command: self.get(index), index, raw: own })
    }

    fn subcommand(&self, container: &str, word: &[u8]) -> Result<usize, SessionError> {
        self.index(&[container.as_bytes(), b"|", word].concat()).ok_or_else(|| {
            let after = format!("'. Try {} HELP.", container.to_ascii_uppercase());
            SessionError::quoting("ERR unknown subcommand '", word, &after)
        })
    }
}

impl CommandRef {
    /// The description of the command.
    pub(crate) fn spec(&self) -> &'static CommandSpec {
        match self {
            CommandRef::Bucket(command) => &command.spec,
            CommandRef::Session(command) => &command.spec,
        }
    }

    /// Whether it is a subcommand.
    pub(crate) fn is_subcommand(&self) -> bool {
        container(self.spec()).is_some()
    }

    /// Whether a subscribed client may call it in RESP2.
    pub(super) fn is_allowed_while_subscribed(&self) -> bool {
        matches!(self, CommandRef::Session(command) if command.allowed_while_subscribed)
    }

    /// Whether it begins or ends subscriptions.
    pub(super) fn is_subscription(&self) -> bool {
        self.is_allowed_while_subscribed() && self.spec().has(PUBSUB)
    }

    /// Whether it is queued between MULTI and EXEC.
    pub(super) fn is_queued_in_multi(&self) -> bool {
        match self {
            CommandRef::Bucket(_) => true,
            CommandRef::Session(command) => command.queued_in_multi,
        }
    }
}

impl SessionCommand {
    /// A command without a handler, which only has subcommands.
    pub(super) const fn new(spec: CommandSpec) -> SessionCommand {
        SessionCommand {
            spec,
            allowed_while_subscribed: false,
            queued_in_multi: true,
            yields_between_arguments: false,
            handler: Handler::Container,
        }
    }

    /// Allows subscribed clients to call it, even in RESP2.
    pub(super) const fn allowed_while_subscribed(self) -> SessionCommand {
        SessionCommand { allowed_while_subscribed: true, ..self }
    }

    /// Executes it at once, even after MULTI.
    pub(super) const fn never_queued(self) -> SessionCommand {
        SessionCommand { queued_in_multi: false, ..self }
    }

    /// Allows any number of arguments: its handler yields between them.
    pub(super) const fn yields_between_arguments(self) -> SessionCommand {
        SessionCommand { yields_between_arguments: true, ..self }
    }

    /// Executes it by `handler`, which never waits.
    pub(super) const fn run(self, handler: SyncHandler) -> SessionCommand {
        SessionCommand { handler: Handler::Sync(handler), ..self }
    }

    /// Executes it by `handler`, an `async fn` made a handler by [`boxed`].
    pub(super) const fn run_async(self, handler: AsyncHandler) -> SessionCommand {
        SessionCommand { handler: Handler::Async(handler), ..self }
    }

    /// Executes the command.
    pub(super) async fn execute(&self, call: Call<'_, '_>) -> Result<(), SessionError> {
        match self.handler {
            Handler::Container => Err(CommandError::Arity(self.spec.name.to_owned()).into()),
            Handler::Sync(handler) => {
                let mut encoder = call.session.encoder(call.output);
                handler(call.session, call.args, &mut encoder)
            }
            Handler::Async(handler) => handler(call).await,
        }
    }
}

impl fmt::Debug for SessionCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spec.name)
    }
}

/// The name of the command that a subcommand belongs to.
fn container(spec: &CommandSpec) -> Option<&'static str> {
    spec.name.split_once('|').map(|(container, _)| container)
}

fn unknown_command(raw: &RawCommand<'_>) -> SessionError {
    let mut message = [b"ERR unknown command '", quoted(raw.name), b"', with args beginning with: "].concat();
    let end = message.len() + QUOTED_ARGUMENTS;
    for arg in raw.args() {
        if message.len() >= end {
            break;
        }
        let arg = &arg[..arg.len().min(end - message.len())];
        message.extend([b"'", quoted(arg), b"' "].concat());
    }
    SessionError::Reply(message.into())
}

#[cfg(test)]
mod tests {
    use super::super::command_table;
    use super::*;
    use crate::pipeline::buffers::ReplyBuffer;

    fn resolved(line: &str) -> Result<&'static str, String> {
        let mut words = line.split(' ');
        let name = words.next().expect("a name").as_bytes();
        let (mut bulks, mut count) = (Vec::new(), 1);
        for word in words {
            kv::args::push(&mut bulks, word.as_bytes());
            count += 1;
        }
        let resolved = command_table().resolve(&RawCommand { count, name, bulks: &bulks });
        resolved.map(|resolved| resolved.command.spec().name).map_err(|error| {
            let mut bytes = ReplyBuffer::default();
            error.write(&mut RespEncoder::new(&mut bytes, Default::default())).expect("an error reply");
            String::from_utf8(bytes.to_vec()).expect("text")
        })
    }

    #[test]
    fn names_are_found_in_any_case_and_once() {
        assert_eq!(resolved("GeT milk"), Ok("get"));
        assert_eq!(resolved("client Id"), Ok("client|id"));
        let table = command_table();
        assert!(
            table.specs().enumerate().all(|(index, spec)| table.index(spec.name.as_bytes()) == Some(index))
        );
    }

    #[test]
    fn errors_are_in_rediss_words() {
        for (line, error) in [
            ("get", "ERR wrong number of arguments for 'get' command"),
            ("get a b", "ERR wrong number of arguments for 'get' command"),
            ("client", "ERR wrong number of arguments for 'client' command"),
            ("CLIENT id 1", "ERR wrong number of arguments for 'client|id' command"),
            ("client foo", "ERR unknown subcommand 'foo'. Try CLIENT HELP."),
            ("client|id", "ERR unknown command 'client|id', with args beginning with: "),
            ("foo", "ERR unknown command 'foo', with args beginning with: "),
            ("foo a b", "ERR unknown command 'foo', with args beginning with: 'a' 'b' "),
        ] {
            assert_eq!(resolved(line), Err(format!("-{error}\r\n")), "{line}");
        }
    }
}
