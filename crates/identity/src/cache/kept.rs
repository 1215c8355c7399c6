use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jetwash_event::Did;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::disk::DiskCache;
use super::record::{decode, encode};
use crate::document::DidDocument;

/// The documents on disk, read and written on threads that may block.
pub(crate) struct Kept {
    disk: Arc<dyn DiskCache>,
    /// Bounds the threads.
    permits: Semaphore,
    /// Held while the disk is changed, by threads that may block only.
    changing: Arc<Mutex<()>>,
    /// DIDs that are about to be removed, and so are not read. Never held for long.
    removing: Arc<Mutex<HashSet<Did>>>,
}

/// The state of a DID as of a time, in milliseconds since 1970. `None` is a DID that was given up.
#[derive(Clone)]
pub(crate) struct Change {
    pub(crate) did: Did,
    pub(crate) document: Option<DidDocument>,
    pub(crate) at_ms: u64,
}

impl Kept {
    pub(crate) fn new(disk: Arc<dyn DiskCache>) -> Self {
        Self {
            disk,
            permits: Semaphore::new(THREADS),
            changing: Arc::default(),
            removing: Arc::default(),
        }
    }

    /// The document of a DID and the time of its look-up, in milliseconds since 1970.
    pub(crate) async fn get(&self, did: &Did) -> io::Result<Option<(DidDocument, u64)>> {
        let (key, removing) = (did.clone(), Arc::clone(&self.removing));
        let get = move |disk: &dyn DiskCache| {
            if lock(&removing).contains(&key) {
                return Ok(None);
            }
            disk.get(key.as_ref().as_bytes())
        };
        let value = self.run(get).await?;
        Ok(value.and_then(|value| decode(did, &value)))
    }

    /// Keeps a document, unless it `is_outdated` by then, which it must be before its removal
    /// begins. Returns `false` if it is too long.
    pub(crate) async fn put(
        &self,
        document: &DidDocument,
        looked_up_ms: u64,
        is_outdated: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<bool> {
        let key = document.did().clone();
        let value = encode(document, looked_up_ms);
        let (changing, removing) = (Arc::clone(&self.changing), Arc::clone(&self.removing));
        let put = move |disk: &dyn DiskCache| {
            let _changing = lock(&changing);
            if is_outdated() {
                return Ok(true);
            }
            let is_kept = disk.put(key.as_ref().as_bytes(), &value)?;
            let mut removing = lock(&removing);
            // A removal that began before this document was asked for has nothing left to do.
            if is_kept && !is_outdated() {
                removing.remove(&key);
            }
            Ok(is_kept)
        };
        self.run(put).await
    }

    /// Keeps changes in their order, but none that is `skew_ms` older than what is kept. Returns
    /// how many were too long.
    pub(crate) async fn apply(&self, changes: Vec<Change>, skew_ms: u64) -> io::Result<u64> {
        let changing = Arc::clone(&self.changing);
        let apply = move |disk: &dyn DiskCache| {
            let mut too_long = 0;
            for change in &changes {
                // Not held for all of them: look-ups wait for it.
                let _changing = lock(&changing);
                let key = change.did.as_ref().as_bytes();
                let kept = disk.get(key)?.and_then(|value| decode(&change.did, &value));
                if kept.is_some_and(|(_, at_ms)| change.at_ms + skew_ms < at_ms) {
                    continue;
                }
                match &change.document {
                    Some(document) => {
                        let is_kept = disk.put(key, &encode(document, change.at_ms))?;
                        too_long += u64::from(!is_kept);
                    }
                    None => disk.remove(key)?,
                }
            }
            Ok(too_long)
        };
        self.run(apply).await
    }

    /// Has a DID read as missing from now on, until [`remove`](Self::remove) is done.
    pub(crate) fn begin_removal(&self, did: &Did) {
        lock(&self.removing).insert(did.clone());
    }

    pub(crate) async fn remove(&self, did: &Did) -> io::Result<()> {
        let key = did.clone();
        let (changing, removing) = (Arc::clone(&self.changing), Arc::clone(&self.removing));
        let remove = move |disk: &dyn DiskCache| {
            let _changing = lock(&changing);
            // Otherwise something newer was kept in the meantime.
            if lock(&removing).contains(&key) {
                disk.remove(key.as_ref().as_bytes())?;
                lock(&removing).remove(&key);
            }
            Ok(())
        };
        self.run(remove).await
    }

    pub(crate) async fn note(&self) -> io::Result<Option<Vec<u8>>> {
        self.run(|disk| disk.note()).await
    }

    pub(crate) async fn set_note(&self, note: Vec<u8>) -> io::Result<()> {
        self.run(move |disk| disk.set_note(&note)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn DiskCache) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let _permit = self.permits.acquire().await.map_err(io::Error::other)?;
        let disk = Arc::clone(&self.disk);
        let done = spawn_blocking(move || work(&*disk)).await;
        done.map_err(io::Error::other)?
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const THREADS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::FileCache;
    use crate::document::{KeyType, SigningKey};

    const SKEW_MS: u64 = 1000;
    const LOOKED_UP_MS: u64 = 1_783_175_888_085;

    fn alice() -> Did {
        "did:plc:testtesttesttesttest".parse().unwrap()
    }

    /// The document of one account, with the key `z` and these digits.
    fn document(key: &str) -> DidDocument {
        let key = SigningKey::new(KeyType::Multikey, &format!("z{key}"));
        DidDocument::from_parts(alice(), key, None, None)
    }

    fn change(key: Option<&str>, at_ms: u64) -> Change {
        Change {
            did: alice(),
            document: key.map(document),
            at_ms,
        }
    }

    /// An empty file.
    fn kept() -> (tempfile::TempDir, Kept) {
        let folder = tempfile::tempdir().unwrap();
        let file = FileCache::open(folder.path().join("identities"), 1 << 20).unwrap();
        (folder, Kept::new(Arc::new(file)))
    }

    /// The digits of the key that is read, if there is a document.
    async fn key(kept: &Kept) -> Option<String> {
        let (document, _) = kept.get(&alice()).await.unwrap()?;
        Some(document.signing_key().unwrap().multibase()[1..].to_owned())
    }

    #[tokio::test]
    async fn a_change_replaces_no_document_that_is_newer_than_it() {
        let (_folder, kept) = kept();
        let of_its_time = LOOKED_UP_MS - SKEW_MS;
        let steps = [
            // Clocks may be apart, and so a change of about the same time counts as newer.
            (change(Some("a"), of_its_time), Some("a")),
            (change(None, of_its_time), None),
            (change(Some("a"), of_its_time - 1), Some("new")),
            (change(None, of_its_time - 1), Some("new")),
            (change(Some("a"), of_its_time - 3_600_000), Some("new")),
            (change(None, 0), Some("new")),
        ];
        for (change, expected) in steps {
            let new = document("new");
            assert!(kept.put(&new, LOOKED_UP_MS, || false).await.unwrap());
            let at_ms = change.at_ms;
            assert_eq!(kept.apply(vec![change], SKEW_MS).await.unwrap(), 0);
            assert_eq!(key(&kept).await.as_deref(), expected, "at {at_ms}");
        }
    }

    #[tokio::test]
    async fn a_document_is_not_read_from_the_moment_that_its_removal_begins() {
        let (_folder, kept) = kept();
        let old = document("first");
        kept.put(&old, LOOKED_UP_MS, || false).await.unwrap();
        assert_eq!(key(&kept).await.as_deref(), Some("first"));
        kept.begin_removal(&alice());
        assert_eq!(key(&kept).await, None);
        kept.remove(&alice()).await.unwrap();
        assert_eq!(key(&kept).await, None);
    }

    #[tokio::test]
    async fn a_document_that_is_put_while_the_old_one_is_removed_stays() {
        let (_folder, kept) = kept();
        let (old, new) = (document("first"), document("new"));
        kept.put(&old, LOOKED_UP_MS, || false).await.unwrap();
        kept.begin_removal(&alice());
        kept.put(&new, LOOKED_UP_MS, || false).await.unwrap();
        assert_eq!(key(&kept).await.as_deref(), Some("new"));
        kept.remove(&alice()).await.unwrap();
        assert_eq!(key(&kept).await.as_deref(), Some("new"));
    }

    #[tokio::test]
    async fn a_look_up_that_is_outdated_puts_nothing_back() {
        let (_folder, kept) = kept();
        let (old, new) = (document("first"), document("new"));
        assert!(kept.put(&old, LOOKED_UP_MS, || true).await.unwrap());
        assert_eq!(key(&kept).await, None);
        kept.put(&new, LOOKED_UP_MS, || false).await.unwrap();
        assert!(kept.put(&old, LOOKED_UP_MS, || true).await.unwrap());
        assert_eq!(key(&kept).await.as_deref(), Some("new"));
    }
}
