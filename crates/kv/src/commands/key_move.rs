//! Commands that give what a bucket holds to another name.

use super::number;
use crate::{Args, CommandError, CommandResult, Reply, shard::multi::MultiBucket};

/// Gives a bucket another name.
pub(super) fn rename(
    several: &mut MultiBucket<'_, '_>,
    from: &[u8],
    mut args: Args<'_>,
) -> CommandResult<'static> {
    let to = args.next().ok_or(CommandError::Syntax)?;
    if several.rename(from, to)? { Ok(Reply::Done) } else { Err(CommandError::NoSuchKey) }
}

/// Gives a bucket another name, if no bucket has it.
pub(super) fn renamenx(
    several: &mut MultiBucket<'_, '_>,
    from: &[u8],
    mut args: Args<'_>,
) -> CommandResult<'static> {
    let to = args.next().ok_or(CommandError::Syntax)?;
    if !several.bucket(from).exists() {
        return Err(CommandError::NoSuchKey);
    }
    if several.bucket(to).exists() {
        return Ok(Reply::Number(0));
    }
    several.rename(from, to)?;
    Ok(Reply::Number(1))
}

/// Copies a bucket: `destination [DB 0] [REPLACE]`.
pub(super) fn copy(
    several: &mut MultiBucket<'_, '_>,
    from: &[u8],
    mut args: Args<'_>,
) -> CommandResult<'static> {
    let to = args.next().ok_or(CommandError::Syntax)?;
    let mut replace = false;
    while let Some(word) = args.next() {
        match word.to_ascii_lowercase().as_slice() {
            b"replace" => replace = true,
            b"db" => check_database(args.next().ok_or(CommandError::Syntax)?)?,
            _ => return Err(CommandError::Syntax),
        }
    }
    if from == to {
        return Err(CommandError::Other("ERR source and destination objects are the same".into()));
    }
    let allowed = several.bucket(from).exists() && (replace || !several.bucket(to).exists());
    Ok(Reply::Number(i64::from(allowed && several.copy(from, to)?)))
}

/// There is one database, 0.
fn check_database(argument: &[u8]) -> Result<(), CommandError> {
    let number = number::integer(argument).ok_or(CommandError::NotInteger)?;
    match i32::try_from(number) {
        Ok(0) => Ok(()),
        Ok(_) => Err(CommandError::Other("ERR DB index is out of range".into())),
        Err(_) => Err(CommandError::Other(format!(
            "ERR value is out of range, value must between {} and {}",
            i32::MIN,
            i32::MAX
        ))),
    }
}
