//! HELP of each command that has subcommands, made from their rows.

use super::table::{ANY_TIME, Call, SessionCommand, boxed};
use crate::protocol::resp::reply::error::SessionError;
use kv::{CommandSpec, Group};

/// A row and its function for each of these commands.
macro_rules! help {
    ($($row:ident, $container:ident, $group:ident, $since:literal;)*) => {$(
        pub(super) const $row: SessionCommand = SessionCommand::new(
            CommandSpec::new(concat!(stringify!($container), "|help"), Group::$group)
                .arity(2)
                .flags(ANY_TIME)
                .since($since)
                .summary("Lists the subcommands"),
        )
        .run_async(boxed!($container));
        async fn $container(call: Call<'_, '_>) -> Result<(), SessionError> {
            write_help(call, stringify!($container))
        }
    )*};
}

help! {
    CLIENT_HELP, client, Connection, "5.0.0";
    COMMAND_HELP, command, Server, "5.0.0";
    CONFIG_HELP, config, Server, "5.0.0";
    DEBUG_HELP, debug, Server, "5.0.0";
    LATENCY_HELP, latency, Server, "5.0.0";
    MEMORY_HELP, memory, Server, "4.0.0";
    OBJECT_HELP, object, Generic, "6.2.0";
    PUBSUB_HELP, pubsub, Pubsub, "6.2.0";
    SLOWLOG_HELP, slowlog, Server, "6.2.0";
}

fn write_help(
    Call { table, session, output, .. }: Call<'_, '_>,
    container: &str,
) -> Result<(), SessionError> {
    let name = container.to_ascii_uppercase();
    let mut lines = vec![format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")];
    let container = table.find(container.as_bytes()).into_iter();
    for spec in container.flat_map(|container| table.subcommands(container)) {
        let subcommand = spec.name.split('|').next_back().unwrap_or(spec.name).to_ascii_uppercase();
        lines.push(format!("{subcommand} {}", spec.syntax).trim_end().to_owned());
        lines.push(format!("    {}.", spec.summary));
    }
    let mut encoder = session.encoder(output);
    encoder.array(lines.len());
    lines.iter().for_each(|line| encoder.simple_string(line));
    Ok(())
}
