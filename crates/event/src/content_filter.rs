use crate::did_set::DidSet;
use crate::facts::Facts;
use crate::filter_error::FilterError;

/// The records that a reader wants, by their content: a rule each for language, reply or root,
/// mentions, media, subject and text.
///
/// A record must pass all rules that are given. Where a rule is given several values, one of them
/// is enough.
///
/// # Examples
///
/// ```
/// use jetwash_event::{ContentFilter, Facts};
///
/// let filter = ContentFilter::new().languages(["da", "nb"]).replies(false).text("kaffe");
/// let record = |text| format!(r#"{{"langs": ["da"], "text": "{text}"}}"#);
/// assert!(filter.matches(&Facts::of(&record("Kaffe?"))));
/// assert!(!filter.matches(&Facts::of(&record("Te?"))));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ContentFilter {
    languages: Vec<Box<str>>,
    replies: Option<bool>,
    mentions: Option<DidSet>,
    media: Option<bool>,
    subjects: Option<DidSet>,
    /// In lower case.
    terms: Vec<Box<str>>,
}

impl ContentFilter {
    /// Makes a filter that lets every record pass.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wants one of these languages, as tags of BCP 47: `da` stands for `da-DK` too. Records that
    /// do not say their language do not pass.
    #[must_use]
    pub fn languages<T: AsRef<str>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.languages
            .extend(tags.into_iter().map(|tag| tag.as_ref().into()));
        self
    }

    /// Wants only replies, or only roots.
    #[must_use]
    pub const fn replies(mut self, are_wanted: bool) -> Self {
        self.replies = Some(are_wanted);
        self
    }

    /// Wants a mention of this account, or of another given in the same way.
    ///
    /// # Errors
    ///
    /// When it is not a DID.
    pub fn mentions(mut self, did: &str) -> Result<Self, FilterError> {
        add_to(&mut self.mentions, did)?;
        Ok(self)
    }

    /// Wants a mention of an account that is in a set at the moment of the question, in place of
    /// any that were given before.
    #[must_use]
    pub fn mentions_any(mut self, set: DidSet) -> Self {
        self.mentions = Some(set);
        self
    }

    /// Wants pictures or a video, or neither.
    #[must_use]
    pub const fn media(mut self, is_wanted: bool) -> Self {
        self.media = Some(is_wanted);
        self
    }

    /// Wants records about this account, or about another given in the same way: follows, blocks
    /// and list entries of it, likes and reposts of its records.
    ///
    /// # Errors
    ///
    /// When it is not a DID.
    pub fn subject(mut self, did: &str) -> Result<Self, FilterError> {
        add_to(&mut self.subjects, did)?;
        Ok(self)
    }

    /// Wants records about an account that is in a set at the moment of the question, in place of
    /// any that were given before.
    #[must_use]
    pub fn subjects_any(mut self, set: DidSet) -> Self {
        self.subjects = Some(set);
        self
    }

    /// Wants text that contains this, or another term given in the same way, anywhere. Case does
    /// not matter.
    #[must_use]
    pub fn text(mut self, term: &str) -> Self {
        self.terms.push(term.to_lowercase().into());
        self
    }

    /// Whether a record passes.
    #[must_use]
    pub fn matches(&self, facts: &Facts) -> bool {
        let Self {
            languages,
            replies,
            mentions,
            media,
            subjects,
            terms,
        } = self;
        replies.is_none_or(|wanted| wanted == facts.is_reply())
            && media.is_none_or(|wanted| wanted == facts.has_media())
            && any(languages, |tag| facts.is_in_language(tag))
            && subjects.as_ref().is_none_or(|set| {
                let subject = facts.subject();
                subject.is_some_and(|did| set.contains(did))
            })
            && mentions
                .as_ref()
                .is_none_or(|set| facts.mentions().any(|did| set.contains(did)))
            && any(terms, |term| facts.has_text(term))
    }
}

/// Whether one of the values passes, or the list is empty.
fn any(values: &[Box<str>], passes: impl Fn(&str) -> bool) -> bool {
    values.is_empty() || values.iter().any(|value| passes(value))
}

fn add_to(set: &mut Option<DidSet>, did: &str) -> Result<(), FilterError> {
    let added = set.get_or_insert_default().add(did);
    added.map_err(|error| FilterError::did(did, error))?;
    Ok(())
}
