//! The parts of a DID document that matter, and how they are read.

mod error;
mod key;
mod pds;
mod raw;

use jetwash_event::{Did, Handle};

pub use error::DocumentError;
pub use key::{KeyType, SigningKey};
pub use pds::PdsEndpoint;

use raw::Raw;

/// The parts of a DID document that AT Protocol uses.
///
/// A part that is missing or invalid is `None`: such a document still says something about the
/// rest. Parsing follows the DID section of the atproto specification: of several entries the
/// first valid one counts.
///
/// # Examples
///
/// ```
/// use jetwash_identity::{DidDocument, KeyType};
///
/// let did = "did:web:pds.test".parse()?;
/// let json = br##"{
///     "id": "did:web:pds.test",
///     "alsoKnownAs": ["at://alice.test"],
///     "verificationMethod": [{
///         "id": "#atproto",
///         "type": "Multikey",
///         "controller": "did:web:pds.test",
///         "publicKeyMultibase": "zQ3shrc8v5X6ZiANcZxA6JerfT2T4SskeCGxpmtDfMuHF9KRj"
///     }],
///     "service": [{
///         "id": "#atproto_pds",
///         "type": "AtprotoPersonalDataServer",
///         "serviceEndpoint": "https://pds.test"
///     }]
/// }"##;
/// let document = DidDocument::parse(json, &did)?;
/// assert_eq!(document.signing_key().ok_or("no key")?.key_type(), KeyType::Multikey);
/// assert_eq!(document.pds().ok_or("no PDS")?.as_str(), "https://pds.test");
/// assert_eq!(document.claimed_handle().ok_or("no handle")?.as_ref(), "alice.test");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DidDocument {
    did: Did,
    signing_key: Option<SigningKey>,
    pds: Option<PdsEndpoint>,
    claimed_handle: Option<Handle>,
}

impl DidDocument {
    /// The longest document that is read, in bytes: 65,536. Real ones have about 600.
    pub const MAX_BYTES: usize = raw::MAX_BYTES;

    /// The deepest nesting of arrays and objects that is read: 32. Real ones have three levels.
    pub const MAX_DEPTH: usize = raw::MAX_DEPTH;

    /// Reads the JSON of a document, which must be that of `did`.
    ///
    /// # Errors
    ///
    /// When it is too long, nests too deeply, is not a JSON object, or is that of another DID.
    pub fn parse(json: &[u8], did: &Did) -> Result<Self, DocumentError> {
        let raw = Raw::parse(json)?;
        if raw.id() != did.as_ref() {
            let found = raw.id().chars().take(100).collect();
            return Err(DocumentError::Id { found });
        }
        Ok(Self {
            did: did.clone(),
            signing_key: raw.signing_key(),
            pds: raw.pds(),
            claimed_handle: raw.claimed_handle(),
        })
    }

    /// Puts a document together from parts that were checked before.
    pub(crate) const fn from_parts(
        did: Did,
        signing_key: Option<SigningKey>,
        pds: Option<PdsEndpoint>,
        claimed_handle: Option<Handle>,
    ) -> Self {
        Self {
            did,
            signing_key,
            pds,
            claimed_handle,
        }
    }

    /// The DID that the document is about.
    #[must_use]
    pub const fn did(&self) -> &Did {
        &self.did
    }

    /// The key that signs the commits of the repository: the first entry of `verificationMethod`
    /// under `#atproto` with the DID as controller, a supported type and a base58btc key.
    #[must_use]
    pub const fn signing_key(&self) -> Option<&SigningKey> {
        self.signing_key.as_ref()
    }

    /// The host of the repository: the first `service` under `#atproto_pds` of the type
    /// `AtprotoPersonalDataServer` whose endpoint is an HTTP origin.
    #[must_use]
    pub const fn pds(&self) -> Option<&PdsEndpoint> {
        self.pds.as_ref()
    }

    /// The handle that the document claims, in lower case. Anyone can claim any handle, so it must
    /// not be shown before the handle was asked as well.
    #[must_use]
    pub const fn claimed_handle(&self) -> Option<&Handle> {
        self.claimed_handle.as_ref()
    }
}
