//! The COMMAND commands: describe the table of commands.

use super::{
    metadata::{categories, key_flags, key_flags_of_call, tips},
    syntax,
    table::{ANY_TIME, Call, CommandTable, SessionCommand, boxed},
};
use crate::{
    pipeline::buffers::Output,
    protocol::resp::{encoder::RespEncoder, parser::RawCommand, reply::error::SessionError},
};
use kv::{Args, CommandError, CommandSpec, Group, KeySpec, flag};
use std::io;
use tokio::task::yield_now;

pub(super) const COMMAND: SessionCommand = SessionCommand::new(
    CommandSpec::new("command", Group::Server)
        .arity(-1)
        .flags(ANY_TIME)
        .since("2.8.13")
        .summary("Describes all commands"),
)
.run_async(boxed!(info));

pub(super) const COMMAND_COUNT: SessionCommand = SessionCommand::new(
    CommandSpec::new("command|count", Group::Server)
        .arity(2)
        .flags(ANY_TIME)
        .since("2.8.13")
        .summary("Number of commands"),
)
.run_async(boxed!(count));
async fn count(Call { table, session, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    session.encoder(output).integer(top_level(table).count() as i64);
    Ok(())
}

pub(super) const COMMAND_INFO: SessionCommand = SessionCommand::new(
    CommandSpec::new("command|info", Group::Server)
        .arity(-2)
        .flags(ANY_TIME)
        .since("2.8.13")
        .syntax("[command-name [command-name ...]]")
        .summary("Arity, flags and key positions of commands"),
)
.run_async(boxed!(info));
async fn info(Call { table, session, args, output }: Call<'_, '_>) -> Result<(), SessionError> {
    let specs: Vec<Option<&CommandSpec>> = if args.is_empty() {
        top_level(table).map(Some).collect()
    } else {
        args.map(|name| table.find(name)).collect()
    };
    session.encoder(output).array(specs.len());
    for spec in specs {
        let mut encoder = session.encoder(output);
        match spec {
            Some(spec) => write_info(&mut encoder, table, spec),
            None => encoder.null(),
        }
        write_if_full(output).await?;
    }
    Ok(())
}

pub(super) const COMMAND_DOCS: SessionCommand = SessionCommand::new(
    CommandSpec::new("command|docs", Group::Server)
        .arity(-2)
        .flags(ANY_TIME)
        .since("7.0.0")
        .syntax("[command-name [command-name ...]]")
        .summary("Documents commands"),
)
.run_async(boxed!(docs));
async fn docs(Call { table, session, args, output }: Call<'_, '_>) -> Result<(), SessionError> {
    let specs: Vec<&CommandSpec> = if args.is_empty() {
        top_level(table).collect()
    } else {
        args.filter_map(|name| table.find(name)).collect()
    };
    session.encoder(output).map(specs.len());
    for spec in specs {
        write_docs(&mut session.encoder(output), table, spec);
        write_if_full(output).await?;
    }
    Ok(())
}

/// Writes the output if it is full. Then other connections of this thread run, too.
async fn write_if_full(output: &mut Output<'_>) -> io::Result<()> {
    if output.is_full() {
        output.flush().await?;
        yield_now().await;
    }
    Ok(())
}

pub(super) const COMMAND_LIST: SessionCommand = SessionCommand::new(
    CommandSpec::new("command|list", Group::Server)
        .arity(-2)
        .flags(ANY_TIME)
        .since("7.0.0")
        .syntax("[FILTERBY MODULE module-name|ACLCAT category|PATTERN pattern]")
        .summary("Lists the names of commands"),
)
.run_async(boxed!(list));
async fn list(Call { table, session, mut args, output }: Call<'_, '_>) -> Result<(), SessionError> {
    let filter = match (args.next(), args.next(), args.next(), args.next()) {
        (None, ..) => None,
        (Some(by), Some(kind), Some(value), None) if by.eq_ignore_ascii_case(b"filterby") => {
            Some((kind.to_ascii_lowercase(), value.to_ascii_lowercase()))
        }
        _ => return Err(CommandError::Syntax.into()),
    };
    let specs: Vec<&CommandSpec> = match filter.as_ref().map(|(kind, value)| (kind.as_slice(), value)) {
        None => table.specs().collect(),
        Some((b"module", _)) => Vec::new(),
        Some((b"aclcat", category)) => {
            let belongs = |known: &&str| known.as_bytes()[1..] == **category;
            table.specs().filter(|spec| categories(spec).iter().any(belongs)).collect()
        }
        Some((b"pattern", pattern)) => {
            table.specs().filter(|spec| kv::syntax::glob::matches(pattern, spec.name.as_bytes())).collect()
        }
        Some(_) => return Err(CommandError::Syntax.into()),
    };
    let mut encoder = session.encoder(output);
    encoder.array(specs.len());
    specs.iter().for_each(|spec| encoder.bulk(spec.name.as_bytes()));
    Ok(())
}

pub(super) const COMMAND_GETKEYS: SessionCommand = SessionCommand::new(
    CommandSpec::new("command|getkeys", Group::Server)
        .arity(-3)
        .flags(ANY_TIME)
        .since("2.8.13")
        .syntax("command [arg [arg ...]]")
        .summary("Extracts the keys from a command"),
)
.run_async(boxed!(getkeys));
async fn getkeys(Call { table, session, args, output }: Call<'_, '_>) -> Result<(), SessionError> {
    let (_, keys) = keys_of_call(table, args)?;
    let mut encoder = session.encoder(output);
    encoder.array(keys.len());
    keys.iter().for_each(|key| encoder.bulk(key));
    Ok(())
}

pub(super) const COMMAND_GETKEYSANDFLAGS: SessionCommand = SessionCommand::new(
    CommandSpec::new("command|getkeysandflags", Group::Server)
        .arity(-3)
        .flags(ANY_TIME)
        .since("7.0.0")
        .syntax("command [arg [arg ...]]")
        .summary("Extracts the keys from a command, and what it does with them"),
)
.run_async(boxed!(getkeysandflags));
async fn getkeysandflags(Call { table, session, args, output }: Call<'_, '_>) -> Result<(), SessionError> {
    let (spec, keys) = keys_of_call(table, args)?;
    let places = key_flags_of_call(spec, args);
    let mut encoder = session.encoder(output);
    encoder.array(keys.len());
    for (number, key) in keys.iter().enumerate() {
        encoder.array(2);
        encoder.bulk(key);
        write_set(&mut encoder, places[number.min(places.len() - 1)]);
    }
    Ok(())
}

/// The command whose name and arguments these are, and its keys.
fn keys_of_call<'a>(
    table: &CommandTable,
    args: Args<'a>,
) -> Result<(&'static CommandSpec, Vec<&'a [u8]>), SessionError> {
    let words: Vec<&[u8]> = args.collect();
    let mut own = args;
    let name = own.next().ok_or(CommandError::Syntax)?;
    table.find(name).ok_or_else(|| SessionError::reply("ERR Invalid command specified"))?;
    let resolved = table
        .resolve(&RawCommand { count: words.len(), name, bulks: own.bulks() })
        .map_err(|_| SessionError::reply("ERR Invalid number of arguments specified for command"))?;
    let spec = resolved.command.spec();
    let (first, last, step) = key_positions(spec);
    if first == 0 {
        return Err(SessionError::reply("ERR The command has no key arguments"));
    }
    let last = if last < 0 { words.len() as i64 + last } else { last };
    let keys = words.into_iter().take(last as usize + 1).skip(first as usize).step_by(step as usize);
    Ok((spec, keys.collect()))
}

/// The commands that are not subcommands of others.
fn top_level(table: &CommandTable) -> impl Iterator<Item = &'static CommandSpec> {
    table.specs().filter(|spec| !spec.name.contains('|'))
}

/// The positions of the keys: the first, the last (negative: counted from the end), and the step between
/// keys.
fn key_positions(spec: &CommandSpec) -> (i64, i64, i64) {
    let (first, last, step) = match spec.keys {
        KeySpec::None => return (0, 0, 0),
        KeySpec::One => (1, 1, 1),
        KeySpec::TwoTogether => (1, 2, 1),
        KeySpec::EachSummed | KeySpec::EachListed => (1, -1, 1),
        KeySpec::PairsEach | KeySpec::PairsTogether => (1, -1, 2),
    };
    let after = i64::from(spec.name.contains('|'));
    (first + after, if last > 0 { last + after } else { last }, step)
}

fn flags(spec: &CommandSpec) -> impl Iterator<Item = &'static str> {
    let flags = spec.flags;
    flag::NAMES.into_iter().enumerate().filter(move |(bit, _)| flags & 1 << bit != 0).map(|(_, name)| name)
}

/// Writes one command as an entry of COMMAND INFO.
fn write_info(encoder: &mut RespEncoder<'_>, table: &CommandTable, spec: &CommandSpec) {
    let (first, last, step) = key_positions(spec);
    encoder.array(10);
    encoder.bulk(spec.name.as_bytes());
    encoder.integer(spec.arity.into());
    encoder.set(flags(spec).count());
    flags(spec).for_each(|flag| encoder.simple_string(flag));
    [first, last, step].into_iter().for_each(|position| encoder.integer(position));
    write_set(encoder, &categories(spec));
    encoder.set(tips(spec).len());
    tips(spec).iter().for_each(|tip| encoder.bulk(tip.as_bytes()));
    write_key_specs(encoder, spec);
    let subcommands = table.subcommands(spec);
    encoder.array(subcommands.len());
    subcommands.into_iter().for_each(|spec| write_info(encoder, table, spec));
}

/// Writes a set of words.
fn write_set(encoder: &mut RespEncoder<'_>, words: &[&str]) {
    encoder.set(words.len());
    words.iter().for_each(|word| encoder.simple_string(word));
}

/// Writes where the keys of a command are, and what happens to them, as COMMAND INFO describes it.
fn write_key_specs(encoder: &mut RespEncoder<'_>, spec: &CommandSpec) {
    let (first, last, step) = key_positions(spec);
    let flags = if first == 0 { &[] } else { key_flags(spec) };
    encoder.set(flags.len());
    for (key, flags) in (first..).zip(flags) {
        encoder.map(3);
        encoder.bulk(b"flags");
        write_set(encoder, flags);
        // The last key, from the first one or from the end.
        let last = if last < 0 { last } else { 0 };
        write_search(encoder, "begin_search", "index", &[("index", key)]);
        write_search(encoder, "find_keys", "range", &[("lastkey", last), ("keystep", step), ("limit", 0)]);
    }
}

fn write_search(encoder: &mut RespEncoder<'_>, name: &str, kind: &str, fields: &[(&str, i64)]) {
    encoder.bulk(name.as_bytes());
    encoder.map(2);
    encoder.bulk(b"type");
    encoder.bulk(kind.as_bytes());
    encoder.bulk(b"spec");
    encoder.map(fields.len());
    for (field, value) in fields {
        encoder.bulk(field.as_bytes());
        encoder.integer(*value);
    }
}

/// Writes one command as an entry of COMMAND DOCS.
fn write_docs(encoder: &mut RespEncoder<'_>, table: &CommandTable, spec: &CommandSpec) {
    let (arguments, subcommands) = (syntax::parse(spec.syntax), table.subcommands(spec));
    encoder.bulk(spec.name.as_bytes());
    encoder.map(3 + usize::from(!arguments.is_empty()) + usize::from(!subcommands.is_empty()));
    for (field, value) in [("summary", spec.summary), ("since", spec.since), ("group", spec.group.name())] {
        encoder.bulk(field.as_bytes());
        encoder.bulk(value.as_bytes());
    }
    if !arguments.is_empty() {
        encoder.bulk(b"arguments");
        syntax::write(encoder, &arguments);
    }
    if !subcommands.is_empty() {
        encoder.bulk(b"subcommands");
        encoder.map(subcommands.len());
        subcommands.into_iter().for_each(|spec| write_docs(encoder, table, spec));
    }
}
