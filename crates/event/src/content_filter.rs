use crate::details::hashtag;
use crate::did_set::DidSet;
use crate::facts::Facts;
use crate::filter_error::FilterError;
use crate::host::is_within;

/// The records that a reader wants, by their content: a rule each for language, reply or root,
/// mentions, media, subject, text, whole words, hashtags, alt texts and links.
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
    /// In lower case, as all that follow.
    terms: Vec<Box<str>>,
    words: Vec<Box<str>>,
    /// Without `#`.
    hashtags: Vec<Box<str>>,
    alt_texts: Vec<Box<str>>,
    link_hosts: Vec<Box<str>>,
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

    /// Wants text that contains this as a whole word, or another given in the same way. It may be
    /// several words, as they are written. Case does not matter.
    ///
    /// A word ends where neither a letter, a digit, an underscore nor a combining diacritical mark
    /// follows; an apostrophe and a hyphen end it too. In scripts that put no space between words,
    /// use [`text`](Self::text). An empty word is in no text.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_event::{ContentFilter, Facts};
    ///
    /// let filter = ContentFilter::new().word("Øl");
    /// assert!(filter.matches(&Facts::of(r#"{"text": "Kom, drik en øl!"}"#)));
    /// assert!(!filter.matches(&Facts::of(r#"{"text": "Køl af"}"#)));
    /// ```
    #[must_use]
    pub fn word(mut self, word: &str) -> Self {
        self.words.push(word.to_lowercase().into());
        self
    }

    /// Wants this hashtag, or another given in the same way, with or without `#`: in the text, where
    /// the client has marked it as a facet, or in the `tags` of a post, which are not in its text.
    /// Case does not matter.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_event::{ContentFilter, Facts};
    ///
    /// let filter = ContentFilter::new().hashtag("#dkpol");
    /// assert!(filter.matches(&Facts::of(r#"{"text": "Valg!", "tags": ["DKpol"]}"#)));
    /// let facet = r##"{"text": "#dkpol", "facets": [{"features": [
    ///     {"$type": "app.bsky.richtext.facet#tag", "tag": "dkpol"}
    /// ]}]}"##;
    /// assert!(filter.matches(&Facts::of(facet)));
    /// assert!(!filter.matches(&Facts::of(r#"{"text": "x", "tags": ["dkpolitik"]}"#)));
    /// ```
    #[must_use]
    pub fn hashtag(mut self, tag: &str) -> Self {
        self.hashtags.push(hashtag(tag));
        self
    }

    /// Wants a picture or a video whose description contains this, or another term given in the
    /// same way, anywhere. Case does not matter. Media without a description do not pass.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_event::{ContentFilter, Facts};
    ///
    /// let filter = ContentFilter::new().alt_text("kat");
    /// let post = |alt| format!(r#"{{"text": "", "embed": {{"$type": "app.bsky.embed.images",
    ///     "images": [{{"alt": "{alt}", "image": {{}}}}]}}}}"#);
    /// assert!(filter.matches(&Facts::of(&post("En grå Kat"))));
    /// assert!(!filter.matches(&Facts::of(&post("En hund"))));
    /// ```
    #[must_use]
    pub fn alt_text(mut self, term: &str) -> Self {
        self.alt_texts.push(term.to_lowercase().into());
        self
    }

    /// Wants a link to this host or one below it, or to another given in the same way: in the text,
    /// or as the preview of a page. Case does not matter. An international name is compared as the
    /// link writes it, in Unicode or as `xn--…`.
    ///
    /// # Errors
    ///
    /// When it is not a host alone, but empty or an address with `/`, `:`, `@` or a space in it.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_event::{ContentFilter, Facts};
    ///
    /// let filter = ContentFilter::new().link_to("bbc.co.uk")?;
    /// let post = |uri| format!(r#"{{"text": "", "embed": {{
    ///     "$type": "app.bsky.embed.external", "external": {{"uri": "{uri}"}}}}}}"#);
    /// assert!(filter.matches(&Facts::of(&post("https://www.BBC.co.uk/news"))));
    /// assert!(!filter.matches(&Facts::of(&post("https://notbbc.co.uk/"))));
    /// assert!(ContentFilter::new().link_to("https://bbc.co.uk/").is_err());
    /// # Ok::<(), jetwash_event::FilterError>(())
    /// ```
    pub fn link_to(mut self, host: &str) -> Result<Self, FilterError> {
        let bare = host.strip_suffix('.').unwrap_or(host);
        let is_wrong = |character: char| "/\\:@?#".contains(character) || character.is_whitespace();
        if bare.is_empty() || bare.starts_with('.') || bare.contains(is_wrong) {
            return Err(FilterError::host(host));
        }
        self.link_hosts.push(bare.to_lowercase().into());
        Ok(self)
    }

    /// Whether a record is judged by its hashtags, alt texts or links: then it needs all
    /// [`Facts`], otherwise those [without details](Facts::without_details) are enough.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_event::ContentFilter;
    ///
    /// assert!(!ContentFilter::new().text("kaffe").word("te").needs_details());
    /// assert!(ContentFilter::new().hashtag("kaffe").needs_details());
    /// ```
    #[must_use]
    pub const fn needs_details(&self) -> bool {
        !(self.hashtags.is_empty() && self.alt_texts.is_empty() && self.link_hosts.is_empty())
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
            words,
            hashtags,
            alt_texts,
            link_hosts,
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
            && any(words, |word| facts.has_word(word))
            && any(hashtags, |tag| facts.hashtags().any(|of| of == tag))
            && any(alt_texts, |term| {
                facts.alt_texts().any(|text| text.contains(term))
            })
            && any(link_hosts, |domain| {
                facts.link_hosts().any(|host| is_within(host, domain))
            })
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
