//! How far an export was followed, as it is noted on disk: a version, the number of the last
//! operation, the time from which there is no gap, and the directory that both are of.

/// The place in an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The number of the last operation.
    pub(super) seq: u64,
    /// Every operation since then was taken: milliseconds since 1970.
    pub(super) from_ms: u64,
}

impl Position {
    pub(super) fn encode(&self, directory: &str) -> Vec<u8> {
        let mut note = vec![VERSION];
        note.extend(self.seq.to_le_bytes());
        note.extend(self.from_ms.to_le_bytes());
        note.extend(directory.bytes().take(200));
        note
    }

    /// `None` if the note is of another directory, or is something else.
    pub(super) fn decode(note: &[u8], directory: &str) -> Option<Self> {
        let (&version, rest) = note.split_first()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        let (from, name) = rest.split_first_chunk::<8>()?;
        let is_same = directory.bytes().take(200).eq(name.iter().copied());
        (version == VERSION && is_same).then(|| Self {
            seq: u64::from_le_bytes(*seq),
            from_ms: u64::from_le_bytes(*from),
        })
    }
}

const VERSION: u8 = 1;
