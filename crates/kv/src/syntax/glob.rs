//! Redis's glob patterns: `*`, `?`, `[a-z]`, `[^abc]`, and a backslash before a literal character.

/// Whether all of `text` matches the pattern. The work is bounded by the product of the two lengths.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut rest, mut offset) = (pattern, 0);
    // The pattern after the latest star, and the offset in the text up to which that star matches.
    let mut star: Option<(&[u8], usize)> = None;
    loop {
        if let Some(after) = rest.strip_prefix(b"*") {
            star = Some((after, offset));
            rest = after;
            continue;
        }
        match text.get(offset) {
            None if rest.is_empty() => return true,
            Some(byte) if let Some(after) = match_one(rest, *byte) => {
                rest = after;
                offset += 1;
                continue;
            }
            _ => {}
        }
        // The latest star matches one byte more.
        match star {
            Some((after, end)) if end < text.len() => {
                star = Some((after, end + 1));
                (rest, offset) = (after, end + 1);
            }
            _ => return false,
        }
    }
}

/// The rest of the pattern, if its first element, which is not a star, matches the byte.
fn match_one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', b'^', class @ ..] => in_class(class, byte).and_then(|(is_in, rest)| (!is_in).then_some(rest)),
        [b'[', class @ ..] => in_class(class, byte).and_then(|(is_in, rest)| is_in.then_some(rest)),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte).then_some(rest),
        [] => None,
    }
}

/// Whether the byte is in the class, and the pattern after the closing bracket. An unclosed class ends with
/// the pattern.
fn in_class(mut class: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let mut is_in = false;
    loop {
        class = match class {
            [] => return Some((is_in, class)),
            [b']', rest @ ..] => return Some((is_in, rest)),
            [b'\\', literal, rest @ ..] => {
                is_in |= *literal == byte;
                rest
            }
            [from, b'-', to, rest @ ..] => {
                is_in |= (*from.min(to)..=*from.max(to)).contains(&byte);
                rest
            }
            [literal, rest @ ..] => {
                is_in |= *literal == byte;
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        let yes = [
            ("", ""),
            ("*", ""),
            ("*", "milk"),
            ("m*k", "milk"),
            ("m?lk", "milk"),
            ("*i*", "milk"),
            ("m**k", "mk"),
            ("[lm]ilk", "milk"),
            ("[a-m]ilk", "milk"),
            ("[m-a]ilk", "milk"),
            ("[^a-l]ilk", "milk"),
            ("\\*", "*"),
            ("[\\]]", "]"),
            ("[milk", "m"),
            ("a\\", "a\\"),
            ("*milk*milk", "milkmilkmilk"),
        ];
        let no = [
            ("", "a"),
            ("?", ""),
            ("m*x", "milk"),
            ("m?k", "milk"),
            ("[^m]ilk", "milk"),
            ("\\*", "a"),
            ("[]", "a"),
            ("milk", "milks"),
            ("milks", "milk"),
            ("*a*b", "ab a"),
        ];
        for (pattern, text) in yes {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in no {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_little_time() {
        let pattern = "a*".repeat(1_000) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(10_000).as_bytes()));
    }
}
