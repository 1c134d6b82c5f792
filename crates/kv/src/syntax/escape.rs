//! The escapes of quoted words in the text protocol and the console: `\"`, `\\`, `\n`, `\r`, `\t`, `\xNN`.

/// Decodes the escape at the start of `text`. Returns the byte and the length of the escape; `None` if there
/// is no escape.
pub fn unescape(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [b'\\', b'x', high, low, ..] => Some((hex(*high)? << 4 | hex(*low)?, 4)),
        [b'\\', b'n', ..] => Some((b'\n', 2)),
        [b'\\', b'r', ..] => Some((b'\r', 2)),
        [b'\\', b't', ..] => Some((b'\t', 2)),
        [b'\\', byte @ (b'"' | b'\\'), ..] => Some((*byte, 2)),
        _ => None,
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn an_escape_encodes_one_byte() {
        for (text, byte) in [
            (r"\n", b'\n'),
            (r"\r", b'\r'),
            (r"\t", b'\t'),
            (r"\\", b'\\'),
            (r#"\""#, b'"'),
            (r"\x00", 0),
            (r"\xfF", 0xff),
        ] {
            assert_eq!(unescape(text.as_bytes()), Some((byte, text.len())), "{text}");
            assert_eq!(unescape(format!("{text}0").as_bytes()), Some((byte, text.len())), "{text}");
        }
    }

    #[test]
    fn anything_else_is_not_an_escape() {
        for text in ["", "n", r"\", r"\q", r"\x", r"\x4", r"\xg0", r"\x0g", r"\N"] {
            assert_eq!(unescape(text.as_bytes()), None, "{text}");
        }
    }
}
