//! Root in the data directory of another user: a node does not start there, and other work has the rights of
//! that user.

use crate::error::Error;
use rustix::{
    process::{Gid, Uid, geteuid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};
use std::{fs, io, os::unix::fs::MetadataExt, panic::resume_unwind, path, path::Path, thread};

/// The group of nobody.
const NO_GROUP: u32 = 65_534;

/// Fails if this is root, and the data directory is there and belongs to another user: a node would follow
/// the links of that user, and make files that this user cannot use.
pub(crate) fn check_owner(data_dir: &Path, release: &str) -> Result<(), Error> {
    let Ok(found) = fs::metadata(data_dir) else { return Ok(()) };
    if !geteuid().is_root() || found.uid() == Uid::ROOT.as_raw() {
        return Ok(());
    }
    let (directory, user) = (data_dir.display(), user_name(found.uid()));
    Err(Error::DataDir(format!(
        "{directory} belongs to {user}, and this is root; start the node as that user (sudo -u {user} {release} \
         ...), or give root all of the directory (chown -R root {directory})"
    )))
}

/// The name of a user; the number, as sudo takes it, if the system's file has none.
fn user_name(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut users = users.lines().map(|line| line.split(':'));
    let name = users.find_map(|mut user| {
        let name = user.next()?;
        (user.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    name.map_or_else(|| format!("'#{uid}'"), str::to_owned)
}

/// Does work in a data directory. Root has only the rights of its owner meanwhile: a link that the owner has
/// put there leads to nothing that is root's alone, and what is made belongs to the owner. One that is not
/// there yet will belong to the owner of the directory above it.
pub(crate) fn as_owner<T: Send>(
    data_dir: &Path,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let failed = || format!("take the rights of the owner of {}", data_dir.display());
    let whole = path::absolute(data_dir).map_err(Error::io(failed()))?;
    let owner = whole.ancestors().find_map(|path| fs::metadata(path).ok());
    let owner = owner.filter(|owner| geteuid().is_root() && owner.uid() != Uid::ROOT.as_raw());
    let Some(owner) = owner else { return work() };
    let group = if owner.gid() == Gid::ROOT.as_raw() { NO_GROUP } else { owner.gid() };
    thread::scope(|scope| {
        // Linux keeps a user for each thread, which those that it starts have as well.
        let thread = thread::Builder::new().spawn_scoped(scope, || {
            take_rights(Uid::from_raw(owner.uid()), Gid::from_raw(group)).map_err(Error::io(failed()))?;
            work()
        });
        thread.map_err(Error::io("start a thread"))?.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Gives the calling thread the rights of a user. The group is first, while it may still be changed.
fn take_rights(user: Uid, group: Gid) -> io::Result<()> {
    set_thread_groups(&[])?;
    set_thread_res_gid(None, group, None)?;
    Ok(set_thread_res_uid(None, user, None)?)
}
