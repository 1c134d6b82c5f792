//! The parameters of a query. Names of buckets are bytes, so values are too.

use percent_encoding::percent_decode_str;

/// The value of a parameter.
pub(super) fn parameter(query: &str, name: &str) -> Option<Vec<u8>> {
    let (_, value) = pairs(query).find(|(key, _)| *key == name)?;
    // As forms write blanks.
    Some(percent_decode_str(&value.replace('+', " ")).collect())
}

/// The value of a parameter that is a number, or `default` without it; `None` if it is no number.
pub(super) fn number(query: &str, name: &str, default: u64) -> Option<u64> {
    let Some(value) = parameter(query, name) else { return Some(default) };
    str::from_utf8(&value).ok()?.parse().ok()
}

/// The first parameter that is none of these.
pub(super) fn unknown<'q>(query: &'q str, known: &[(&str, &str)]) -> Option<&'q str> {
    pairs(query).map(|(name, _)| name).find(|name| !known.iter().any(|(known, _)| known == name))
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_bytes() {
        let query = "prefix=sh%6Fp+%2B%ff&cursor=7&empty=&bare";
        assert_eq!(parameter(query, "prefix").as_deref(), Some(&b"shop +\xff"[..]));
        assert_eq!(parameter(query, "empty").as_deref(), Some(&b""[..]));
        assert_eq!(parameter(query, "fix"), None);
        let cursor = |query| number(query, "cursor", 0);
        assert_eq!((cursor(query), cursor("a=1"), cursor("cursor=x")), (Some(7), Some(0), None));
    }

    #[test]
    fn what_is_unknown_is_named() {
        let known = [("prefix", ""), ("cursor", "")];
        assert_eq!(unknown("prefix=a&&cursor=1", &known), None);
        assert_eq!(unknown("prefix=a&colour=red", &known), Some("colour"));
    }
}
