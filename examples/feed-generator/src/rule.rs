use serde::Deserialize;

/// Which posts belong into the feed.
///
/// # Examples
///
/// ```
/// use feed_generator::{Post, Rule};
///
/// let rule = Rule::new(["Kaffe"], ["da"]);
/// let post = |text: &str, language: &str| Post {
///     text: text.to_owned(),
///     langs: vec![language.to_owned()],
/// };
/// assert!(rule.matches(&post("Mere kaffe!", "da-DK")));
/// assert!(!rule.matches(&post("Mere te!", "da")));
/// assert!(!rule.matches(&post("Kaffe, takk!", "nb")));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rule {
    keywords: Vec<String>,
    languages: Vec<String>,
}

impl Rule {
    /// Posts that contain one of the keywords, in one of the languages. No keyword means any text,
    /// no language any language.
    #[must_use]
    pub fn new(
        keywords: impl IntoIterator<Item = impl AsRef<str>>,
        languages: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Self {
        let lower = |text: &str| text.to_lowercase();
        Self {
            keywords: keywords.into_iter().map(|k| lower(k.as_ref())).collect(),
            languages: languages.into_iter().map(|l| lower(l.as_ref())).collect(),
        }
    }

    /// Whether a post belongs into the feed. Upper and lower case are the same.
    #[must_use]
    pub fn matches(&self, post: &Post) -> bool {
        let is_spoken = |tag: &String| {
            let language = tag.split('-').next().unwrap_or_default();
            let is_same = |wanted: &String| language.eq_ignore_ascii_case(wanted);
            self.languages.iter().any(is_same)
        };
        if !self.languages.is_empty() && !post.langs.iter().any(is_spoken) {
            return false;
        }
        let text = post.text.to_lowercase();
        self.keywords.is_empty() || self.keywords.iter().any(|word| text.contains(word))
    }
}

/// The parts of an `app.bsky.feed.post` that the rule reads.
#[derive(Clone, Debug, Deserialize)]
pub struct Post {
    /// The text of the post.
    pub text: String,
    /// The languages that its author says it is in.
    #[serde(default)]
    pub langs: Vec<String>,
}
