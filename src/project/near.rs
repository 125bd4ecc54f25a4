//! The nearest known word to one that is not known, for "did you mean".

/// The candidate that a typo away from `word` is meant: letter case, `-` and `_` do not count, and about one letter in
/// three may be wrong.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = plain(word);
    let most = (plain.chars().count() / 3).max(1);
    let distance = |candidate: &str| strsim::damerau_levenshtein(&plain, &self::plain(candidate));
    let fits = |candidate: &&str| candidate.len().abs_diff(word.len()) <= most + 4;
    let near = candidates
        .into_iter()
        .filter(fits)
        .map(|candidate| (distance(candidate), candidate));
    // A word of one or two letters is a letter away from anything.
    near.filter(|(far, candidate)| *far <= most && *far < candidate.chars().count().min(plain.chars().count().max(1)))
        .min_by_key(|(far, _)| *far)
        .map(|(_, candidate)| candidate)
}

fn plain(word: &str) -> String {
    let letters = word.chars().take(64).filter(|c| !matches!(c, '-' | '_'));
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_are_near_and_other_words_are_not() {
        let known = ["method", "modules", "fs", "max_memory", "hash"];
        for (word, expected) in [
            ("metod", Some("method")),
            ("Method", Some("method")),
            ("maxMemory", Some("max_memory")),
            ("max-memroy", Some("max_memory")),
            ("hsah", Some("hash")),
            ("fz", Some("fs")),
            ("x", None),
            ("comment", None),
            ("description", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }
}
