//! Tests of patterns: what they match, beside a simple matcher, and how much work that is.

use super::*;
use crate::tests::work::touched_by;
use proptest::prelude::*;

#[test]
fn a_prefix_has_no_special_characters() {
    let pattern = with_prefix(b"a*[?\\]");
    assert!(matches(&pattern, b"a*[?\\]bc") && matches(&pattern, b"a*[?\\]"));
    assert!(!matches(&pattern, b"ax[?\\]bc") && !matches(&pattern, b"a*["));
}

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
        ("*a\\*b*", "xxa*bxx"),
        ("*[^", "milk"),
        ("[^]", "m"),
        ("*[*]*", "m*k"),
        ("*\\[*", "m[k"),
        ("*i??*", "milky"),
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
        ("[a-]", "a-"),
        ("*milk", "milkm"),
        ("mi*ilk", "milk"),
    ];
    for (pattern, text) in yes {
        assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
    }
    for (pattern, text) in no {
        assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
    }
}

/// Tries all that a star can match.
fn matches_simply(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], text) => text.is_empty(),
        ([b'*', rest @ ..], text) => (0..=text.len()).any(|skipped| matches_simply(rest, &text[skipped..])),
        (_, []) => false,
        (pattern, [byte, text @ ..]) => {
            let (element, rest) = Element::first_of(pattern);
            element.matches(*byte) && matches_simply(rest, text)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn the_search_finds_what_trying_everything_finds(
        pattern in "[ab*?\\[\\]^\\\\-]{0,12}",
        text in "[ab\\]*-]{0,12}",
    ) {
        let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
        prop_assert_eq!(matches(pattern, text), matches_simply(pattern, text));
    }

    #[test]
    fn arbitrary_bytes_are_matched_alike(
        pattern in prop::collection::vec(any::<u8>(), 0..12),
        text: [u8; 4],
    ) {
        prop_assert_eq!(matches(&pattern, &text), matches_simply(&pattern, &text));
    }
}

#[test]
fn the_work_is_the_sum_of_both_lengths_whatever_the_pattern() {
    let text = "a".repeat(80_000);
    let long = "a".repeat(40_000);
    for pattern in [
        format!("*{long}b"),
        format!("*{long}b*"),
        format!("*{}b*", "\\a".repeat(20_000)),
        format!("{}b", "a*".repeat(999)),
        format!("*{}*b*", "?".repeat(64)),
        format!("*{}b*", "[a-z]".repeat(63)),
        format!("*[{long}]b*"),
        format!("*{long}?b*"),
    ] {
        let (matched, touched) = touched_by(|| matches(pattern.as_bytes(), text.as_bytes()));
        let allowed = 2 * (pattern.len() + text.len());
        assert!(!matched && touched <= allowed, "{touched} of {allowed} for {}", &pattern[..20]);
    }
}

#[test]
fn a_pattern_beyond_the_limits_matches_nothing_and_is_refused() {
    let long = "a".repeat(PATTERN_BYTES + 1);
    let wild = format!("*{}?*", "a".repeat(SEARCHED_ELEMENTS));
    for pattern in [&long, &wild] {
        assert_eq!(checked(pattern.as_bytes()), Err(PatternTooComplex));
        assert!(!matches(pattern.as_bytes(), pattern.as_bytes()));
    }
    for pattern in [&long[1..], &wild[1..], &wild[..wild.len() - 1], &wild.replace('?', "a")] {
        assert_eq!(checked(pattern.as_bytes()), Ok(pattern.as_bytes()));
        assert!(matches(pattern.as_bytes(), pattern.as_bytes()));
    }
    let stars = |count| "a*".repeat(count) + "b";
    assert!(matches(stars(PATTERN_STARS).as_bytes(), stars(PATTERN_STARS).as_bytes()));
    assert!(!matches(stars(PATTERN_STARS + 1).as_bytes(), stars(PATTERN_STARS + 1).as_bytes()));
}
