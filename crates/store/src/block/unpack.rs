//! From the payload of a block to the JSON of its events.

use bytes::Bytes;
use jetwash_dict::{DecompressError, Decompressor};

use super::dictionaries::Dictionaries;
use super::index::Index;
use super::page::{Page, range};

/// The JSON of some of the events, which are compressed: the others are empty in the page.
pub(super) fn some(
    index: &Index,
    dictionaries: &Dictionaries,
    dictionary: u32,
    compressed: &Page,
    indexes: &[usize],
) -> Result<Page, &'static str> {
    let events = index.times.len();
    let wanted = indexes.iter().filter_map(|&event| {
        let json = range(&index.json_ends, event)?;
        Some((event, compressed.get(event)?, json.len()))
    });
    let mut ends = Vec::with_capacity(events);
    let mut json = Vec::new();
    dictionaries.with_decoder(dictionary, |decoder| {
        for (event, compressed, length) in wanted {
            // An index that comes again, or out of order, is left out: ends cannot go back.
            if event < ends.len() {
                continue;
            }
            ends.resize(event, json.len() as u32);
            let whole = json.len() + length;
            decoder.decompress(compressed, length, &mut json)?;
            if json.len() != whole {
                return Err(DecompressError::Truncated);
            }
            ends.push(whole as u32);
        }
        Ok(())
    })?;
    ends.resize(events, json.len() as u32);
    Ok(Page::new(json.into(), &ends.into()))
}

/// The JSON of all events, which are compressed.
pub(super) fn all(
    index: &Index,
    dictionaries: &Dictionaries,
    dictionary: u32,
    compressed: &Page,
) -> Result<Page, &'static str> {
    let mut json = Vec::new();
    dictionaries.with_decoder(dictionary, |decoder| {
        decoder.decompress_all(compressed.bytes(), index.json_len(), &mut json)
    })?;
    plain(index, json.into())
}

/// The JSON of all events, which is packed as one.
pub(super) fn packed(index: &Index, packed: &[u8]) -> Result<Page, &'static str> {
    let mut json = Vec::new();
    Decompressor::without_dictionary()
        .decompress_all(packed, index.json_len(), &mut json)
        .map_err(|_| "the JSON does not decompress")?;
    plain(index, json.into())
}

/// The JSON of all events as it is.
pub(super) fn plain(index: &Index, json: Bytes) -> Result<Page, &'static str> {
    if json.len() != index.json_len() {
        return Err("the JSON has another length than the index says");
    }
    Ok(Page::new(json, &index.json_ends))
}
