//! What commands there are, from the tables.

use super::{is, other, syntax};
use crate::protocol::resp::{catalog::Catalog, parse::Words, session::Session, write::Writer};
use kv::{Args, CommandError, CommandSpec, Group, KeySpec, flag};

/// `COMMAND`
pub(in super::super) fn command(
    session: &mut Session,
    _: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    info(session, Args::NONE, writer)
}

/// `COMMAND COUNT`
pub(in super::super) fn count(
    session: &mut Session,
    _: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    writer.number(commands(session.catalog).count() as i64);
    Ok(())
}

/// `COMMAND INFO [command-name [command-name ...]]`
pub(in super::super) fn info(
    session: &mut Session,
    args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    let catalog = session.catalog;
    if args.is_empty() {
        writer.list(commands(catalog).count());
        commands(catalog).for_each(|spec| describe(writer, catalog, spec));
        return Ok(());
    }
    writer.list(args.count());
    for name in args {
        match catalog.find(name) {
            Some(found) => describe(writer, catalog, found.spec),
            None => writer.nil(),
        }
    }
    Ok(())
}

/// `COMMAND DOCS [command-name [command-name ...]]`
pub(in super::super) fn docs(
    session: &mut Session,
    args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    let catalog = session.catalog;
    let wanted: Vec<&CommandSpec> = if args.is_empty() {
        commands(catalog).collect()
    } else {
        args.filter_map(|name| catalog.find(name).map(|found| found.spec)).collect()
    };
    writer.map(wanted.len());
    wanted.iter().for_each(|spec| document(writer, catalog, spec));
    Ok(())
}

/// `COMMAND LIST [FILTERBY MODULE module-name|ACLCAT category|PATTERN pattern]`
pub(in super::super) fn list(
    session: &mut Session,
    mut args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    let filter = match (args.next(), args.next(), args.next(), args.next()) {
        (None, ..) => None,
        (Some(by), Some(kind), Some(value), None) if is(by, "filterby") => Some((kind, value)),
        _ => return Err(CommandError::Syntax),
    };
    let catalog = session.catalog;
    let kept: Vec<&CommandSpec> = match filter {
        None => commands(catalog).collect(),
        Some((kind, _)) if is(kind, "module") => Vec::new(),
        Some((kind, category)) if is(kind, "aclcat") => {
            let belongs =
                |spec: &&CommandSpec| categories(spec).iter().any(|known| is(category, &known[1..]));
            commands(catalog).filter(belongs).collect()
        }
        Some((kind, pattern)) if is(kind, "pattern") => {
            let pattern = pattern.to_ascii_lowercase();
            catalog
                .specs()
                .iter()
                .copied()
                .filter(|spec| kv::glob::matches(&pattern, spec.name.as_bytes()))
                .collect()
        }
        Some(_) => return Err(CommandError::Syntax),
    };
    writer.list(kept.len());
    kept.iter().for_each(|spec| writer.bulk(spec.name.as_bytes()));
    Ok(())
}

/// `COMMAND GETKEYS command [arg [arg ...]]`
pub(in super::super) fn getkeys(
    session: &mut Session,
    mut args: Args<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    let name = args.next().ok_or(CommandError::Syntax)?;
    let words: Vec<&[u8]> = std::iter::once(name).chain(args).collect();
    session.catalog.find(name).ok_or_else(|| other("ERR Invalid command specified"))?;
    let mut bulks = Vec::new();
    words[1..].iter().for_each(|word| kv::args::push(&mut bulks, word));
    let found = session
        .catalog
        .judge(&Words { count: words.len(), name, bulks: &bulks })
        .map_err(|_| other("ERR Invalid number of arguments specified for command"))?;
    let (first, last, step) = positions(found.spec);
    if first == 0 {
        return Err(other("ERR The command has no key arguments"));
    }
    let last = if last < 0 { words.len() as i64 + last } else { last };
    let keys: Vec<&&[u8]> =
        words.iter().take(last as usize + 1).skip(first as usize).step_by(step as usize).collect();
    writer.list(keys.len());
    keys.iter().for_each(|key| writer.bulk(key));
    Ok(())
}

/// The commands that are not subcommands of others.
fn commands(catalog: &Catalog) -> impl Iterator<Item = &'static CommandSpec> {
    catalog.specs().iter().copied().filter(|spec| !spec.name.contains('|'))
}

/// The words that are keys: the first of them, the last (counted from the end when negative), and every how many.
fn positions(spec: &CommandSpec) -> (i64, i64, i64) {
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

fn categories(spec: &CommandSpec) -> Vec<String> {
    let mut categories = vec![match spec.flags & flag::FAST {
        0 => "@slow".to_owned(),
        _ => "@fast".to_owned(),
    }];
    for (bit, name) in
        [(flag::READ, "@read"), (flag::WRITE, "@write"), (flag::ADMIN, "@admin"), (flag::ADMIN, "@dangerous")]
    {
        if spec.flags & bit != 0 {
            categories.push(name.into());
        }
    }
    match spec.group {
        Group::Generic => categories.push("@keyspace".into()),
        Group::Transactions => categories.push("@transaction".into()),
        Group::Server => {}
        group => categories.push(format!("@{}", group.name())),
    }
    categories
}

/// One command as COMMAND INFO has it.
fn describe(writer: &mut Writer<'_>, catalog: &Catalog, spec: &CommandSpec) {
    let (first, last, step) = positions(spec);
    writer.list(10);
    writer.bulk(spec.name.as_bytes());
    writer.number(spec.arity.into());
    writer.set(flags(spec).count());
    flags(spec).for_each(|flag| writer.word(flag));
    [first, last, step].into_iter().for_each(|position| writer.number(position));
    let categories = categories(spec);
    writer.set(categories.len());
    categories.iter().for_each(|category| writer.word(category));
    writer.list(0);
    writer.list(0);
    let subcommands = catalog.subcommands(spec);
    writer.list(subcommands.len());
    subcommands.into_iter().for_each(|spec| describe(writer, catalog, spec));
}

/// One command as COMMAND DOCS has it.
fn document(writer: &mut Writer<'_>, catalog: &Catalog, spec: &CommandSpec) {
    let (arguments, subcommands) = (syntax::parse(spec.syntax), catalog.subcommands(spec));
    writer.bulk(spec.name.as_bytes());
    writer.map(3 + usize::from(!arguments.is_empty()) + usize::from(!subcommands.is_empty()));
    for (field, value) in [("summary", spec.summary), ("since", spec.since), ("group", spec.group.name())] {
        writer.bulk(field.as_bytes());
        writer.bulk(value.as_bytes());
    }
    if !arguments.is_empty() {
        writer.bulk(b"arguments");
        syntax::write(writer, &arguments);
    }
    if !subcommands.is_empty() {
        writer.bulk(b"subcommands");
        writer.map(subcommands.len());
        subcommands.into_iter().for_each(|spec| document(writer, catalog, spec));
    }
}
