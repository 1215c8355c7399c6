use std::sync::{PoisonError, RwLock};

use bytes::Bytes;

use crate::block::Page;

/// The dictionaries that blocks of the ring name.
#[derive(Default)]
pub(crate) struct Dictionaries {
    inner: RwLock<Vec<StoredDictionary>>,
}

/// A zstd dictionary that frames in the ring were made with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredDictionary {
    /// The dictionary's own number.
    pub id: u32,
    /// The dictionary, as zstd takes it.
    pub bytes: Bytes,
}

impl Dictionaries {
    pub(crate) fn get(&self, id: u32) -> Option<StoredDictionary> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.iter().find(|dictionary| dictionary.id == id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<StoredDictionary> {
        self.inner
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn add(&self, dictionary: StoredDictionary) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.retain(|known| known.id != dictionary.id);
        inner.push(dictionary);
    }

    pub(crate) fn remove(&self, id: u32) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.retain(|known| known.id != id);
    }

    /// The JSON of a page of frames, of which `ends` says how long each is.
    pub(crate) fn unpack(
        &self,
        id: u32,
        frames: &Page,
        ends: &[u32],
    ) -> Result<Vec<u8>, &'static str> {
        let dictionary = self
            .get(id)
            .ok_or("the dictionary of its frames is missing")?;
        let mut decoder = zstd::bulk::Decompressor::with_dictionary(&dictionary.bytes)
            .map_err(|_| "the dictionary of its frames is not one")?;
        let mut json = Vec::with_capacity(ends.last().map_or(0, |end| *end as usize));
        let mut start = 0;
        for (index, end) in ends.iter().enumerate() {
            let frame = frames.get(index).ok_or("a frame is missing")?;
            let event = decoder
                .decompress(frame, (end - start) as usize)
                .map_err(|_| "a frame does not decompress")?;
            json.extend_from_slice(&event);
            if json.len() != *end as usize {
                return Err("a frame has another length than the index says");
            }
            start = *end;
        }
        Ok(json)
    }
}
