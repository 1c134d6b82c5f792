//! Where an import comes from, as the command line says.

use kv::{DATABASES, Database};
use percent_encoding::percent_decode_str;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// The argument of `import`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Stdin,
    File(PathBuf),
    Redis(RedisAddress),
}

/// A Redis server, and what is wanted of it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RedisAddress {
    pub(super) user: Option<Vec<u8>>,
    pub(super) password: Option<Vec<u8>>,
    pub(super) host: String,
    pub(super) port: u16,
    /// `None`: all of its databases.
    pub(super) database: Option<Database>,
}

/// The port of a server whose address has none.
const REDIS_PORT: u16 = 6379;

impl fmt::Display for RedisAddress {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisAddress({self})")
    }
}

/// For the command line: parses a source.
pub(crate) fn parse(text: &str) -> Result<Source, String> {
    if text == "-" {
        return Ok(Source::Stdin);
    }
    match text.split_once("://") {
        Some(("redis", rest)) => parse_redis(rest).map(Source::Redis),
        Some(("rediss", _)) => Err("TLS is not supported; open a tunnel to the server, such as ssh -L \
             6379:localhost:6379, and import redis://127.0.0.1:6379"
            .into()),
        Some((scheme, _)) => {
            Err(format!("{scheme}:// is unknown; write redis://host:port, a file, or - for standard input"))
        }
        None if is_address(text) && !Path::new(text).exists() => {
            Err(format!("there is no such file; to copy a Redis server, write redis://{text}"))
        }
        None => Ok(Source::File(text.into())),
    }
}

/// Whether a word looks like `host:port`.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// Parses `[user:password@]host[:port][/database]`.
fn parse_redis(text: &str) -> Result<RedisAddress, String> {
    let (login, rest) = match text.rsplit_once('@') {
        Some((login, rest)) => (Some(login), rest),
        None => (None, text),
    };
    let (place, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, password) = match login.map(|login| login.split_once(':')) {
        None => (None, None),
        Some(Some((user, password))) => (Some(user), Some(password)),
        Some(None) => return Err("write redis://user:password@host, or redis://:password@host".into()),
    };
    let (host, port) = match place.rsplit_once(':') {
        // The colons of an IPv6 address are in brackets.
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse().map_err(|_| format!("{port:?} is not a port"))?;
            (host, port)
        }
        _ => (place, REDIS_PORT),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() {
        return Err("it has no host; write redis://127.0.0.1:6379".into());
    }
    let index = || database.parse().ok().and_then(Database::new);
    let database = match database {
        "" => None,
        _ => Some(
            index()
                .ok_or_else(|| format!("/{database} is not a database: they are /0 to /{}", DATABASES - 1))?,
        ),
    };
    let decoded = |text: &str| percent_decode_str(text).collect();
    let user = user.filter(|user| !user.is_empty()).map(decoded);
    Ok(RedisAddress { user, password: password.map(decoded), host: host.to_owned(), port, database })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> RedisAddress {
        match parse(text) {
            Ok(Source::Redis(address)) => address,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn addresses_are_parsed() {
        let plain = RedisAddress { user: None, password: None, host: "h".into(), port: 6379, database: None };
        assert_eq!(address("redis://h"), plain);
        assert_eq!(address("redis://h:1/"), RedisAddress { port: 1, ..plain.clone() });
        assert_eq!(
            address("redis://[::1]:7/15"),
            RedisAddress { host: "::1".into(), port: 7, database: Database::new(15), ..plain.clone() }
        );
        assert_eq!(address("redis://[::1]").host, "::1");
        let login = RedisAddress { password: Some(b"p:@\xff".to_vec()), ..plain };
        assert_eq!(address("redis://:p:%40%ff@h"), login);
        assert_eq!(address("redis://me:p:@%FF@h"), RedisAddress { user: Some(b"me".to_vec()), ..login });
        assert_eq!(format!("{:?}", address("redis://me:secret@h")), "RedisAddress(h:6379)");
    }

    #[test]
    fn files_are_everything_else() {
        assert_eq!(parse("-"), Ok(Source::Stdin));
        assert_eq!(parse("a/b.jsonl"), Ok(Source::File("a/b.jsonl".into())));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("rediss://h", "TLS is not supported"),
            ("http://h", "http:// is unknown"),
            ("redis://", "it has no host"),
            ("redis://:6379", "it has no host"),
            ("redis://h:x", "\"x\" is not a port"),
            ("redis://h/16", "/16 is not a database"),
            ("127.0.0.1:6379", "there is no such file; to copy a Redis server, write redis://127.0.0.1:6379"),
            ("redis://me@h", "write redis://user:password@host"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
