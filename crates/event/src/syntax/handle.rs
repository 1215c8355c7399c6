use std::sync::Arc;

use super::error::{IdentifierError, Syntax};
use super::nsid::check_domain_segment;

/// A name that stands for an account: a domain name of two segments or more.
///
/// Kept as it is written; two handles that differ in case only name the same account, see
/// [`normalized`](Self::normalized). Names under top-level domains that never resolve (such as
/// `.invalid`) are valid as text. Source: the handle specification of atproto.
///
/// # Examples
///
/// ```
/// use jetwash_event::Handle;
///
/// let handle: Handle = "Alice.example.com".parse()?;
/// assert_eq!(handle.normalized(), "alice.example.com");
/// assert!("localhost".parse::<Handle>().is_err());
/// # Ok::<(), jetwash_event::IdentifierError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(Arc<str>);

impl Handle {
    /// The longest that is accepted, in bytes.
    pub const MAX_LENGTH: usize = 253;

    /// Checks text without taking it over.
    ///
    /// # Errors
    ///
    /// When it is not a handle.
    pub fn check(text: &str) -> Result<(), IdentifierError> {
        let require = |kept, rule| Syntax::Handle.require(kept, rule);
        require(text.len() <= Self::MAX_LENGTH, "longer than 253 bytes")?;
        let parts = text.rsplit_once('.');
        let (_, top) = parts.ok_or(Syntax::Handle.error("fewer than two segments"))?;
        for segment in text.split('.') {
            check_domain_segment(segment).map_err(|rule| Syntax::Handle.error(rule))?;
        }
        require(
            top.as_bytes()[0].is_ascii_alphabetic(),
            "a top-level domain that does not start with a letter",
        )
    }

    /// The same handle in lower case.
    #[must_use]
    pub fn normalized(&self) -> Self {
        if self.0.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Self(self.0.to_ascii_lowercase().into())
        } else {
            self.clone()
        }
    }
}

super::shared_text!(Handle);
