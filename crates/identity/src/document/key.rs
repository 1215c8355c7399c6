use std::fmt;

/// The public key with which the commits of a repository are signed, as its DID document has it.
///
/// The text is base58btc and starts with `z`. Whether it is a point on a curve is not checked.
/// Source: the cryptography section of the atproto specification.
///
/// # Examples
///
/// ```
/// use jetwash_identity::{KeyType, SigningKey};
///
/// let text = "zQ3shrc8v5X6ZiANcZxA6JerfT2T4SskeCGxpmtDfMuHF9KRj";
/// let key = SigningKey::new(KeyType::Multikey, text).ok_or("not base58btc")?;
/// assert_eq!(key.multibase(), text);
/// assert!(SigningKey::new(KeyType::Multikey, "z0OIl").is_none());
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SigningKey {
    key_type: KeyType,
    multibase: Box<str>,
}

impl SigningKey {
    /// The longest text that is accepted, in bytes. A legacy key of 65 bytes has 89.
    pub const MAX_LENGTH: usize = 128;

    /// Makes a key from its text. Returns `None` unless that is `z` and up to 127 digits of
    /// base58btc.
    #[must_use]
    pub fn new(key_type: KeyType, multibase: &str) -> Option<Self> {
        let digits = multibase.strip_prefix('z')?;
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() && !b"0OIl".contains(&byte);
        let is_valid = !digits.is_empty()
            && multibase.len() <= Self::MAX_LENGTH
            && digits.bytes().all(is_digit);
        is_valid.then(|| Self {
            key_type,
            multibase: multibase.into(),
        })
    }

    /// How the text is to be read.
    #[must_use]
    pub const fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The text of `publicKeyMultibase`.
    #[must_use]
    pub fn multibase(&self) -> &str {
        &self.multibase
    }
}

/// The `type` of a verification method, which says how the text of its key is to be read.
///
/// # Examples
///
/// ```
/// use jetwash_identity::KeyType;
///
/// assert_eq!(KeyType::from_name("Multikey"), Some(KeyType::Multikey));
/// assert_eq!(KeyType::from_name("JsonWebKey2020"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyType {
    /// The curve is in the key: a varint multicodec before a compressed point.
    Multikey,
    /// Legacy, for k256: a point alone, of 33 or 65 bytes.
    EcdsaSecp256k1VerificationKey2019,
    /// Legacy, for p256: a point alone, of 33 or 65 bytes.
    EcdsaSecp256r1VerificationKey2019,
}

impl KeyType {
    /// Every type that is supported.
    pub const ALL: [Self; 3] = [
        Self::Multikey,
        Self::EcdsaSecp256k1VerificationKey2019,
        Self::EcdsaSecp256r1VerificationKey2019,
    ];

    /// Finds the type of this name. Returns `None` if it is not supported.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The name in DID documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Multikey => "Multikey",
            Self::EcdsaSecp256k1VerificationKey2019 => "EcdsaSecp256k1VerificationKey2019",
            Self::EcdsaSecp256r1VerificationKey2019 => "EcdsaSecp256r1VerificationKey2019",
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
