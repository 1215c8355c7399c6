use std::path::PathBuf;
use std::time::Duration;

use jetwash_dict::Dictionary;

use crate::connection::{DialerOptions, Host, Location};
use crate::cursor::UpstreamCursor;

/// Settings that have been checked.
pub(crate) struct Settings {
    pub(crate) hosts: Vec<Host>,
    pub(crate) dialer: DialerOptions,
    pub(crate) compresses: bool,
    pub(crate) dictionaries: DictionarySettings,
    pub(crate) cursor: Option<UpstreamCursor>,
    pub(crate) silence: Duration,
    pub(crate) overlap: Duration,
    pub(crate) max_message: usize,
}

/// Where dictionaries come from.
#[derive(Default)]
pub(crate) struct DictionarySettings {
    pub(crate) known: Vec<Dictionary>,
    /// Where the caller has said that one is, with its path.
    pub(crate) locations: Vec<(Location, String)>,
    pub(crate) folder: Option<PathBuf>,
    /// The SHA-256 that the dictionary of a number must have.
    pub(crate) pins: Vec<(u32, [u8; 32])>,
}
