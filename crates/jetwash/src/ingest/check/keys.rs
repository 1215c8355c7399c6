use std::fmt;
use std::sync::Arc;

use jetwash_event::Did;
use jetwash_identity::{DidDocument, Identities, ResolveError};
use jetwash_verify::{Claim, KnownKey, Need, PublicKey, SignatureCheck};
use quick_cache::sync::Cache;

/// The keys of accounts: looked up by the identity service, and parsed here once for many frames.
pub(crate) struct Keys {
    identities: Option<Identities>,
    /// By their text, so that no entry can be out of date.
    parsed: Cache<Box<str>, PublicKey>,
}

/// The key of an account, as far as it is known.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    Found(PublicKey),
    /// The document has no key that can be used.
    Unusable,
    /// There is no document now.
    Unavailable,
}

impl Keys {
    /// Without identities no signature is checked.
    pub(crate) fn new(identities: Option<Identities>) -> Self {
        let capacity = if identities.is_some() { PARSED } else { 0 };
        Self {
            identities,
            parsed: Cache::new(capacity),
        }
    }

    /// Checks the signature of a claim with the key that is known now. If the key does not fit, a
    /// newer one is asked for only as often as the identity service allows: then the key that is
    /// known is not old, or somebody sends false signatures in numbers.
    ///
    /// Where nobody could wait for a newer key, none is asked for.
    pub(crate) fn check(&self, claim: &Claim, did: &str, can_wait: bool) -> SignatureCheck {
        let Some(identities) = &self.identities else {
            return SignatureCheck::Unresolved;
        };
        let Ok(did) = did.parse::<Did>() else {
            return SignatureCheck::Unresolved;
        };
        let Some(answer) = identities.cached(&did) else {
            return SignatureCheck::Needs(Need::Key);
        };
        let key = self.key_of(answer);
        let check = claim.check_signature(key.as_known());
        if !can_wait || !matches!(check, SignatureCheck::Invalid(_)) {
            return check;
        }
        if identities.suspect(&did) {
            return SignatureCheck::Needs(Need::FreshKey);
        }
        // Another worker may have been the one that was allowed to, with a frame beside this one.
        match identities.cached(&did) {
            Some(answer) => claim.check_signature(self.key_of(answer).as_known()),
            None => SignatureCheck::Needs(Need::FreshKey),
        }
    }

    /// Looks the key of an account up.
    pub(crate) async fn resolve(&self, did: &Did) -> Key {
        match &self.identities {
            Some(identities) => self.key_of(identities.resolve(did).await),
            None => Key::Unavailable,
        }
    }

    /// Notes an `#identity`: the key may be another from now on.
    pub(crate) fn invalidate(&self, did: &str) {
        if let Some(identities) = &self.identities
            && let Ok(did) = did.parse()
        {
            identities.invalidate(&did);
        }
    }

    fn key_of(&self, answer: Result<Arc<DidDocument>, ResolveError>) -> Key {
        let Ok(document) = answer else {
            return Key::Unavailable;
        };
        let Some(key) = document.signing_key() else {
            return Key::Unusable;
        };
        let text = key.multibase();
        if let Some(key) = self.parsed.get(text) {
            return Key::Found(key);
        }
        match PublicKey::from_verification_method(key.key_type().as_str(), text) {
            Ok(key) => {
                self.parsed.insert(text.into(), key.clone());
                Key::Found(key)
            }
            Err(_) => Key::Unusable,
        }
    }
}

impl Key {
    pub(crate) const fn as_known(&self) -> KnownKey<'_> {
        match self {
            Self::Found(key) => KnownKey::Fresh(key),
            Self::Unusable => KnownKey::Unusable,
            Self::Unavailable => KnownKey::Unavailable,
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("identities", &self.identities)
            .finish_non_exhaustive()
    }
}

/// Keys that are kept in their parsed form, of about 250 bytes each.
const PARSED: usize = 65_536;
