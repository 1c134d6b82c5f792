//! Redis's glob patterns: `*`, `?`, `[a-z]`, `[^abc]`, and a backslash before a literal character.
//!
//! A pattern is cut at its stars into segments, each of which matches a fixed number of bytes. The first
//! segment must match at the start of the text, the last one at its end, and those between where they are
//! found first. So the work is bounded by the sum of the two lengths, not by their product.

use crate::limits::{PATTERN_BYTES, PATTERN_STARS, SEARCHED_ELEMENTS};
use memchr::memmem;
use std::cell::OnceCell;

/// A pattern takes too long to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "pattern too complex: it may have {PATTERN_BYTES} bytes, and {SEARCHED_ELEMENTS} characters between two \
     stars if there is a ? or a [ among them"
)]
pub struct PatternTooComplex;

/// A pattern within the limits. One beyond them would match nothing.
pub fn checked(pattern: &[u8]) -> Result<&[u8], PatternTooComplex> {
    if pattern.len() > PATTERN_BYTES {
        return Err(PatternTooComplex);
    }
    let (_, mut rest) = Segment::first_of(pattern);
    while let Some(searched) = rest {
        let (segment, after) = Segment::first_of(searched);
        if after.is_some() && segment.kind == SegmentKind::Wild && segment.len > SEARCHED_ELEMENTS {
            return Err(PatternTooComplex);
        }
        rest = after;
    }
    Ok(pattern)
}

/// The pattern of all texts that begin with `prefix`.
pub fn with_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for byte in prefix {
        if b"*?[\\".contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern.push(b'*');
    pattern
}

/// Whether all of `text` matches the pattern.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    Pattern::new(pattern).matches(text)
}

/// A pattern, prepared to be compared with many texts.
pub struct Pattern<'p> {
    first: Segment<'p>,
    /// The segments after each run of stars; the last one is empty if the pattern ends with stars.
    rest: Vec<Searched<'p>>,
    /// It matches nothing, because it exceeds a limit.
    is_excessive: bool,
}

/// A segment that is searched for in texts, and how, once that has been done.
struct Searched<'p> {
    segment: Segment<'p>,
    finder: OnceCell<memmem::Finder<'p>>,
}

impl<'p> Pattern<'p> {
    /// Prepares a pattern. As in Redis, one with more than 1,000 stars before its last character matches
    /// nothing.
    pub fn new(pattern: &'p [u8]) -> Pattern<'p> {
        let (first, mut after) = Segment::first_of(pattern);
        let mut rest = Vec::new();
        let mut is_excessive = pattern.len() > PATTERN_BYTES;
        while let Some(pattern) = after
            && !is_excessive
        {
            let segment;
            (segment, after) = Segment::first_of(pattern);
            is_excessive = rest.len() == PATTERN_STARS && segment.len > 0;
            rest.push(Searched { segment, finder: OnceCell::new() });
        }
        Pattern { first, rest, is_excessive }
    }

    /// Whether all of `text` matches the pattern.
    pub fn matches(&self, text: &[u8]) -> bool {
        let Some((last, searched)) = self.rest.split_last() else {
            return !self.is_excessive && self.first.len == text.len() && self.first.matches_start(text);
        };
        if self.is_excessive || !self.first.matches_start(text) {
            return false;
        }
        let mut text = &text[self.first.len..];
        for segment in searched {
            let Some(end) = segment.find_end(text) else { return false };
            text = &text[end..];
        }
        let last = &last.segment;
        text.len() >= last.len && last.matches_start(&text[text.len() - last.len..])
    }
}

impl Searched<'_> {
    /// Where its first match in the text ends.
    fn find_end(&self, text: &[u8]) -> Option<usize> {
        let segment = &self.segment;
        let start = match segment.kind {
            SegmentKind::Wild => segment.find_wild(text),
            SegmentKind::Literal | SegmentKind::Escaped => {
                self.finder.get_or_init(|| segment.finder()).find(text)
            }
        };
        let end = start.map(|start| start + segment.len);
        #[cfg(test)]
        crate::tests::work::touch(end.unwrap_or(text.len()));
        end
    }
}

/// A part of a pattern without a star.
struct Segment<'p> {
    pattern: &'p [u8],
    /// How many bytes of a text it matches.
    len: usize,
    kind: SegmentKind,
}

/// How many bytes of a pattern stand for themselves, up to the first that does not.
fn plain_len(pattern: &[u8]) -> usize {
    let end = memchr::memchr3(b'*', b'?', b'[', pattern).unwrap_or(pattern.len());
    memchr::memchr(b'\\', &pattern[..end]).unwrap_or(end)
}

/// What a segment consists of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SegmentKind {
    Literal,
    /// Literal characters, some behind a backslash.
    Escaped,
    /// There is a `?` or a class.
    Wild,
}

impl<'p> Segment<'p> {
    /// The first segment of a pattern, and the rest of the pattern after the stars that follow; `None` if
    /// none follows.
    fn first_of(pattern: &'p [u8]) -> (Segment<'p>, Option<&'p [u8]>) {
        let (mut len, mut kind) = (plain_len(pattern), SegmentKind::Literal);
        let mut rest = &pattern[len..];
        while let Some(first) = rest.first().filter(|first| **first != b'*') {
            kind = kind.max(match first {
                b'?' | b'[' => SegmentKind::Wild,
                b'\\' => SegmentKind::Escaped,
                _ => SegmentKind::Literal,
            });
            rest = Element::first_of(rest).1;
            len += 1;
        }
        let segment = Segment { pattern: &pattern[..pattern.len() - rest.len()], len, kind };
        let stars = rest.iter().take_while(|byte| **byte == b'*').count();
        (segment, (stars > 0).then(|| &rest[stars..]))
    }

    /// Whether it matches the start of the text.
    fn matches_start(&self, text: &[u8]) -> bool {
        #[cfg(test)]
        crate::tests::work::touch(self.pattern.len());
        if self.kind == SegmentKind::Literal {
            return text.starts_with(self.pattern);
        }
        let Some(text) = text.get(..self.len) else { return false };
        self.elements().zip(text).all(|(element, byte)| element.matches(*byte))
    }

    /// Finds its bytes, if it has no `?` and no class.
    fn finder(&self) -> memmem::Finder<'p> {
        #[cfg(test)]
        crate::tests::work::touch(self.pattern.len());
        if self.kind == SegmentKind::Literal {
            return memmem::Finder::new(self.pattern);
        }
        let literal: Vec<u8> = self.elements().filter_map(Element::literal).collect();
        memmem::Finder::new(&literal).into_owned()
    }

    /// Where its first match in the text starts. All starts are tried side by side, one bit for each
    /// (Shift-And: Baeza-Yates and Gonnet, 1992).
    fn find_wild(&self, text: &[u8]) -> Option<usize> {
        if self.len > SEARCHED_ELEMENTS {
            return None;
        }
        // For each byte, the elements that match it.
        let (mut by_byte, mut by_any) = ([0_u64; 256], 0);
        for (index, element) in self.elements().enumerate() {
            let bit = 1 << index;
            match element {
                Element::Any => by_any |= bit,
                Element::Literal(byte) => by_byte[usize::from(byte)] |= bit,
                Element::Class(class) => {
                    let bytes = class.bytes();
                    by_byte
                        .iter_mut()
                        .zip(bytes)
                        .filter(|(_, is_in)| *is_in)
                        .for_each(|(bits, _)| *bits |= bit);
                }
            }
        }
        let (mut matched, last) = (0_u64, 1_u64 << (self.len - 1));
        let end = text.iter().position(|byte| {
            matched = (matched << 1 | 1) & (by_byte[usize::from(*byte)] | by_any);
            matched & last != 0
        })?;
        Some(end + 1 - self.len)
    }

    fn elements(&self) -> impl Iterator<Item = Element<'p>> {
        let mut rest = self.pattern;
        std::iter::from_fn(move || {
            let element;
            (element, rest) = if rest.is_empty() { return None } else { Element::first_of(rest) };
            Some(element)
        })
    }
}

/// A part of a pattern that matches one byte.
#[derive(Clone, Copy)]
enum Element<'p> {
    Any,
    Literal(u8),
    Class(Class<'p>),
}

impl<'p> Element<'p> {
    /// The first element of a pattern, which is not empty and does not begin with a star, and the rest.
    fn first_of(pattern: &'p [u8]) -> (Element<'p>, &'p [u8]) {
        match pattern {
            [b'?', rest @ ..] => (Element::Any, rest),
            [b'[', b'^', rest @ ..] => Class::first_of(true, rest),
            [b'[', rest @ ..] => Class::first_of(false, rest),
            [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (Element::Literal(*literal), rest),
            [] => unreachable!("the pattern is not empty"),
        }
    }

    fn matches(self, byte: u8) -> bool {
        match self {
            Element::Any => true,
            Element::Literal(literal) => literal == byte,
            Element::Class(class) => {
                class.ranges().any(|(from, to)| (from..=to).contains(&byte)) != class.negated
            }
        }
    }

    fn literal(self) -> Option<u8> {
        if let Element::Literal(byte) = self { Some(byte) } else { None }
    }
}

/// A class of bytes: `[a-z]`. An unclosed class ends with the pattern.
#[derive(Clone, Copy)]
struct Class<'p> {
    negated: bool,
    /// Between the brackets.
    items: &'p [u8],
}

impl<'p> Class<'p> {
    /// The class at the start of a pattern, without its bracket, and the rest.
    fn first_of(negated: bool, pattern: &'p [u8]) -> (Element<'p>, &'p [u8]) {
        let mut rest = pattern;
        while let Some((_, after)) = next_range(rest) {
            rest = after;
        }
        let items = &pattern[..pattern.len() - rest.len()];
        (Element::Class(Class { negated, items }), rest.strip_prefix(b"]").unwrap_or(rest))
    }

    fn ranges(self) -> impl Iterator<Item = (u8, u8)> {
        let mut rest = self.items;
        std::iter::from_fn(move || {
            let (range, after) = next_range(rest)?;
            rest = after;
            Some(range)
        })
    }

    /// Which bytes it matches.
    fn bytes(self) -> impl Iterator<Item = bool> {
        // By byte: how many ranges begin there, less those that ended before it.
        let mut changes = [0_i32; 257];
        for (from, to) in self.ranges() {
            changes[usize::from(from)] += 1;
            changes[usize::from(to) + 1] -= 1;
        }
        let mut ranges = 0;
        (0..256).map(move |byte: usize| {
            ranges += changes[byte];
            (ranges > 0) != self.negated
        })
    }
}

/// The first range of a class, from its lowest to its highest byte, and the items after it.
fn next_range(items: &[u8]) -> Option<((u8, u8), &[u8])> {
    match items {
        [] | [b']', ..] => None,
        [b'\\', literal, rest @ ..] => Some(((*literal, *literal), rest)),
        [from, b'-', to, rest @ ..] => Some(((*from.min(to), *from.max(to)), rest)),
        [literal, rest @ ..] => Some(((*literal, *literal), rest)),
    }
}

#[cfg(test)]
mod tests;
