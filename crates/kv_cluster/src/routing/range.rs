//! A range of bucket names, as a route writes it: `a..m`.

use crate::error::escape_name;
use serde::{Deserialize, Serialize};
use std::fmt;

/// All names from `start` on and below `end`, compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NameRange {
    #[serde(with = "serde_bytes")]
    pub(super) start: Box<[u8]>,
    /// Exclusive; `None` if the range is open.
    #[serde(with = "serde_bytes")]
    pub(super) end: Option<Box<[u8]>>,
}

/// What is wrong with a range, and what to write instead.
type ParseError = (&'static str, String);

impl NameRange {
    /// Parses `a..m`: from `a` up to and including everything that begins with `m`. Either side may be empty.
    pub(crate) fn parse(text: &str) -> Result<NameRange, ParseError> {
        let example = || r#"write "a..m", "n.." or ".." for all names"#.to_owned();
        let (first, last) = text.split_once("..").ok_or_else(|| ("it has no ..", example()))?;
        if last.starts_with('.') || last.contains("..") {
            return Err(("it has more than one ..", example()));
        }
        if text.contains(char::is_whitespace) {
            let tight: String = text.split_whitespace().collect();
            return Err(("it has a blank", format!("write \"{tight}\"")));
        }
        let range = NameRange { start: first.as_bytes().into(), end: after_prefix(last.as_bytes()) };
        if range.end.as_ref().is_some_and(|end| range.start >= *end) {
            return Err(("it ends before it starts", format!("write \"{last}..{first}\"")));
        }
        Ok(range)
    }

    /// All names.
    pub(crate) fn all() -> NameRange {
        NameRange { start: Box::default(), end: None }
    }

    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        name >= &*self.start && self.end.as_ref().is_none_or(|end| name < &**end)
    }

    /// The least name that both ranges contain.
    pub(crate) fn overlap<'a>(&'a self, other: &'a NameRange) -> Option<&'a [u8]> {
        let least = (&self.start).max(&other.start);
        (self.contains(least) && other.contains(least)).then_some(least)
    }

    /// Whether this range contains every name of the other.
    pub(crate) fn includes(&self, other: &NameRange) -> bool {
        self.start <= other.start && !self.ends_before(other)
    }

    /// What is left of the range without `taken`, which are disjoint and in order.
    pub(crate) fn without<'a>(&self, taken: impl Iterator<Item = &'a NameRange>) -> Vec<NameRange> {
        let mut left = Vec::new();
        let mut start = self.start.clone();
        for other in taken.filter(|other| self.overlap(other).is_some()) {
            if start < other.start {
                left.push(NameRange { start, end: Some(other.start.clone()) });
            }
            match &other.end {
                Some(end) => start = end.clone(),
                None => return left,
            }
        }
        if self.end.as_ref().is_none_or(|end| start < *end) {
            left.push(NameRange { start, end: self.end.clone() });
        }
        left
    }

    /// The names before `at`, which it contains, and the others.
    pub(crate) fn split(&self, at: &[u8]) -> (NameRange, NameRange) {
        let low = NameRange { start: self.start.clone(), end: Some(at.into()) };
        (low, NameRange { start: at.into(), end: self.end.clone() })
    }

    /// How a route writes it; `None` if it cannot.
    pub(crate) fn row_text(&self) -> Option<String> {
        let last = match &self.end {
            None => Vec::new(),
            Some(end) => {
                let (last, before) = end.split_last()?;
                [before, &[last.checked_sub(1)?]].concat()
            }
        };
        let text = String::from_utf8([&self.start, &b".."[..], &last].concat()).ok()?;
        let is_printable = !text.contains(char::is_control);
        (is_printable && NameRange::parse(&text).as_ref() == Ok(self)).then_some(text)
    }

    fn ends_before(&self, other: &NameRange) -> bool {
        match (&self.end, &other.end) {
            (Some(end), Some(other)) => end < other,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}

/// The least name above everything that begins with `prefix`; `None` if there is none.
fn after_prefix(prefix: &[u8]) -> Option<Box<[u8]>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut after: Box<[u8]> = prefix[..=last].into();
    after[last] += 1;
    Some(after)
}

/// A description in words.
impl fmt::Display for NameRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = escape_name(&self.start);
        match &self.end {
            None if self.start.is_empty() => write!(f, "all names"),
            None => write!(f, "from \"{start}\" on"),
            Some(end) if self.start.is_empty() => write!(f, "below \"{}\"", escape_name(end)),
            Some(end) => write!(f, "from \"{start}\" to below \"{}\"", escape_name(end)),
        }
    }
}
