use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use crate::micros::Micros;

use super::error::{IdentifierError, Syntax};

/// A timestamp identifier: 13 digits of sortable base32, which hold microseconds and a clock
/// number.
///
/// Revisions of repositories are TIDs, and so are most record keys. The order of the text is the
/// order in time. Source: the TID specification of atproto.
///
/// # Examples
///
/// ```
/// use jetwash_event::{Micros, Tid};
///
/// let tid: Tid = "3jzfcijpj2z2a".parse()?;
/// assert_eq!(tid.time(), Micros::new(1_688_137_381_887_007));
/// assert_eq!(tid.clock(), 6);
/// assert!(tid < "3jzfcijpj2z2b".parse()?);
/// # Ok::<(), jetwash_event::IdentifierError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid([u8; Self::LENGTH]);

impl Tid {
    /// The length of the text in bytes.
    pub const LENGTH: usize = 13;

    /// Checks text without taking it over.
    ///
    /// # Errors
    ///
    /// When it is not a TID.
    #[inline]
    pub fn check(text: &str) -> Result<(), IdentifierError> {
        parse(text).map(|_| ())
    }

    /// Returns the time by the clock of the program that made it.
    #[must_use]
    pub fn time(&self) -> Micros {
        Micros::new(self.bits() >> CLOCK_BITS)
    }

    /// The number that keeps the TIDs of two clocks apart: 10 bits.
    #[must_use]
    pub fn clock(&self) -> u16 {
        (self.bits() & ((1 << CLOCK_BITS) - 1)) as u16
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let text = std::str::from_utf8(&self.0);
        debug_assert!(text.is_ok(), "digits that are not ASCII");
        text.unwrap_or_default()
    }

    fn bits(&self) -> u64 {
        let digit = |byte: u8| match byte {
            b'2'..=b'7' => byte - b'2',
            _ => byte.wrapping_sub(b'a').wrapping_add(6),
        };
        let digits = self.0.iter().map(|&byte| u64::from(digit(byte)));
        digits.fold(0, |bits, digit| bits << 5 | digit)
    }
}

impl AsRef<str> for Tid {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Tid {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tid({})", self.as_str())
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Tid> for String {
    fn from(tid: Tid) -> Self {
        tid.as_str().to_owned()
    }
}

impl FromStr for Tid {
    type Err = IdentifierError;

    fn from_str(text: &str) -> Result<Self, IdentifierError> {
        parse(text).map(|digits| Self(*digits))
    }
}

impl PartialEq<str> for Tid {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Tid {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl TryFrom<&str> for Tid {
    type Error = IdentifierError;

    fn try_from(text: &str) -> Result<Self, IdentifierError> {
        text.parse()
    }
}

impl TryFrom<String> for Tid {
    type Error = IdentifierError;

    fn try_from(text: String) -> Result<Self, IdentifierError> {
        text.parse()
    }
}

super::text_serde!(Tid);

const CLOCK_BITS: u32 = 10;

fn parse(text: &str) -> Result<&[u8; Tid::LENGTH], IdentifierError> {
    let fail = |rule| Syntax::Tid.error(rule);
    let digits: &[u8; Tid::LENGTH] = text
        .as_bytes()
        .try_into()
        .map_err(|_| fail("not 13 bytes long"))?;
    if !digits
        .iter()
        .all(|byte| matches!(byte, b'2'..=b'7' | b'a'..=b'z'))
    {
        return Err(fail("a character other than `2` to `7` and `a` to `z`"));
    }
    // Thirteen digits hold 65 bits, of which the first has to be zero.
    if digits[0] > b'j' {
        return Err(fail("more than 64 bits"));
    }
    Ok(digits)
}
