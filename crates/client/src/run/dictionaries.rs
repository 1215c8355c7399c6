use std::io;
use std::path::{Path, PathBuf};

use jetwash_dict::{Decompressor, Dictionary};

use super::settings::DictionarySettings;
use crate::connection::{ConnectionError, Dialer, Host};

/// The dictionaries that are known, and the ways to get others.
pub(super) struct Dictionaries {
    settings: DictionarySettings,
    known: Vec<Known>,
    without: Decompressor,
    /// The order in which they were used.
    clock: u64,
}

struct Known {
    dictionary: Dictionary,
    decompressor: Decompressor,
    used: u64,
}

impl Dictionaries {
    pub(super) fn new(mut settings: DictionarySettings) -> Self {
        let given = std::mem::take(&mut settings.known);
        let mut dictionaries = Self {
            settings,
            known: Vec::new(),
            without: Decompressor::without_dictionary(),
            clock: 0,
        };
        for dictionary in given {
            dictionaries.keep(dictionary);
        }
        dictionaries
    }

    /// Returns a decompressor for messages of this dictionary, or of none, if it is known.
    pub(super) fn decompressor(&mut self, id: Option<u32>) -> Option<&mut Decompressor> {
        let Some(id) = id else {
            return Some(&mut self.without);
        };
        self.clock += 1;
        let known = self.known.iter_mut();
        let mut known = known.filter(|known| known.dictionary.id() == id);
        let known = known.next()?;
        known.used = self.clock;
        Some(&mut known.decompressor)
    }

    /// Gets the dictionary of a number: from the folder, from where the caller said, or from the
    /// host. Returns whether it was fetched.
    pub(super) async fn get(
        &mut self,
        id: u32,
        dialer: &mut Dialer,
        host: &Host,
    ) -> Result<bool, ConnectionError> {
        if self.decompressor(Some(id)).is_some() || self.load(id).await {
            return Ok(false);
        }
        // A place that the caller named may have another; then there is still the host.
        for (location, path) in self.settings.locations.clone() {
            let bytes = dialer.file(&location, &path, MAX_BYTES).await;
            if let Ok(dictionary) = bytes.and_then(|bytes| self.check(bytes, Some(id))) {
                self.store(dictionary).await;
                return Ok(true);
            }
        }
        self.fetch(Some(id), dialer, host).await?;
        Ok(true)
    }

    /// Fetches a dictionary from a host, the one in use if no number is named, and returns its
    /// number.
    pub(super) async fn fetch(
        &mut self,
        id: Option<u32>,
        dialer: &mut Dialer,
        host: &Host,
    ) -> Result<u32, ConnectionError> {
        let path = host.dictionary_path(id);
        let bytes = dialer.file(&host.location, &path, MAX_BYTES).await?;
        let dictionary = self.check(bytes, id)?;
        let id = dictionary.id();
        self.store(dictionary).await;
        Ok(id)
    }

    /// Checks that bytes are a dictionary, of the number that was asked for and of the checksum
    /// that the caller expects.
    fn check(&self, bytes: Vec<u8>, id: Option<u32>) -> Result<Dictionary, ConnectionError> {
        let fault = |id: u32, reason: String| ConnectionError::Dictionary { id, reason };
        let parsed = Dictionary::from_bytes(bytes);
        let dictionary = parsed.map_err(|error| fault(id.unwrap_or(0), error.to_string()))?;
        let found = dictionary.id();
        if id.is_some_and(|id| id != found) {
            return Err(fault(
                found,
                "it has another number than was asked for".to_owned(),
            ));
        }
        let own = self.settings.pins.iter();
        let mut pins = own.chain(&OFFICIAL).filter(|(pinned, _)| *pinned == found);
        match pins.next() {
            Some((_, sha256)) if sha256 != dictionary.sha256() => Err(fault(
                found,
                "it has another SHA-256 than it must have".to_owned(),
            )),
            _ => Ok(dictionary),
        }
    }

    /// Reads a dictionary from the folder. One that is damaged is fetched anew.
    async fn load(&mut self, id: u32) -> bool {
        let Some(path) = self.path(id) else {
            return false;
        };
        let read = tokio::task::spawn_blocking(move || read_bounded(&path)).await;
        let Ok(Ok(bytes)) = read else {
            return false;
        };
        let dictionary = self.check(bytes, Some(id));
        dictionary.map(|dictionary| self.keep(dictionary)).is_ok()
    }

    /// Keeps a dictionary, and puts it into the folder. A folder that cannot be written to only
    /// means that it is fetched again.
    async fn store(&mut self, dictionary: Dictionary) {
        if let Some(path) = self.path(dictionary.id()) {
            let bytes = dictionary.bytes().to_vec();
            let _ = tokio::task::spawn_blocking(move || write(&path, &bytes)).await;
        }
        self.keep(dictionary);
    }

    fn path(&self, id: u32) -> Option<PathBuf> {
        let folder = self.settings.folder.as_deref();
        folder.map(|folder| folder.join(format!("{id}.zdict")))
    }

    fn keep(&mut self, dictionary: Dictionary) {
        self.clock += 1;
        self.known
            .retain(|known| known.dictionary.id() != dictionary.id());
        if self.known.len() >= MAX_KNOWN {
            let oldest = self.known.iter().map(|known| known.used).min();
            self.known.retain(|known| Some(known.used) != oldest);
        }
        self.known.push(Known {
            decompressor: dictionary.decompressor(),
            dictionary,
            used: self.clock,
        });
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    std::fs::File::open(path)?
        .take(limit)
        .read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Writes a file so that it is there in full or not at all.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Several processes may share the folder.
    let unfinished = path.with_extension(format!("{}.unfinished", std::process::id()));
    std::fs::write(&unfinished, bytes)?;
    std::fs::rename(&unfinished, path)
}

const MAX_BYTES: usize = 1 << 20;
const MAX_KNOWN: usize = 16;
/// The checksums of dictionaries whose content is public knowledge.
const OFFICIAL: [(u32, [u8; 32]); 1] =
    [(Dictionary::OFFICIAL_V1_ID, Dictionary::OFFICIAL_V1_SHA256)];
