//! "Did you mean": the most similar of the words that would have been valid, in the configuration or the
//! console.

/// How similar two words must be (Jaro-Winkler, 0 to 1) for one to be suggested for the other.
const SIMILARITY: f64 = 0.75;

/// The candidate most similar to `word`, if any is similar at all. Case is ignored.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn suggests_the_most_similar_word_and_nothing_far_fetched() {
        assert_eq!(nearest("cokie", ["cookie", "cookie_file", "run_dir"]), Some("cookie"));
        assert_eq!(nearest("xyzzy", ["cookie", "run_dir"]), None);
    }
}
