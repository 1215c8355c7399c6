use std::sync::Arc;

use super::error::{IdentifierError, Syntax};

/// The name of a collection or of another lexicon: a domain backwards, and a name.
///
/// Three segments or more, at most 317 bytes; case-sensitive. Source: the NSID specification of
/// atproto.
///
/// # Examples
///
/// ```
/// use jetwash_event::Nsid;
///
/// let nsid: Nsid = "app.bsky.feed.post".parse()?;
/// assert_eq!(nsid.authority(), "app.bsky.feed");
/// assert_eq!(nsid.name(), "post");
/// assert!("app.bsky.feed.*".parse::<Nsid>().is_err());
/// # Ok::<(), jetwash_event::IdentifierError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nsid(Arc<str>);

impl Nsid {
    /// The longest that is accepted, in bytes.
    pub const MAX_LENGTH: usize = 317;

    /// Checks text without taking it over.
    ///
    /// # Errors
    ///
    /// When it is not an NSID.
    pub fn check(text: &str) -> Result<(), IdentifierError> {
        let require = |kept, rule| Syntax::Nsid.require(kept, rule);
        require(text.len() <= Self::MAX_LENGTH, "longer than 317 bytes")?;
        let parts = text.rsplit_once('.');
        let (authority, name) = parts.ok_or(Syntax::Nsid.error(TOO_FEW_SEGMENTS))?;
        require(authority.contains('.'), TOO_FEW_SEGMENTS)?;
        for segment in authority.split('.') {
            check_domain_segment(segment).map_err(|rule| Syntax::Nsid.error(rule))?;
        }
        require(
            text.as_bytes()[0].is_ascii_alphabetic(),
            "does not start with a letter",
        )?;
        require(!name.is_empty(), "an empty name")?;
        require(name.len() <= MAX_SEGMENT_LENGTH, SEGMENT_TOO_LONG)?;
        require(
            name.as_bytes()[0].is_ascii_alphabetic(),
            "a name that does not start with a letter",
        )?;
        require(
            name.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "a name with other characters than letters and digits",
        )
    }

    /// The domain, backwards as it is written.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.split().0
    }

    /// The last segment.
    #[must_use]
    pub fn name(&self) -> &str {
        self.split().1
    }

    fn split(&self) -> (&str, &str) {
        let parts = self.0.rsplit_once('.');
        debug_assert!(parts.is_some(), "an NSID of one segment");
        parts.unwrap_or_default()
    }
}

super::shared_text!(Nsid);

const MAX_SEGMENT_LENGTH: usize = 63;
const TOO_FEW_SEGMENTS: &str = "fewer than three segments";
const SEGMENT_TOO_LONG: &str = "a segment longer than 63 bytes";

/// Checks one label of a domain name, as handles and NSIDs have them.
pub(crate) fn check_domain_segment(segment: &str) -> Result<(), &'static str> {
    let bytes = segment.as_bytes();
    match bytes {
        [] => Err("an empty segment"),
        [b'-', ..] | [.., b'-'] => Err("a segment that starts or ends with a hyphen"),
        _ if bytes.len() > MAX_SEGMENT_LENGTH => Err(SEGMENT_TOO_LONG),
        _ if bytes
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-') =>
        {
            Ok(())
        }
        _ => Err("a segment with other characters than letters, digits and hyphens"),
    }
}
