use std::sync::Arc;

use super::error::{IdentifierError, Syntax};

/// The name of a record within its collection.
///
/// One to 512 bytes of letters, digits and `.` `_` `:` `~` `-`, but neither `.` nor `..`;
/// case-sensitive. Most are [`Tid`](crate::Tid)s, but any other must be expected. Source: the
/// record key specification of atproto.
///
/// # Examples
///
/// ```
/// use jetwash_event::RecordKey;
///
/// let key: RecordKey = "did:web:example.com".parse()?;
/// assert_eq!(key, "did:web:example.com");
/// assert!("a/b".parse::<RecordKey>().is_err());
/// # Ok::<(), jetwash_event::IdentifierError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey(Arc<str>);

impl RecordKey {
    /// The longest that is accepted, in bytes.
    pub const MAX_LENGTH: usize = 512;

    /// Checks text without taking it over.
    ///
    /// # Errors
    ///
    /// When it is not a record key.
    pub fn check(text: &str) -> Result<(), IdentifierError> {
        let require = |kept, rule| Syntax::RecordKey.require(kept, rule);
        require(!text.is_empty(), "empty")?;
        require(text.len() <= Self::MAX_LENGTH, "longer than 512 bytes")?;
        require(text != "." && text != "..", "`.` or `..`")?;
        require(
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._:~-".contains(&byte)),
            "a character other than letters, digits and `.` `_` `:` `~` `-`",
        )
    }
}

super::shared_text!(RecordKey);
