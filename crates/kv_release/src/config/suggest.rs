//! "Did you mean": the nearest of the words that would have been right.

/// How alike two words must be (Jaro-Winkler, 0 to 1) before one is offered for the other.
const LIKENESS: f64 = 0.75;

/// The candidate most like `word`, if any is like it at all. Case counts for nothing.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn offers_the_nearest_word_and_nothing_far_fetched() {
        assert_eq!(nearest("cokie", ["cookie", "cookie_file", "run_dir"]), Some("cookie"));
        assert_eq!(nearest("xyzzy", ["cookie", "run_dir"]), None);
    }
}
