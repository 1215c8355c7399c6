use std::sync::Arc;

use super::did::Did;
use super::error::{IdentifierError, Syntax};
use super::handle::Handle;
use super::nsid::Nsid;
use super::record_key::RecordKey;

/// The address of a repository, a collection or a record, in the restricted form that lexicons
/// allow: `at://`, a DID or handle, and perhaps a collection and then a record key.
///
/// No trailing slash, query or fragment; at most 8192 bytes. Source: the AT URI specification.
///
/// # Examples
///
/// ```
/// use jetwash_event::AtUri;
///
/// let uri: AtUri = "at://did:web:example.com/app.bsky.feed.post/3jzfcijpj2z2a".parse()?;
/// assert_eq!(uri.authority(), "did:web:example.com");
/// assert_eq!(uri.collection(), Some("app.bsky.feed.post"));
/// assert_eq!(uri.record_key(), Some("3jzfcijpj2z2a"));
/// # Ok::<(), jetwash_event::IdentifierError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AtUri(Arc<str>);

impl AtUri {
    /// The longest that is accepted, in bytes.
    pub const MAX_LENGTH: usize = 8192;

    /// Checks text without taking it over.
    ///
    /// # Errors
    ///
    /// When it is not an AT URI of the restricted form.
    pub fn check(text: &str) -> Result<(), IdentifierError> {
        let fail = |rule| Syntax::AtUri.error(rule);
        Syntax::AtUri.require(text.len() <= Self::MAX_LENGTH, "longer than 8192 bytes")?;
        let rest = text.strip_prefix(SCHEME);
        let rest = rest.ok_or_else(|| fail("does not start with `at://`"))?;
        let mut parts = rest.split('/');
        // A split has at least one part.
        let authority = parts.next().unwrap_or(rest);
        if authority.starts_with("did:") {
            Did::check(authority).map_err(|_| fail("the authority is not a DID"))?;
        } else {
            Handle::check(authority)
                .map_err(|_| fail("the authority is neither a DID nor a handle"))?;
        }
        if let Some(collection) = parts.next() {
            Nsid::check(collection).map_err(|_| fail("the collection is not an NSID"))?;
        }
        if let Some(key) = parts.next() {
            RecordKey::check(key).map_err(|_| fail("the record key is not valid"))?;
        }
        match parts.next() {
            None => Ok(()),
            Some(_) => Err(fail("more than a collection and a record key")),
        }
    }

    /// The DID or handle.
    #[must_use]
    pub fn authority(&self) -> &str {
        let authority = self.part(0);
        debug_assert!(authority.is_some(), "an AT URI without its scheme");
        authority.unwrap_or_default()
    }

    /// The collection, if it names one.
    #[must_use]
    pub fn collection(&self) -> Option<&str> {
        self.part(1)
    }

    /// The record key, if it names one.
    #[must_use]
    pub fn record_key(&self) -> Option<&str> {
        self.part(2)
    }

    fn part(&self, index: usize) -> Option<&str> {
        self.0.get(SCHEME.len()..)?.split('/').nth(index)
    }
}

super::shared_text!(AtUri);

const SCHEME: &str = "at://";
