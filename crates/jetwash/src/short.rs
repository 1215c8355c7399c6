/// At most 200 characters of a text from outside, for a log line.
pub(crate) fn short(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(200)
        .collect()
}
