//! The lines of INFO.

use std::fmt::{Display, Write};

/// Begins a section.
pub(super) fn section<'t>(text: &'t mut String, name: &str) -> &'t mut String {
    let separator = if text.is_empty() { "" } else { "\r\n" };
    let _ = write!(text, "{separator}# {name}\r\n");
    text
}

pub(super) fn line(text: &mut String, field: &str, value: impl Display) {
    let _ = write!(text, "{field}:{value}\r\n");
}

/// Lines of fields that are 0 here.
pub(super) fn zeros(text: &mut String, fields: &[&str]) {
    fields.iter().for_each(|field| line(text, field, 0));
}

/// A line with a number of bytes, and one for people.
pub(super) fn bytes(text: &mut String, field: &str, bytes: u64) {
    line(text, field, bytes);
    line(text, &format!("{field}_human"), human_size(bytes));
}

/// Bytes as Redis prints them for people: `1.50M`.
fn human_size(bytes: u64) -> String {
    let units = [("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((letter, unit)) => format!("{:.2}{letter}", bytes as f64 / unit as f64),
        None => format!("{bytes}B"),
    }
}
