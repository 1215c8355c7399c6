use axum::http::HeaderMap;
use jetwash::{Filter, Kind, Seq};
use thiserror::Error;

use crate::subscriber::pairs::Pairs;

/// A viewer's wish: which events it wants to see, and after which one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    pub(crate) filter: Filter,
    needle: Option<String>,
    /// The last event that it has seen, or that was passed over.
    pub(crate) after: Option<Seq>,
}

/// Why a wish is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum WishError {
    #[error("{0:?} is neither a collection nor the beginning of some, such as app.bsky.graph.*")]
    Collection(String),
    #[error("{0:?} is not a DID")]
    Did(String),
    #[error("a filter has up to {MOST_NAMES} collections, and as many DIDs")]
    TooMany,
    #[error("the text of a filter has up to {MOST_TEXT} bytes")]
    TooLong,
    #[error("{0:?} is not the position of an event")]
    After(String),
}

impl Wish {
    /// Reads `collection`, `did` and `text`, of which the first two may have several values, also with commas
    /// between them; `after`, and the header that a browser sends when it connects again.
    pub(crate) fn parse(query: &str, headers: &HeaderMap) -> Result<Self, WishError> {
        let pairs = Pairs::parse(query);
        let (collections, dids) = (names(&pairs, "collection"), names(&pairs, "did"));
        if collections.len().max(dids.len()) > MOST_NAMES {
            return Err(WishError::TooMany);
        }
        let mut filter = Filter::new();
        if !collections.is_empty() {
            filter = filter.kinds([Kind::Commit]);
        }
        for name in collections {
            let added = filter.collections([&name]);
            filter = added.map_err(|_| WishError::Collection(name))?;
        }
        for did in dids {
            let added = filter.dids([&did]);
            filter = added.map_err(|_| WishError::Did(did))?;
        }
        let text = pairs.first("text").trim();
        if text.len() > MOST_TEXT {
            return Err(WishError::TooLong);
        }
        let after = match pairs.first("after") {
            "" => last_event_id(headers),
            text => {
                let number = text.parse().map(Seq::new);
                Some(number.map_err(|_| WishError::After(text.to_owned()))?)
            }
        };
        Ok(Self {
            filter,
            needle: (!text.is_empty()).then(|| needle(text)),
            after,
        })
    }

    /// Whether it wants a line that its filter matches.
    pub(crate) fn wants(&self, line: &[u8]) -> bool {
        let Some(needle) = &self.needle else {
            return true;
        };
        let line = std::str::from_utf8(line).unwrap_or_default();
        line.to_lowercase().contains(needle)
    }

    /// Whether it takes the line itself to say whether that is wanted.
    pub(crate) const fn has_text(&self) -> bool {
        self.needle.is_some()
    }
}

/// The values of a parameter, with or without commas between them.
fn names(pairs: &Pairs, parameter: &str) -> Vec<String> {
    let values = pairs.all(parameter).into_iter();
    let names = values.flat_map(|value| value.split(',')).map(str::trim);
    let names = names.filter(|name| !name.is_empty());
    // One more than may be, so that nobody makes this long.
    names.take(MOST_NAMES + 1).map(str::to_owned).collect()
}

/// Nothing where it is not a number: it then is not from here.
fn last_event_id(headers: &HeaderMap) -> Option<Seq> {
    let id = headers.get("last-event-id")?.to_str().ok()?;
    id.parse().ok().map(Seq::new)
}

/// A text as it stands in a line of the log, in lower case: with the escapes that Go's encoder
/// writes, and so does ours.
fn needle(text: &str) -> String {
    let mut needle = String::new();
    for character in text.to_lowercase().chars() {
        match character {
            '"' | '\\' => needle.extend(['\\', character]),
            '\u{0}'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                needle.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => needle.push(character),
        }
    }
    needle
}

const MOST_NAMES: usize = 50;
const MOST_TEXT: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Wish, WishError> {
        Wish::parse(query, &HeaderMap::new())
    }

    #[test]
    fn a_wish_is_read_from_the_query() {
        let wish =
            parse("collection=app.bsky.feed.post,app.bsky.graph.*&did=did:web:a.example&text=")
                .expect("a wish");
        let filter = &wish.filter;
        let post = Some("app.bsky.feed.post");
        assert!(filter.matches(Kind::Commit, "did:web:a.example", post));
        assert!(filter.matches(
            Kind::Commit,
            "did:web:a.example",
            Some("app.bsky.graph.follow")
        ));
        assert!(!filter.matches(Kind::Commit, "did:web:b.example", post));
        assert!(!filter.matches(Kind::Identity, "did:web:a.example", None));
        assert!(!wish.has_text());
        assert_eq!(wish.after, None);
    }

    #[test]
    fn a_wish_that_makes_no_sense_is_refused_with_the_reason() {
        let refused = |query: &str| parse(query).expect_err(query).to_string();
        assert!(refused("collection=posts").starts_with(r#""posts" is neither"#));
        assert_eq!(refused("did=alice"), r#""alice" is not a DID"#);
        assert_eq!(
            refused("after=-1"),
            r#""-1" is not the position of an event"#
        );
        assert_eq!(
            parse(&format!("text={}", "x".repeat(201))).err(),
            Some(WishError::TooLong)
        );
        let many = "did:web:a.example,".repeat(51);
        assert_eq!(
            parse(&format!("did={many}")).err(),
            Some(WishError::TooMany)
        );
    }

    #[test]
    fn text_is_found_whatever_its_case_and_its_escapes() {
        let line = br#"{"text":"\u003cB\u003e \"H\u00c9\" \\ \u0026 \u00c5ngstr\u00f6m"}"#;
        let line = String::from_utf8_lossy(line).replace("\\u00c9", "É");
        let line = line.replace("\\u00c5", "Å").replace("\\u00f6", "ö");
        for text in ["<b>", "%22h%C3%A9%22", "%C3%A5NGSTR%C3%96M", "%5C %26"] {
            let wish = parse(&format!("text={}", text.replace(' ', "+"))).expect(text);
            assert!(wish.wants(line.as_bytes()), "{text}");
        }
        assert!(
            !parse("text=ngstrom")
                .expect("a wish")
                .wants(line.as_bytes())
        );
    }

    #[test]
    fn the_last_event_comes_from_the_browser_or_the_page() {
        let mut headers = HeaderMap::new();
        headers.insert("last-event-id", "42".parse().expect("a value"));
        let after =
            |query: &str, headers: &HeaderMap| Wish::parse(query, headers).expect("a wish").after;
        assert_eq!(after("", &headers), Some(Seq::new(42)));
        assert_eq!(after("after=7", &headers), Some(Seq::new(7)));
        headers.insert("last-event-id", "elsewhere".parse().expect("a value"));
        assert_eq!(after("", &headers), None);
    }
}
