//! `cookie` and `cookie_file`: the secret that nodes share. A link needs one, and a link that other machines
//! can reach needs a cookie other than the shipped one.

use super::{
    layers::{
        environment::Environment,
        key::{Key, Section, Table},
        merged::Merged,
    },
    nodes::is_loopback,
};
use crate::limits::COOKIE_BYTES;
use serde::Deserialize;
use std::{
    fmt, fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{self, Path},
};

pub(super) const SECTION: &Section = &Section {
    table: Table::Top,
    help: "The cookie: the secret that all nodes share. Links need one; write one of the two keys.",
    keys: &[
        Key::string("cookie")
            .example("a long secret that all nodes share")
            .variable("KV_COOKIE")
            .help("Shared secret: nodes prove they know it; it is never sent."),
        Key::string("cookie_file")
            .example("/etc/kv/cookie")
            .variable("KV_COOKIE_FILE")
            .help("A file with the cookie, readable by its owner only; the whole path, from / on."),
    ],
};

/// The cookie of rel/runtime.toml. Everyone knows it, so it protects loopback only.
const SHIPPED_COOKIE: &str = "weknoweachother";

/// A cookie; never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[derive(Default, Deserialize)]
struct CookieTable {
    cookie: Option<String>,
    cookie_file: Option<String>,
}

/// The cookie of the node `node`, which listens for links at `link`. Of `cookie` and `cookie_file`, the one
/// in the later layer wins: a systemd unit sets KV_COOKIE_FILE, whatever the file says.
pub(super) fn resolve(
    merged: &mut Merged,
    environment: &Environment,
    node: &str,
    link: Option<&str>,
) -> Option<Secret> {
    let table: CookieTable = merged.read(Table::Top);
    let layer = |key| merged.origin(&[key]).layer();
    let (cookie, cookie_file) = match (table.cookie, table.cookie_file) {
        (Some(_), Some(_)) if layer("cookie") == layer("cookie_file") => {
            merged.error(&["cookie"], "there is a cookie_file as well; write one of the two");
            return None;
        }
        (Some(cookie), Some(_)) if layer("cookie") > layer("cookie_file") => (Some(cookie), None),
        (Some(_), Some(file)) => (None, Some(file)),
        one => one,
    };
    let cookie = match (cookie, cookie_file) {
        (Some(cookie), _) => Some(cookie),
        (None, Some(file)) => match read_cookie(&file, environment.credentials.as_deref()) {
            Ok(cookie) => Some(cookie),
            Err(message) => {
                merged.error(&["cookie_file"], message);
                return None;
            }
        },
        (None, None) => None,
    };
    if let Some(link) = link {
        check(merged, &["nodes", node, "link"], link, cookie.as_deref());
    }
    cookie.map(Secret)
}

fn check(merged: &mut Merged, path: &[&str], link: &str, cookie: Option<&str>) {
    match cookie {
        None if merged.is_suspect(&["cookie"]) || merged.is_suspect(&["cookie_file"]) => {}
        None | Some("") => merged.error(
            path,
            "links need a cookie; \
             write cookie = \"a secret that all nodes share\", or set KV_COOKIE or cookie_file",
        ),
        Some(SHIPPED_COOKIE) if !is_loopback(link) => {
            let message = format!(
                "{link} is reachable from other machines and the cookie is the shipped one, which everyone knows; \
                 write a cookie of your own, or set KV_COOKIE or cookie_file"
            );
            merged.error(path, message);
        }
        Some(_) => {}
    }
}

/// `credentials` is the directory where systemd puts a unit's credentials, which it protects by itself.
fn read_cookie(path: &str, credentials: Option<&Path>) -> Result<String, String> {
    if Path::new(path).is_relative() {
        let whole = path::absolute(path).unwrap_or_else(|_| "/etc/kv/cookie".into());
        return Err(format!("{path:?} depends on the directory that a node is started in; write {whole:?}"));
    }
    let is_credential = credentials.is_some_and(|directory| Path::new(path).starts_with(directory));
    let unreadable = |error| format!("{path} cannot be read: {error}");
    let file = fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 && !is_credential {
        return Err(format!("{path} is accessible to other users (mode {mode:o}); run chmod 600 {path}"));
    }
    let mut cookie = String::new();
    file.take(COOKIE_BYTES as u64 + 1).read_to_string(&mut cookie).map_err(unreadable)?;
    if cookie.len() > COOKIE_BYTES {
        return Err(format!("{path} exceeds the limit of {COOKIE_BYTES} bytes; a cookie is one line"));
    }
    Ok(cookie.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_file_is_for_its_owner_alone() {
        let path = std::env::temp_dir().join(format!("kv-cookie-{}", std::process::id()));
        fs::write(&path, "secret\n").unwrap();
        let name = path.to_str().unwrap();
        let set_mode = |mode| fs::set_permissions(Path::new(name), fs::Permissions::from_mode(mode)).unwrap();
        set_mode(0o640);
        assert_eq!(read_cookie(name, path.parent()), Ok("secret".to_owned()), "a credential of systemd");
        assert_eq!(
            read_cookie(name, None),
            Err(format!("{name} is accessible to other users (mode 640); run chmod 600 {name}"))
        );
        set_mode(0o600);
        assert_eq!(read_cookie(name, None), Ok("secret".to_owned()));
        fs::remove_file(&path).unwrap();
    }
}
