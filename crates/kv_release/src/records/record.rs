//! One line of an export: a bucket, an entry of the bucket above it, or a string.
//!
//! Bytes are text where they are UTF-8 without control characters, except tabs and line breaks; otherwise
//! their key ends in `_b64`, and they are base64. So a line is at most about twice as long as its bytes.

use base64::{Engine, prelude::BASE64_STANDARD};
use kv::{DATABASES, Database, FIELD_EXPIRY_MS, Origin};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, str};

/// A line, as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) database: Database,
    /// The name of the bucket.
    pub(crate) name: Cow<'a, [u8]>,
    pub(crate) item: Item<'a>,
    /// When it expires, in milliseconds since 1970.
    pub(crate) expires_at_ms: Option<u64>,
}

/// What a line is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// A bucket, whose entries follow.
    Bucket { keep_when_empty: bool },
    /// An entry of a bucket.
    Entry { field: Cow<'a, [u8]>, value: Cow<'a, [u8]> },
    /// A bucket that holds one value.
    Str { value: Cow<'a, [u8]>, origin: Origin },
}

/// A line, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    kind: Kind,
    #[serde(default)]
    database: usize,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    name_b64: Option<Cow<'a, str>>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    field: Option<Cow<'a, str>>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    field_b64: Option<Cow<'a, str>>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    value: Option<Cow<'a, str>>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    value_b64: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep_when_empty: Option<bool>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    origin: Option<Cow<'a, str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Bucket,
    Entry,
    String,
}

/// Bytes under one of two keys.
type Encoded<'a> = (Option<Cow<'a, str>>, Option<Cow<'a, str>>);

impl Record<'_> {
    /// Appends the line, with its line break.
    pub(crate) fn write(&self, lines: &mut Vec<u8>) {
        let nothing = || (None, None);
        let (kind, (field, field_b64), (value, value_b64)) = match &self.item {
            Item::Bucket { .. } => (Kind::Bucket, nothing(), nothing()),
            Item::Entry { field, value } => (Kind::Entry, encode(field), encode(value)),
            Item::Str { value, .. } => (Kind::String, nothing(), encode(value)),
        };
        let (keep, origin) = match self.item {
            Item::Bucket { keep_when_empty } => (keep_when_empty, None),
            Item::Entry { .. } => (false, None),
            Item::Str { origin, .. } => (false, origin.name()),
        };
        let (name, name_b64) = encode(&self.name);
        let line = Line {
            kind,
            database: self.database.index(),
            name,
            name_b64,
            field,
            field_b64,
            value,
            value_b64,
            expires_at_ms: self.expires_at_ms,
            keep_when_empty: keep.then_some(true),
            origin: origin.map(Cow::Borrowed),
        };
        serde_json::to_writer(&mut *lines, &line).expect("text and numbers, into memory");
        lines.push(b'\n');
    }

    /// Reads a line. The error says what is wrong with it.
    pub(crate) fn parse(line: &[u8]) -> Result<Record<'static>, String> {
        let line: Line<'_> = serde_json::from_slice(line.trim_ascii_end()).map_err(invalid)?;
        let database = Database::new(line.database)
            .ok_or_else(|| format!("databases are 0 to {}, not {}", DATABASES - 1, line.database))?;
        let name = decode("name", (line.name, line.name_b64))?.ok_or("it has no name")?;
        let field = decode("field", (line.field, line.field_b64))?;
        let value = decode("value", (line.value, line.value_b64))?;
        let item = match (line.kind, field, value) {
            (Kind::Bucket, None, None) => {
                Item::Bucket { keep_when_empty: line.keep_when_empty.unwrap_or(false) }
            }
            (Kind::Entry, Some(field), Some(value)) => Item::Entry { field, value },
            (Kind::String, None, Some(value)) => {
                Item::Str { value, origin: parse_origin(line.origin.as_deref())? }
            }
            (Kind::Bucket, ..) => return Err("a bucket has no field and no value".into()),
            (Kind::Entry, ..) => return Err("an entry has a field and a value".into()),
            (Kind::String, ..) => return Err("a string has a value and no field".into()),
        };
        if line.keep_when_empty.is_some() && line.kind != Kind::Bucket {
            return Err("only a bucket has keep_when_empty".into());
        }
        if line.origin.is_some() && line.kind != Kind::String {
            return Err("only a string has an origin".into());
        }
        let latest = if line.kind == Kind::Entry { FIELD_EXPIRY_MS } else { i64::MAX as u64 };
        if line.expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms > latest) {
            return Err(format!("its expires_at_ms is later than {latest}"));
        }
        Ok(Record { database, name, item, expires_at_ms: line.expires_at_ms })
    }
}

/// Why a line is no JSON of this form, with the place in it: that it is the first one of its text means
/// nothing to people.
fn invalid(error: serde_json::Error) -> String {
    let (text, column) = (error.to_string(), error.column());
    let what = text.strip_suffix(&format!(" at line {} column {column}", error.line()));
    what.map(|what| format!("{what} at column {column}")).unwrap_or(text)
}

fn encode(bytes: &[u8]) -> Encoded<'_> {
    match str::from_utf8(bytes) {
        Ok(text) if !bytes.iter().any(is_control) => (Some(text.into()), None),
        _ => (None, Some(BASE64_STANDARD.encode(bytes).into())),
    }
}

fn parse_origin(name: Option<&str>) -> Result<Origin, String> {
    let invalid = || "its origin is edited, fraction, or missing".to_owned();
    name.map_or(Ok(Origin::Set), |name| Origin::from_name(name).ok_or_else(invalid))
}

/// Whether JSON has six bytes for this byte.
fn is_control(byte: &u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | b'\n')
}

fn decode(key: &str, encoded: Encoded<'_>) -> Result<Option<Cow<'static, [u8]>>, String> {
    let bytes = match encoded {
        (None, None) => return Ok(None),
        (Some(text), None) => text.into_owned().into_bytes(),
        (None, Some(base64)) => {
            let invalid = |error| format!("{key}_b64 is not base64: {error}");
            BASE64_STANDARD.decode(&*base64).map_err(invalid)?
        }
        (Some(_), Some(_)) => return Err(format!("it has both {key} and {key}_b64")),
    };
    Ok(Some(bytes.into()))
}
