use jetwash::{Filter, Kind};
use thiserror::Error;

use crate::options::ServeOptions;

/// The settings that a subscriber may change while it is connected.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) filter: Filter,
    /// Messages above this many bytes are left out; 0 for any size.
    pub(crate) max_message_size: u32,
    /// How much memory the filter takes, roughly.
    pub(crate) bytes: usize,
}

impl Settings {
    /// The settings of a subscriber to version 1, which never gets syncs. Labels are in no log but one of
    /// labels alone.
    pub(crate) fn new(
        collections: &[impl AsRef<str>],
        dids: &[impl AsRef<str>],
        max_message_size: i64,
        options: &ServeOptions,
    ) -> Result<Self, SettingsError> {
        let mut filter =
            Filter::new().kinds([Kind::Commit, Kind::Identity, Kind::Account, Kind::Label]);
        for value in collections {
            let value = value.as_ref();
            let invalid = |_| SettingsError::Collection(value.to_owned());
            filter = filter.collections([value]).map_err(invalid)?;
        }
        let filter = filter.dids(dids).map_err(|_| SettingsError::Did)?;
        if filter.did_count() > options.max_dids {
            return Err(SettingsError::TooManyDids);
        }
        if filter.collection_count() > options.max_collections {
            return Err(SettingsError::TooManyCollections);
        }
        // Negative means no limit, and so does what is left of a multiple of 2^32: clients of
        // Jetstream may rely on both.
        Ok(Self::of(filter, max_message_size.max(0) as u32))
    }

    pub(crate) fn of(filter: Filter, max_message_size: u32) -> Self {
        let dids = filter.named_dids().map(|did| did.as_str().len() + ENTRY);
        let bytes = dids.sum::<usize>() + filter.collection_count() * COLLECTION;
        Self {
            filter,
            max_message_size,
            bytes,
        }
    }
}

/// The bytes that an entry of a filter takes besides its text: its place in the table, and the
/// allocator's rounding.
const ENTRY: usize = 56;
/// The most bytes that a collection takes.
const COLLECTION: usize = 317 + ENTRY;

/// Why a filter is refused, in the words that Jetstream uses.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum SettingsError {
    #[error("invalid collection: {0}")]
    Collection(String),
    #[error("invalid did")]
    Did,
    #[error("too many wanted collections")]
    TooManyCollections,
    #[error("too many wanted DIDs")]
    TooManyDids,
}
