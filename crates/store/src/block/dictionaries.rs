use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jetwash_dict::{DecompressError, Decompressor, Dictionary};

/// The dictionaries that blocks of the ring are compressed with.
#[derive(Default)]
pub(crate) struct Dictionaries {
    inner: RwLock<Vec<Arc<Shelf>>>,
    /// Whether the ring is on a disk that never blocks, which every block of it has to know.
    never_blocks: AtomicBool,
}

/// A dictionary with the decoders that are not in use.
struct Shelf {
    dictionary: Dictionary,
    decoders: Mutex<Vec<Decompressor>>,
}

impl Dictionaries {
    /// Begins with the dictionaries of a ring, the one used last at the end.
    pub(crate) fn new(dictionaries: Vec<Dictionary>) -> Self {
        let new = Self::default();
        for dictionary in dictionaries {
            new.add(dictionary);
        }
        new
    }

    /// Notes that the ring is on a disk that never blocks.
    #[cfg(feature = "crash-points")]
    pub(crate) fn never_block(&self) {
        self.never_blocks.store(true, Ordering::Relaxed);
    }

    pub(crate) fn may_block(&self) -> bool {
        !self.never_blocks.load(Ordering::Relaxed)
    }

    pub(crate) fn get(&self, id: u32) -> Option<Dictionary> {
        Some(self.shelf(id)?.dictionary.clone())
    }

    pub(crate) fn all(&self) -> Vec<Dictionary> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.iter().map(|shelf| shelf.dictionary.clone()).collect()
    }

    /// Adds a dictionary, or makes it the last if it is there.
    pub(crate) fn add(&self, dictionary: Dictionary) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.retain(|shelf| shelf.dictionary.id() != dictionary.id());
        inner.push(Arc::new(Shelf {
            dictionary,
            decoders: Mutex::default(),
        }));
    }

    pub(crate) fn remove(&self, id: u32) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.retain(|shelf| shelf.dictionary.id() != id);
    }

    /// Lends a decoder for the events that were compressed with a dictionary.
    pub(crate) fn with_decoder(
        &self,
        id: u32,
        work: impl FnOnce(&mut Decompressor) -> Result<(), DecompressError>,
    ) -> Result<(), &'static str> {
        let shelf = self
            .shelf(id)
            .ok_or("the dictionary of its compressed events is missing")?;
        let idle = shelf.decoders().pop();
        let mut decoder = idle.unwrap_or_else(|| shelf.dictionary.decompressor());
        let outcome = work(&mut decoder);
        let mut idle = shelf.decoders();
        if idle.len() < IDLE_DECODERS {
            idle.push(decoder);
        }
        outcome.map_err(|error| match error {
            DecompressError::TooLarge { .. } | DecompressError::Truncated => {
                "the compressed events have another length than the index says"
            }
            _ => "a compressed event does not decompress",
        })
    }

    fn shelf(&self, id: u32) -> Option<Arc<Shelf>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner
            .iter()
            .find(|shelf| shelf.dictionary.id() == id)
            .map(Arc::clone)
    }
}

impl Shelf {
    fn decoders(&self) -> std::sync::MutexGuard<'_, Vec<Decompressor>> {
        self.decoders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Decoders kept for the next reader, at 100 KB or so each.
const IDLE_DECODERS: usize = 4;
