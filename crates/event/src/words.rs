//! Whole words in a text.

/// Whether `text` contains `word` with no letter, digit or other part of a word next to it. Both are
/// in lower case.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    let (Some(first), Some(last)) = (word.chars().next(), word.chars().next_back()) else {
        return false;
    };
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| rest.find(word)) {
        let start = from + found;
        let end = start + word.len();
        let before = text[..start].chars().next_back();
        let after = text[end..].chars().next();
        // An edge that is no part of a word, as in `c++`, is a boundary by itself.
        let begins = !is_part(first) || before.is_none_or(|before| !is_part(before));
        let ends = !is_part(last) || after.is_none_or(|after| !is_part(after));
        // A mark always belongs to the letter before it.
        if begins && ends && after.is_none_or(|after| !is_mark(after)) {
            return true;
        }
        from = start + first.len_utf8();
    }
    false
}

/// Whether a character is part of a word.
fn is_part(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || is_mark(character)
}

/// Whether a character is one of Unicode's combining diacritical marks: with it, `e` is another
/// letter.
const fn is_mark(character: char) -> bool {
    matches!(
        character,
        '\u{300}'..='\u{36f}'
            | '\u{1ab0}'..='\u{1aff}'
            | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20ff}'
            | '\u{fe20}'..='\u{fe2f}'
    )
}

#[cfg(test)]
mod tests {
    use super::has_word;

    #[test]
    fn words_end_where_no_letter_follows() {
        let text = "kaffe og te, \u{201c}kaffebrød\u{201d} i c++17; æ-ø caf\u{65}\u{301} a_b";
        for word in [
            "kaffe",
            "te",
            "og te",
            "kaffebrød",
            "c++",
            "æ",
            "ø",
            "i",
            "a_b",
        ] {
            assert!(has_word(text, word), "{word}");
        }
        for word in [
            "kaff", "brød", "e", "og t", "17x", "cafe", "a", "", "kaffe te",
        ] {
            assert!(!has_word(text, word), "{word}");
        }
        // The second one counts where the first is part of another word.
        assert!(has_word("tete te", "te") && has_word("aba aba", "aba"));
        assert!(!has_word("ababa", "aba"));
    }
}
