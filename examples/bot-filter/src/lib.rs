//! The ears of a bot: posts that mention an account or contain a word.
//!
//! ```text
//! cargo run --release -p bot-filter            # a simulated network; stop it, and it continues there
//! cargo run --release -p bot-filter -- --relay relay1.us-east.bsky.network --data-dir ./bot \
//!   --mention did:plc:… --keyword 'remind me'
//! ```
//!
//! It answers nobody, it prints what a bot would answer to. Its handler is run by a consumer: that
//! stores how far it has come, so that nothing is missed between two runs, tries again what fails,
//! and puts aside what never works. As a handler may see an event twice, after a crash, a bot has to
//! note what it has answered, under the [`uri`](Hit::uri) of a [`Hit`].

use serde::Deserialize;

use jetwash::{Event, Operation};

/// The mentions and keywords that the bot listens for.
///
/// # Examples
///
/// ```
/// use bot_filter::Watch;
/// use jetwash::testing::{SimChange, did, events_of};
/// use serde_json::json;
///
/// let watch = Watch::new(["remind me"], [did(7)]);
/// let post = json!({"$type": "app.bsky.feed.post", "text": "Remind me tomorrow"});
/// let events = events_of([SimChange::create(did(0), "app.bsky.feed.post", "a", post)])?;
/// let hit = watch.look(&events[0]).unwrap();
/// assert_eq!(hit.because, "remind me");
/// # Ok::<(), jetwash::testing::TestingError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Watch {
    keywords: Vec<String>,
    mentions: Vec<String>,
}

/// A post that the bot has to do something about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The address of the post.
    pub uri: String,
    /// The keyword in it, or the account that it mentions.
    pub because: String,
    /// The text of the post.
    pub text: String,
}

impl Watch {
    /// Listens for keywords, in upper or lower case, and for mentions of accounts, by their DIDs.
    #[must_use]
    pub fn new(
        keywords: impl IntoIterator<Item = impl AsRef<str>>,
        mentions: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let keywords = keywords.into_iter();
        Self {
            keywords: keywords.map(|word| word.as_ref().to_lowercase()).collect(),
            mentions: mentions.into_iter().map(Into::into).collect(),
        }
    }

    /// Whether an event is a new post with something to react to. What is deleted or edited later
    /// is of no interest to a bot that has answered.
    #[must_use]
    pub fn look(&self, event: &Event) -> Option<Hit> {
        if event.operation() != Some(Operation::Create) {
            return None;
        }
        // A record of another shape is no post, whatever its collection says.
        let post: Post = event.record().ok()?;
        let because = self.mentioned_in(&post).or_else(|| self.said_in(&post))?;
        Some(Hit {
            uri: event.uri()?,
            because: because.to_owned(),
            text: post.text,
        })
    }

    fn mentioned_in(&self, post: &Post) -> Option<&str> {
        let features = post.facets.iter().flat_map(|facet| &facet.features);
        let mut accounts = features.filter_map(|feature| match feature {
            Feature::Mention { did } => Some(did),
            Feature::Other => None,
        });
        accounts.find_map(|did| Some(self.mentions.iter().find(|&wanted| wanted == did)?.as_str()))
    }

    fn said_in(&self, post: &Post) -> Option<&str> {
        let text = post.text.to_lowercase();
        let said = self.keywords.iter().find(|word| text.contains(*word));
        said.map(String::as_str)
    }
}

/// The parts of an `app.bsky.feed.post` that matter here.
#[derive(Debug, Deserialize)]
struct Post {
    text: String,
    #[serde(default)]
    facets: Vec<Facet>,
}

#[derive(Debug, Deserialize)]
struct Facet {
    features: Vec<Feature>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "$type")]
enum Feature {
    #[serde(rename = "app.bsky.richtext.facet#mention")]
    Mention { did: String },
    #[serde(other)]
    Other,
}

/// The examples of the guide, which have to run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/bot-author.md")]
struct Guide;

/// The bot of the tutorial, which has to compile, and its filter, which has to run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/tutorial.md")]
struct Tutorial;

/// The programs of the README, which have to compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
