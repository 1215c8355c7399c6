use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::details::{Details, Embed, details, media_of};
use crate::field::parse;
use crate::syntax::Did;
use crate::words::has_word;

/// The facts about a record that filters by content need, found in one pass over its JSON.
///
/// Records can have any shape. A field of another type than the lexicons of `app.bsky` say counts
/// as absent.
///
/// # Examples
///
/// ```
/// use jetwash_event::Facts;
///
/// let facts = Facts::of(r#"{
///     "$type": "app.bsky.feed.post", "text": "Hej, København!", "langs": ["da-DK"],
///     "embed": {"$type": "app.bsky.embed.images", "images": []}
/// }"#);
/// assert!(facts.is_in_language("da") && !facts.is_in_language("de"));
/// assert!(facts.has_media() && !facts.is_reply());
/// assert!(facts.has_text("københavn"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    languages: Box<[Box<str>]>,
    mentions: Box<[Box<str>]>,
    subject: Option<Box<str>>,
    /// In lower case.
    text: Box<str>,
    is_reply: bool,
    has_media: bool,
    details: Option<Box<Details>>,
}

impl Facts {
    /// Returns all facts about a record, given as JSON. Anything but an object has no facts.
    #[must_use]
    pub fn of(record: &str) -> Self {
        let Ok(fields) = serde_json::from_str::<Fields<'_>>(record) else {
            return Self::default();
        };
        let details = details(fields.tags, fields.facets, fields.embed).map(Box::new);
        Self {
            details,
            ..Self::of_fields(fields)
        }
    }

    /// Returns the facts about a record without its hashtags, alt texts and links, which is
    /// cheaper. [`ContentFilter::needs_details`](crate::ContentFilter::needs_details) says whether
    /// a filter asks for them.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_event::Facts;
    ///
    /// let record = r#"{"text": "Kaffe", "tags": ["kaffe"]}"#;
    /// assert!(Facts::without_details(record).has_text("kaffe"));
    /// assert_eq!(Facts::without_details(record).hashtags().count(), 0);
    /// assert_eq!(Facts::of(record).hashtags().count(), 1);
    /// ```
    #[must_use]
    pub fn without_details(record: &str) -> Self {
        let fields = serde_json::from_str::<Fields<'_>>(record);
        fields.map(Self::of_fields).unwrap_or_default()
    }

    fn of_fields(fields: Fields<'_>) -> Self {
        let text: Option<Cow<'_, str>> = parse(fields.text);
        let languages: Option<Vec<Box<str>>> = parse(fields.langs);
        Self {
            languages: languages.unwrap_or_default().into(),
            mentions: mentions(fields.facets),
            subject: subject(fields.subject),
            text: text
                .map(|text| text.to_lowercase().into())
                .unwrap_or_default(),
            is_reply: fields
                .reply
                .is_some_and(|reply| reply.get().starts_with('{')),
            has_media: has_media(fields.embed),
            details: None,
        }
    }

    /// Whether the record names a language, given as a tag of BCP 47: `da` stands for
    /// `da-DK` too. Case does not matter.
    #[must_use]
    pub fn is_in_language(&self, tag: &str) -> bool {
        let is_in = |language: &str| {
            let start = language.get(..tag.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(tag))
                && matches!(language.as_bytes().get(tag.len()), None | Some(b'-'))
        };
        !tag.is_empty() && self.languages.iter().any(|language| is_in(language))
    }

    /// The languages that the record names, as they are written.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.languages.iter().map(|language| &**language)
    }

    /// Whether it is a reply. Any other post is the root of its thread.
    #[must_use]
    pub const fn is_reply(&self) -> bool {
        self.is_reply
    }

    /// The accounts that its text mentions, by DID.
    pub fn mentions(&self) -> impl Iterator<Item = &str> {
        self.mentions.iter().map(|did| &**did)
    }

    /// Whether it has pictures or a video.
    #[must_use]
    pub const fn has_media(&self) -> bool {
        self.has_media
    }

    /// The account that it is about: who is followed, blocked or listed, and whose record is liked
    /// or reposted.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Whether its text contains `term` anywhere. Case does not matter if `term` is in lower case.
    #[must_use]
    pub fn has_text(&self, term: &str) -> bool {
        self.text.contains(term)
    }

    /// Whether its text contains `word` as a whole word, or as whole words if it has several. Case
    /// does not matter if `word` is in lower case. See [`ContentFilter::word`] for what a word is.
    ///
    /// [`ContentFilter::word`]: crate::ContentFilter::word
    #[must_use]
    pub fn has_word(&self, word: &str) -> bool {
        has_word(&self.text, word)
    }

    /// Its hashtags in lower case and without `#`: those in its text, and those beside it.
    pub fn hashtags(&self) -> impl Iterator<Item = &str> {
        strings(self.details.as_ref().map(|details| &*details.hashtags))
    }

    /// The descriptions of its pictures or its video, in lower case.
    pub fn alt_texts(&self) -> impl Iterator<Item = &str> {
        strings(self.details.as_ref().map(|details| &*details.alt_texts))
    }

    /// The hosts that it links to, in lower case: from links in its text, and from its preview of a
    /// page.
    pub fn link_hosts(&self) -> impl Iterator<Item = &str> {
        strings(self.details.as_ref().map(|details| &*details.link_hosts))
    }
}

fn strings(list: Option<&[Box<str>]>) -> impl Iterator<Item = &str> {
    list.into_iter().flatten().map(|value| &**value)
}

/// The fields that are looked at, still unparsed.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    langs: Option<&'a RawValue>,
    #[serde(borrow)]
    reply: Option<&'a RawValue>,
    #[serde(borrow)]
    facets: Option<&'a RawValue>,
    #[serde(borrow)]
    embed: Option<&'a RawValue>,
    #[serde(borrow)]
    subject: Option<&'a RawValue>,
    #[serde(borrow)]
    tags: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Facet<'a> {
    #[serde(borrow)]
    features: Vec<Feature<'a>>,
}

#[derive(Deserialize)]
struct Feature<'a> {
    /// Only mentions have one.
    did: Option<Cow<'a, str>>,
}

fn mentions(facets: Option<&RawValue>) -> Box<[Box<str>]> {
    let facets: Vec<Facet<'_>> = parse(facets).unwrap_or_default();
    let features = facets.into_iter().flat_map(|facet| facet.features);
    features
        .filter_map(|feature| Some(feature.did?.into()))
        .collect()
}

fn has_media(embed: Option<&RawValue>) -> bool {
    let embed = parse::<Embed<'_>>(embed);
    let kind = embed.and_then(|embed| media_of(embed)?.kind);
    matches!(
        kind.as_deref(),
        Some("app.bsky.embed.images" | "app.bsky.embed.video")
    )
}

/// A subject is a DID, a URI, or a reference with a URI in it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Subject<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Reference {
        #[serde(borrow)]
        uri: Cow<'a, str>,
    },
}

fn subject(subject: Option<&RawValue>) -> Option<Box<str>> {
    let text = match parse(subject)? {
        Subject::Text(text) | Subject::Reference { uri: text } => text,
    };
    let account = match text.strip_prefix("at://") {
        // A split has at least one part.
        Some(rest) => rest.split('/').next().unwrap_or(rest),
        None => &text,
    };
    Did::check(account).ok()?;
    Some(account.into())
}
