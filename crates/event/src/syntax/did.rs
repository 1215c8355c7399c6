use std::sync::Arc;

use super::error::{IdentifierError, Syntax};

/// The identifier of an account: `did:`, a method in lower case, `:`, and an identifier of that
/// method.
///
/// Case-sensitive, at most 2048 bytes, with no path, query or fragment. Whether the method is
/// one that AT Protocol resolves (`plc`, `web`) is not checked. Source: the DID section of the
/// atproto specification.
///
/// # Examples
///
/// ```
/// use jetwash_event::Did;
///
/// let did: Did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse()?;
/// assert_eq!(did.method(), "plc");
/// assert!("did:plc:ewvi7nxz/path".parse::<Did>().is_err());
/// # Ok::<(), jetwash_event::IdentifierError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Did(Arc<str>);

impl Did {
    /// The longest that is accepted, in bytes.
    pub const MAX_LENGTH: usize = 2048;

    /// Checks text without taking it over.
    ///
    /// # Errors
    ///
    /// When it is not a DID.
    #[inline]
    pub fn check(text: &str) -> Result<(), IdentifierError> {
        // Nearly every account is a `did:plc`, always of this length.
        let bytes = text.as_bytes();
        if bytes.len() == PLC_LENGTH
            && bytes.starts_with(b"did:plc:")
            && bytes[8..].iter().all(u8::is_ascii_alphanumeric)
        {
            return Ok(());
        }
        check_any(text)
    }

    /// The method: the part between the first two colons.
    #[must_use]
    pub fn method(&self) -> &str {
        let method = self.0.split(':').nth(1);
        debug_assert!(method.is_some(), "a DID without a method");
        method.unwrap_or_default()
    }
}

super::shared_text!(Did);

/// `did:plc:` and 24 digits.
const PLC_LENGTH: usize = 32;

fn check_any(text: &str) -> Result<(), IdentifierError> {
    let require = |kept, rule| Syntax::Did.require(kept, rule);
    require(text.len() <= Did::MAX_LENGTH, "longer than 2048 bytes")?;
    let rest = text.strip_prefix("did:");
    let rest = rest.ok_or(Syntax::Did.error("does not start with `did:`"))?;
    let parts = rest.split_once(':');
    let (method, identifier) = parts.ok_or(Syntax::Did.error("no colon after the method"))?;
    require(
        !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_lowercase()),
        "a method that is not letters in lower case",
    )?;
    require(!identifier.is_empty(), "nothing after the method")?;
    require(
        identifier
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._:%-".contains(&byte)),
        "a character other than letters, digits and `.` `_` `:` `%` `-`",
    )?;
    require(!identifier.ends_with([':', '%']), "ends in `:` or `%`")
}
