use std::sync::{Mutex, MutexGuard, PoisonError};

use jetwash::Dictionary;
use jetwash::dict::{CompressError, Compressor};

use crate::form::events::Made;
use crate::form::format::{BATCH, Shape};

/// Compresses events, with compressors that are kept for the next time: to set one up costs more
/// than to compress an event.
#[derive(Debug, Default)]
pub(crate) struct Compressors {
    /// Compressors at rest, with the number of their dictionary.
    resting: Mutex<Vec<(Option<u32>, Compressor)>>,
}

impl Compressors {
    /// Compresses each event; one that is empty stays so.
    pub(crate) fn events<'a>(
        &self,
        events: impl IntoIterator<Item = &'a [u8]>,
        dictionary: Option<&Dictionary>,
    ) -> Result<Made, CompressError> {
        let mut events = events.into_iter();
        self.compress_while(dictionary, |compressor, bytes| match events.next() {
            Some([]) => Ok(true),
            Some(event) => compressor.compress(event, bytes).map(|()| true),
            None => Ok(false),
        })
    }

    /// Compresses up to [`BATCH`] events at a time. Newlines divide JSON; binary events follow each
    /// other. One that is empty counts, and leaves no trace.
    pub(crate) fn batches<'a>(
        &self,
        shape: Shape,
        events: impl IntoIterator<Item = &'a [u8]>,
        dictionary: Option<&Dictionary>,
    ) -> Result<Made, CompressError> {
        let mut events = events.into_iter();
        let mut batch = Vec::new();
        self.compress_while(dictionary, |compressor, bytes| {
            batch.clear();
            let mut is_end = true;
            for event in events.by_ref().take(BATCH) {
                is_end = false;
                if event.is_empty() {
                    continue;
                }
                // In binary an event says where it ends.
                if shape != Shape::Binary && !batch.is_empty() {
                    batch.push(b'\n');
                }
                batch.extend_from_slice(event);
            }
            if !batch.is_empty() {
                compressor.compress(&batch, bytes)?;
            }
            Ok(!is_end)
        })
    }

    /// Compresses something that is not an event.
    pub(crate) fn single(
        &self,
        content: &[u8],
        dictionary: Option<&Dictionary>,
        out: &mut Vec<u8>,
    ) -> Result<(), CompressError> {
        let mut compressor = self.borrow(dictionary);
        compressor.compress(content, out)?;
        self.give_back(dictionary, compressor);
        Ok(())
    }

    /// Lends a compressor to `work`.
    pub(crate) fn lend<T>(
        &self,
        dictionary: Option<&Dictionary>,
        work: impl FnOnce(&mut Compressor) -> T,
    ) -> T {
        let mut compressor = self.borrow(dictionary);
        let done = work(&mut compressor);
        self.give_back(dictionary, compressor);
        done
    }

    /// Appends payloads for as long as `next` returns `true`.
    fn compress_while(
        &self,
        dictionary: Option<&Dictionary>,
        mut next: impl FnMut(&mut Compressor, &mut Vec<u8>) -> Result<bool, CompressError>,
    ) -> Result<Made, CompressError> {
        let mut compressor = self.borrow(dictionary);
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        while next(&mut compressor, &mut bytes)? {
            ends.push(bytes.len() as u32);
        }
        self.give_back(dictionary, compressor);
        Ok(Made::new(bytes, ends))
    }

    fn borrow(&self, dictionary: Option<&Dictionary>) -> Compressor {
        let id = dictionary.map(Dictionary::id);
        let mut resting = self.resting();
        match resting.iter().position(|(found, _)| *found == id) {
            Some(index) => resting.swap_remove(index).1,
            None => dictionary.map_or_else(
                || Compressor::without_dictionary(LEVEL),
                Dictionary::compressor,
            ),
        }
    }

    fn give_back(&self, dictionary: Option<&Dictionary>, compressor: Compressor) {
        let mut resting = self.resting();
        if resting.len() >= MAX_RESTING {
            resting.remove(0);
        }
        resting.push((dictionary.map(Dictionary::id), compressor));
    }

    fn resting(&self) -> MutexGuard<'_, Vec<(Option<u32>, Compressor)>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const MAX_RESTING: usize = 4;
/// The level of zstd on servers without a dictionary.
const LEVEL: i32 = 1;
