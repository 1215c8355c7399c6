use crate::cursor::Cursor;
use crate::seq::Seq;
use std::collections::BTreeMap;
use std::mem::take;
use std::path::Path;

use bytes::Bytes;
use jetwash_dict::Dictionary;
use jetwash_event::Micros;

use crate::backend::state;
use crate::error::OpenError;
use crate::frames::StoredFrames;
use crate::gap::{GapCause, MAX_NOTED, Noted};
use crate::identity::LogId;
use crate::skipped::Skipped;

/// Everything that is stored beside the blocks.
pub(super) struct State {
    pub(super) id: Option<LogId>,
    /// The log that the ring is a mirror of.
    pub(super) mirror: Option<LogId>,
    pub(super) next_seq: Seq,
    pub(super) last_time: Micros,
    pub(super) floor: Seq,
    pub(super) gaps: Vec<Skipped>,
    causes: Vec<(Seq, GapCause)>,
    pub(super) noted: Vec<Noted>,
    pub(super) cursors: BTreeMap<String, u64>,
    pub(super) accounted: Seq,
    pub(super) named: BTreeMap<String, Cursor>,
    pub(super) uses: Vec<(Seq, u32)>,
    pub(super) frames: StoredFrames,
    pub(super) dictionaries: Vec<Dictionary>,
    pub(super) tail: Vec<Bytes>,
}

impl State {
    pub(super) fn read(pairs: Vec<(Bytes, Bytes)>, path: &Path) -> Result<Self, OpenError> {
        let mut state = Self {
            id: None,
            mirror: None,
            next_seq: Seq::FIRST,
            last_time: Micros::EPOCH,
            floor: Seq::default(),
            gaps: Vec::new(),
            causes: Vec::new(),
            noted: Vec::new(),
            cursors: BTreeMap::new(),
            accounted: Seq::default(),
            named: BTreeMap::new(),
            uses: Vec::new(),
            frames: StoredFrames::default(),
            dictionaries: Vec::new(),
            tail: Vec::new(),
        };
        // Before anything else: a later version may mean something else by any entry.
        let version = pairs.iter().find(|(key, _)| &key[..] == state::VERSION);
        let version = version.map(|(_, version)| version.clone());
        if let Some(version) = version
            .as_deref()
            .filter(|version| !state::is_known(version))
        {
            return Err(other_format(path, version));
        }
        for (key, value) in pairs {
            state.take(&key, value).ok_or_else(|| OpenError::Corrupt {
                path: path.to_owned(),
                what: format!("the entry {}", key.escape_ascii()),
            })?;
        }
        state.check_mirror(version.as_deref(), path)?;
        state.add_causes();
        // The newest gaps are kept, and the dictionary that was used last comes last.
        state.noted.sort_by_key(|noted| noted.number);
        let too_many = state.noted.len().saturating_sub(MAX_NOTED);
        state.noted.drain(..too_many);
        let newest = |id| state.uses.iter().rposition(|(_, used)| *used == id);
        state
            .dictionaries
            .sort_by_key(|dictionary| newest(dictionary.id()));
        Ok(state)
    }

    /// Refuses a ring that is a mirror by its version and not by its entries, or the other way round: one
    /// that is taken for an origin would give out the positions of another log.
    fn check_mirror(&self, version: Option<&[u8]>, path: &Path) -> Result<(), OpenError> {
        let is_of_mirror = version == Some(&state::MIRROR_FORMAT.to_le_bytes()[..]);
        if is_of_mirror == self.mirror.is_some() {
            return Ok(());
        }
        Err(OpenError::Corrupt {
            path: path.to_owned(),
            what: "the entry that says which log it is a mirror of".to_owned(),
        })
    }

    /// Says of the gaps why they are there: they are stored apart, as only a mirror's have different
    /// causes.
    fn add_causes(&mut self) {
        for (first, cause) in take(&mut self.causes) {
            if let Some(gap) = self.gaps.iter_mut().find(|gap| gap.first == first) {
                gap.cause = cause;
            }
        }
    }

    fn take(&mut self, key: &[u8], value: Bytes) -> Option<()> {
        // An entry that means nothing is damage, or of a version that should have been raised: it is
        // refused, as to leave it out could give out positions twice.
        if let Some(name) = state::cursor_name(key) {
            let [cursor] = state::decode_numbers(&value)?;
            self.cursors.insert(name.to_owned(), cursor);
        } else if let Some(name) = state::named_name(key) {
            let [cursor] = state::decode_numbers(&value)?;
            self.named.insert(name.to_owned(), Cursor::new(cursor));
        } else if let Some(id) = state::dictionary_id(key) {
            let dictionary = Dictionary::from_bytes(&value[..]).ok()?;
            (dictionary.id() == id).then(|| self.dictionaries.push(dictionary))?;
        } else if let Some(number) = state::noted_number(key) {
            self.noted.push(Noted::decode(number, &value)?);
        } else if state::is_tail(key) {
            self.tail.push(value);
        } else if key == state::POSITION {
            let [next_seq, last_time] = state::decode_numbers(&value)?;
            (self.next_seq, self.last_time) = (Seq::new(next_seq), Micros::new(last_time));
        } else if key == state::LOG {
            let [id] = state::decode_numbers(&value)?;
            self.id = Some(LogId::from_number(id));
        } else if key == state::MIRROR {
            let [id] = state::decode_numbers(&value)?;
            self.mirror = Some(LogId::from_number(id));
        } else if key == state::CAUSES {
            self.causes = state::decode_causes(&value)?;
        } else if key == state::FLOOR {
            let [floor] = state::decode_numbers(&value)?;
            self.floor = Seq::new(floor);
        } else if key == state::ACCOUNTS {
            let [accounted] = state::decode_numbers(&value)?;
            self.accounted = Seq::new(accounted);
        } else if key == state::GAPS {
            self.gaps = state::decode_gaps(&value)?;
        } else if key == state::USES {
            self.uses = state::decode_uses(&value)?;
        } else if key != state::VERSION {
            self.frames.take(key, &value)?;
        }
        Some(())
    }
}

fn other_format(path: &Path, version: &[u8]) -> OpenError {
    let found = match version.try_into() {
        Ok(version) => u32::from_le_bytes(version).to_string(),
        Err(_) => format!("{}", version.escape_ascii()),
    };
    OpenError::Format {
        path: path.to_owned(),
        found,
        supported: state::MIRROR_FORMAT,
    }
}
