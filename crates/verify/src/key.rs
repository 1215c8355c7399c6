use std::fmt;

use k256::ecdsa::signature::hazmat::PrehashVerifier;
use thiserror::Error;

use crate::signature::{Curve, SignatureError, check_form};

/// The public key with which an account signs its commits: a point of secp256k1 or of P-256.
///
/// It is parsed once and kept by the caller. It takes at most 104 bytes in memory and is cloned by
/// copying them; [`to_bytes`](Self::to_bytes) packs it into 34.
///
/// Source: the cryptography and DID specifications of atproto.
///
/// # Examples
///
/// ```
/// use jetwash_verify::PublicKey;
///
/// let text = "zQ3shrc8v5X6ZiANcZxA6JerfT2T4SskeCGxpmtDfMuHF9KRj";
/// let key = PublicKey::from_multikey(text)?;
/// assert_eq!(key.to_string(), format!("did:key:{text}"));
/// assert_eq!(PublicKey::from_bytes(&key.to_bytes())?, key);
/// # Ok::<(), jetwash_verify::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Point);

impl PublicKey {
    /// The length of [`to_bytes`](Self::to_bytes).
    pub const LENGTH: usize = 34;

    /// Reads the `publicKeyMultibase` of a verification method of the type `Multikey`: `z` and, in
    /// base58, the code of the curve and the compressed point.
    ///
    /// # Errors
    ///
    /// When the text is something else, is of another curve, or the point is not on the curve.
    pub fn from_multikey(text: &str) -> Result<Self, KeyError> {
        let mut buffer = [0; MOST_BYTES];
        match multibase(text, &mut buffer)? {
            [0xe7, 0x01, point @ ..] => Self::from_point(Curve::K256, compressed(point)?),
            [0x80, 0x24, point @ ..] => Self::from_point(Curve::P256, compressed(point)?),
            _ => Err(KeyError::Curve),
        }
    }

    /// Reads a `did:key:` identifier.
    ///
    /// # Errors
    ///
    /// As [`from_multikey`](Self::from_multikey).
    pub fn from_did_key(text: &str) -> Result<Self, KeyError> {
        let multikey = text.strip_prefix("did:key:").ok_or(KeyError::Prefix)?;
        Self::from_multikey(multikey)
    }

    /// Reads the key of a verification method of a DID document, from its `type` and its
    /// `publicKeyMultibase`.
    ///
    /// Besides `Multikey` there are two legacy types, in which the type names the curve and the
    /// text is the point alone: 65 bytes in documents that were seen, 33 in the vectors of the
    /// protocol.
    ///
    /// # Errors
    ///
    /// When the type is not known, or the text is not such a key.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_verify::PublicKey;
    ///
    /// let legacy = PublicKey::from_verification_method(
    ///     "EcdsaSecp256r1VerificationKey2019",
    ///     "zxdM8dSstjrpZaRUwBmDvjGXweKuEMVN95A9oJBFjkWMh",
    /// )?;
    /// let did_key = "did:key:zDnaembgSGUhZULN2Caob4HLJPaxBh92N7rtH21TErzqf8HQo";
    /// assert_eq!(legacy, PublicKey::from_did_key(did_key)?);
    /// # Ok::<(), jetwash_verify::KeyError>(())
    /// ```
    pub fn from_verification_method(kind: &str, multibase_text: &str) -> Result<Self, KeyError> {
        let curve = match kind {
            "Multikey" => return Self::from_multikey(multibase_text),
            "EcdsaSecp256k1VerificationKey2019" => Curve::K256,
            "EcdsaSecp256r1VerificationKey2019" => Curve::P256,
            _ => return Err(KeyError::Type),
        };
        let mut buffer = [0; MOST_BYTES];
        let point = multibase(multibase_text, &mut buffer)?;
        match point {
            [4, rest @ ..] if rest.len() == 64 => Self::from_point(curve, point),
            _ => Self::from_point(curve, compressed(point)?),
        }
    }

    /// Packs the key: a byte for the curve, and the compressed point.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [self.curve() as u8; Self::LENGTH];
        match &self.0 {
            Point::K256(key) => copy(&mut bytes[1..], key.to_sec1_point(true).as_bytes()),
            Point::P256(key) => copy(&mut bytes[1..], key.to_sec1_point(true).as_bytes()),
        }
        bytes
    }

    /// Reads the form of [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    ///
    /// When the bytes are not such a key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let (&code, point) = bytes.split_first().ok_or(KeyError::Length(0))?;
        let curve = match code {
            code if code == Curve::K256 as u8 => Curve::K256,
            code if code == Curve::P256 as u8 => Curve::P256,
            _ => return Err(KeyError::Curve),
        };
        Self::from_point(curve, compressed(point)?)
    }

    /// Checks a signature of `message`, which is hashed with SHA-256 first.
    ///
    /// # Errors
    ///
    /// As [`verify_digest`](Self::verify_digest).
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_verify::{PublicKey, SignatureError};
    ///
    /// let key = PublicKey::from_multikey("zQ3shrc8v5X6ZiANcZxA6JerfT2T4SskeCGxpmtDfMuHF9KRj")?;
    /// assert_eq!(key.verify(b"a message", &[1; 64]), Err(SignatureError::Mismatch));
    /// assert_eq!(key.verify(b"a message", &[1; 70]), Err(SignatureError::Length(70)));
    /// # Ok::<(), jetwash_verify::KeyError>(())
    /// ```
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        use sha2::{Digest, Sha256};
        self.verify_digest(&Sha256::digest(message).into(), signature)
    }

    /// Checks a signature of the message whose SHA-256 is `digest`.
    ///
    /// A signature is `r` and `s`, 32 bytes each, big-endian. Of the two values of `s` that fit,
    /// only the lower is accepted, on both curves.
    ///
    /// # Errors
    ///
    /// When it does not have that form, or is not a signature of the message with this key.
    pub fn verify_digest(&self, digest: &[u8; 32], signature: &[u8]) -> Result<(), SignatureError> {
        let signature = check_form(signature, Some(self.curve()))?;
        match &self.0 {
            Point::K256(key) => {
                let signature = k256::ecdsa::Signature::from_slice(signature);
                let signature = signature.map_err(|_| SignatureError::Range)?;
                let verified = key.verify_prehash(digest, &signature);
                verified.map_err(|_| SignatureError::Mismatch)
            }
            Point::P256(key) => {
                let signature = p256::ecdsa::Signature::from_slice(signature);
                let signature = signature.map_err(|_| SignatureError::Range)?;
                let verified = key.verify_prehash(digest, &signature);
                verified.map_err(|_| SignatureError::Mismatch)
            }
        }
    }

    /// The curve that the key is a point of.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        match self.0 {
            Point::K256(_) => Curve::K256,
            Point::P256(_) => Curve::P256,
        }
    }

    fn from_point(curve: Curve, point: &[u8]) -> Result<Self, KeyError> {
        let off_curve = |_| KeyError::Point;
        let point = match curve {
            Curve::K256 => k256::ecdsa::VerifyingKey::from_sec1_bytes(point).map(Point::K256),
            Curve::P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map(Point::P256),
        };
        point.map(Self).map_err(off_curve)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl fmt::Display for PublicKey {
    /// Writes the key as `did:key:`, which ends in the form that `Multikey` has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packed = self.to_bytes();
        let mut bytes = [0; 35];
        bytes[..2].copy_from_slice(match self.curve() {
            Curve::K256 => &[0xe7, 0x01],
            Curve::P256 => &[0x80, 0x24],
        });
        bytes[2..].copy_from_slice(&packed[1..]);
        write!(f, "did:key:z{}", bs58::encode(bytes).into_string())
    }
}

/// Why text or bytes are not a key that can be used.
///
/// # Examples
///
/// ```
/// use jetwash_verify::{KeyError, PublicKey};
///
/// // A key of Ed25519, which atproto does not use.
/// let text = "z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
/// assert_eq!(PublicKey::from_multikey(text), Err(KeyError::Curve));
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is not base58, or far longer than a key.
    #[error("the text after `z` is not base58 of a key's length")]
    Base,
    /// A key of another curve than secp256k1 and P-256.
    #[error("neither a key of secp256k1 nor of P-256")]
    Curve,
    /// The point is of this length in bytes, where 33 are right, or 65 in a legacy document.
    #[error("the point has {0} bytes")]
    Length(usize),
    /// The coordinates are not those of a point of the curve.
    #[error("not a point of the curve")]
    Point,
    /// The text starts with neither `z` nor `did:key:z`, whichever is right here.
    #[error("the text does not start as a key does")]
    Prefix,
    /// A type of verification method that is not known.
    #[error("a type of verification method that is not known")]
    Type,
}

#[derive(Clone, PartialEq, Eq)]
enum Point {
    K256(k256::ecdsa::VerifyingKey),
    P256(p256::ecdsa::VerifyingKey),
}

/// The length of an uncompressed point with the code of a curve.
const MOST_BYTES: usize = 67;

fn multibase<'b>(text: &str, buffer: &'b mut [u8; MOST_BYTES]) -> Result<&'b [u8], KeyError> {
    let digits = text.strip_prefix('z').ok_or(KeyError::Prefix)?;
    // Decoding takes time with the square of the length.
    if digits.len() > MOST_BYTES * 3 / 2 {
        return Err(KeyError::Base);
    }
    let length = bs58::decode(digits).onto(&mut buffer[..]);
    let length = length.map_err(|_| KeyError::Base)?;
    buffer.get(..length).ok_or(KeyError::Base)
}

fn compressed(point: &[u8]) -> Result<&[u8], KeyError> {
    match point {
        [2 | 3, rest @ ..] if rest.len() == 32 => Ok(point),
        [_, rest @ ..] if rest.len() == 32 => Err(KeyError::Point),
        _ => Err(KeyError::Length(point.len())),
    }
}

fn copy(into: &mut [u8], point: &[u8]) {
    debug_assert_eq!(into.len(), point.len(), "a compressed point has 33 bytes");
    into.iter_mut()
        .zip(point)
        .for_each(|(to, from)| *to = *from);
}
