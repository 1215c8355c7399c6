use std::sync::Arc;

use jetwash_event::Did;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::document::DidDocument;
use crate::error::ResolveError;

/// Documents and errors, within a number of bytes. Those that are asked for least go first
/// (CLOCK-Pro, as in quick_cache).
pub(crate) struct Memory {
    found: Cache<Did, Found, Weights>,
    missing: Cache<Did, Missing, Weights>,
}

/// A document, and when it grows old. Times are milliseconds since 1970.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) document: Arc<DidDocument>,
    pub(crate) looked_up_ms: u64,
    /// From then on it is served while it is looked up again.
    pub(crate) stale_at_ms: u64,
}

/// Why there is no document, and until when that is believed.
#[derive(Clone)]
pub(crate) struct Missing {
    pub(crate) error: ResolveError,
    pub(crate) until_ms: u64,
}

impl Memory {
    /// An eighth of the bytes is for what was not found: a flood of made-up DIDs pushes no
    /// document out.
    pub(crate) fn new(max_bytes: u64) -> Self {
        let missing = max_bytes / 8;
        Self {
            found: cache(max_bytes - missing),
            missing: cache(missing),
        }
    }

    pub(crate) fn found(&self, did: &Did) -> Option<Found> {
        self.found.get(did)
    }

    pub(crate) fn missing(&self, did: &Did) -> Option<Missing> {
        self.missing.get(did)
    }

    pub(crate) fn put(&self, found: Found) {
        let did = found.document.did().clone();
        self.missing.remove(&did);
        self.found.insert(did, found);
    }

    /// Keeps that there is no document. One that there is stays.
    pub(crate) fn put_missing(&self, did: &Did, missing: Missing) {
        self.missing.insert(did.clone(), missing);
    }

    pub(crate) fn remove_found(&self, did: &Did) {
        self.found.remove(did);
    }

    pub(crate) fn remove(&self, did: &Did) {
        self.found.remove(did);
        self.missing.remove(did);
    }

    /// How many entries there are, and how many bytes they take.
    pub(crate) fn size(&self) -> (usize, u64) {
        (
            self.found.len() + self.missing.len(),
            self.found.weight() + self.missing.weight(),
        )
    }
}

fn cache<V: Clone>(max_bytes: u64) -> Cache<Did, V, Weights>
where
    Weights: Weighter<Did, V>,
{
    let entries = usize::try_from(max_bytes / USUAL).unwrap_or(usize::MAX);
    Cache::with_weighter(entries, max_bytes, Weights)
}

#[derive(Clone, Copy)]
struct Weights;

impl Weighter<Did, Found> for Weights {
    fn weight(&self, did: &Did, found: &Found) -> u64 {
        let document = &found.document;
        let key = document.signing_key().map(|key| key.multibase().len());
        let pds = document.pds().map(|pds| pds.as_str().len());
        let handle = document.claimed_handle().map(|name| name.as_ref().len());
        let texts = [Some(did.as_ref().len()), key, pds, handle];
        OVERHEAD + texts.into_iter().flatten().sum::<usize>() as u64
    }
}

impl Weighter<Did, Missing> for Weights {
    fn weight(&self, did: &Did, _: &Missing) -> u64 {
        // The error has up to 100 characters of text from outside, and the DID once more.
        OVERHEAD + did.as_ref().len() as u64 + 100
    }
}

/// The bytes of an entry beside its texts: four allocations, the document, and the place in the
/// cache with its share of the index. Measured on a million entries.
const OVERHEAD: u64 = 360;
/// The bytes of a usual entry.
const USUAL: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{KeyType, PdsEndpoint, SigningKey};

    /// A document of the usual lengths, in allocations of its own.
    fn found(number: usize) -> Found {
        let did: Did = format!("did:plc:{number:024}").parse().unwrap();
        let key = format!("z{}", "1".repeat(48));
        let key = SigningKey::new(KeyType::Multikey, &key);
        let pds = PdsEndpoint::parse("https://morel.us-east.host.bsky.network");
        let handle = format!("account-{number:07}.bsky.social").parse().ok();
        let document = DidDocument::from_parts(did, key, pds, handle);
        Found {
            document: Arc::new(document),
            looked_up_ms: 0,
            stale_at_ms: 0,
        }
    }

    /// The memory of this process that is in use, in bytes.
    fn resident() -> Option<u64> {
        let sizes = std::fs::read_to_string("/proc/self/statm").ok()?;
        let pages: u64 = sizes.split(' ').nth(1)?.parse().ok()?;
        Some(pages * 4096)
    }

    #[test]
    fn a_document_ends_that_there_was_not_one() {
        let memory = Memory::new(1 << 20);
        let found = found(7);
        let did = found.document.did().clone();
        let error = ResolveError::NotFound { did: did.clone() };
        let until_ms = u64::MAX;
        memory.put_missing(&did, Missing { error, until_ms });
        assert!(memory.missing(&did).is_some());
        memory.put(found);
        assert!(memory.missing(&did).is_none());
        // Nor does it come back when the document is forgotten.
        memory.remove_found(&did);
        assert!(memory.found(&did).is_none() && memory.missing(&did).is_none());
    }

    #[test]
    fn a_million_documents_stay_within_the_budget() {
        const BUDGET: u64 = 64 << 20;
        let before = resident();
        let memory = Memory::new(BUDGET);
        for number in 0..1_000_000 {
            memory.put(found(number));
            if number % 1000 == 0 {
                assert!(memory.size().1 <= BUDGET);
            }
        }
        let (entries, bytes) = memory.size();
        assert!(bytes <= BUDGET);
        // It is a budget that is used, not one that is kept by holding nothing.
        assert!(bytes > BUDGET / 2, "{bytes}");
        let grown = before
            .zip(resident())
            .map(|(before, after)| after.saturating_sub(before));
        println!("{entries} documents, {bytes} bytes by their weights, {grown:?} resident");
    }
}
