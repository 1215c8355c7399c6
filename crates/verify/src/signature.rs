use thiserror::Error;

/// A curve of atproto.
///
/// # Examples
///
/// ```
/// use jetwash_verify::{Curve, PublicKey};
///
/// let key = PublicKey::from_multikey("zQ3shrc8v5X6ZiANcZxA6JerfT2T4SskeCGxpmtDfMuHF9KRj")?;
/// assert_eq!(key.curve(), Curve::K256);
/// # Ok::<(), jetwash_verify::KeyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Curve {
    /// secp256k1, which nearly every account uses.
    K256 = 1,
    /// P-256, also named secp256r1.
    P256 = 2,
}

impl Curve {
    /// The greatest `s` of a signature: half the order of the curve.
    const fn half_order(self) -> &'static [u8; 32] {
        match self {
            Self::K256 => &HALF_ORDER_K256,
            Self::P256 => &HALF_ORDER_P256,
        }
    }
}

/// Why a signature is refused.
///
/// # Examples
///
/// ```
/// use jetwash_verify::{PublicKey, SignatureError};
///
/// let key = PublicKey::from_multikey("zQ3shrc8v5X6ZiANcZxA6JerfT2T4SskeCGxpmtDfMuHF9KRj")?;
/// let error = key.verify(b"a message", &[0xff; 64]).unwrap_err();
/// assert_eq!(error, SignatureError::HighS);
/// # Ok::<(), jetwash_verify::KeyError>(())
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureError {
    /// `s` is the higher of the two values that fit.
    #[error("`s` is above half the order of the curve")]
    HighS,
    /// The signature is of this length in bytes, where 64 are right.
    #[error("the signature has {0} bytes")]
    Length(usize),
    /// It has the right form, and is not a signature of this message with this key.
    #[error("not a signature of the message with this key")]
    Mismatch,
    /// `r` or `s` is zero, or not below the order of the curve.
    #[error("`r` or `s` is out of range")]
    Range,
}

/// Checks the form of a signature, for a curve or for whichever curve the key will be of.
pub(crate) fn check_form(
    signature: &[u8],
    curve: Option<Curve>,
) -> Result<&[u8; 64], SignatureError> {
    let bytes: &[u8; 64] = signature
        .try_into()
        .map_err(|_| SignatureError::Length(signature.len()))?;
    let (r, s) = bytes.split_at(32);
    if r.iter().all(|&byte| byte == 0) || s.iter().all(|&byte| byte == 0) {
        return Err(SignatureError::Range);
    }
    // The half order of secp256k1 is the greater of the two.
    let half_order = curve.unwrap_or(Curve::K256).half_order();
    if s > &half_order[..] {
        return Err(SignatureError::HighS);
    }
    Ok(bytes)
}

const HALF_ORDER_K256: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];
const HALF_ORDER_P256: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];
