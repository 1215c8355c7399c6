//! The lines of a spool's manifest, and what they add up to.

use jetwash::{Cursor, Micros, Seq};
use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One line of the manifest.
///
/// Every position of the log from the spool's start on is covered by exactly one file, gap or
/// progress, in order, unless the log itself went back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "lowercase")]
pub(crate) enum Entry {
    Spool(Header),
    File(FileEntry),
    Gap(SpoolGap),
    Progress(Progress),
    Rewound(Rewound),
}

/// The first line: which spool this is, and the sum of the lines that are no longer there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) version: u32,
    pub(crate) id: String,
    /// Whether the position has been decided on.
    pub(crate) started: bool,
    pub(crate) cursor: Cursor,
    pub(crate) time_us: Micros,
    /// The number of the last file that is not listed any more.
    pub(crate) through: u64,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) gaps: u64,
    pub(crate) gap_events: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) first: Seq,
    pub(crate) last: Seq,
    pub(crate) last_time_us: Micros,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) crc32: String,
    pub(crate) completed_us: Micros,
}

/// Events of the log that are in no file, because the log no longer had them.
///
/// # Examples
///
/// ```
/// use jetwash_spool::{SpoolReadError, SpoolReader};
///
/// fn missing(spool: &SpoolReader) -> Result<u64, SpoolReadError> {
///     let lost = spool.gaps()?.into_iter().filter(|gap| gap.reason == "lost");
///     Ok(lost.map(|gap| gap.events()).sum())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SpoolGap {
    /// The position of the first event that is missing.
    pub first: Seq,
    /// The position of the last one.
    pub last: Seq,
    /// Why: `lost` if the log had moved on, `damaged` if it was damaged there.
    pub reason: String,
}

impl SpoolGap {
    /// How many events of the log are missing, whether the spool's filter matched them or not.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.last.next().since(self.first)
    }
}

/// Nothing to write up to here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) cursor: Cursor,
    pub(crate) time_us: Micros,
}

/// The log is another one, or lost its end: the spool continues from an earlier position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rewound {
    pub(crate) cursor: Cursor,
}

/// The content of a manifest.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) header: Header,
    /// Files and gaps, in order.
    pub(crate) entries: Vec<Entry>,
    pub(crate) started: bool,
    /// Where the log has been dealt with up to, and the time of that event; 1970 if it is not known.
    pub(crate) cursor: Cursor,
    pub(crate) time_us: Micros,
}

impl Manifest {
    /// The manifest of a spool that has nothing yet.
    pub(crate) fn new(id: String) -> Self {
        Self::of(Header {
            version: VERSION,
            id,
            started: false,
            cursor: Cursor::START,
            time_us: Micros::EPOCH,
            through: 0,
            events: 0,
            bytes: 0,
            gaps: 0,
            gap_events: 0,
        })
    }

    /// Reads the lines of a manifest. One that was not written to its end counts as not there.
    pub(crate) fn parse(text: &[u8], path: &Path) -> Result<Self, ManifestError> {
        let mut manifest: Option<Self> = None;
        let mut lines = text.split_inclusive(|&byte| byte == b'\n').enumerate();
        while let Some((index, line)) = lines.next() {
            let damaged = |what| ManifestError {
                path: path.display().to_string(),
                line: index + 1,
                what,
            };
            let entry = match decode(line) {
                Ok(entry) => entry,
                // The last line, cut short: it has never been acted on.
                Err(_) if index > 0 && lines.clone().next().is_none() => break,
                Err(what) => return Err(damaged(what)),
            };
            match (&mut manifest, entry) {
                (None, Entry::Spool(header)) if header.version == VERSION => {
                    manifest = Some(Self::of(header));
                }
                (None, Entry::Spool(_)) => return Err(damaged("a version that is not known")),
                (None, _) => return Err(damaged("the first line is not that of a spool")),
                (Some(_), Entry::Spool(_)) => return Err(damaged("a second first line")),
                (Some(manifest), entry) => manifest.push(entry),
            }
        }
        manifest.ok_or_else(|| ManifestError {
            path: path.display().to_string(),
            line: 1,
            what: "there is no whole line",
        })
    }

    /// Adds a new line.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.started = true;
        match &entry {
            Entry::Spool(_) => {}
            Entry::File(file) => {
                self.cursor = Cursor::after(file.last);
                self.time_us = file.last_time_us;
                self.entries.push(entry);
            }
            Entry::Gap(gap) => {
                (self.cursor, self.time_us) = (Cursor::after(gap.last), Micros::EPOCH);
                self.entries.push(entry);
            }
            Entry::Progress(progress) => {
                self.cursor = progress.cursor;
                self.time_us = progress.time_us;
            }
            Entry::Rewound(rewound) => {
                (self.cursor, self.time_us) = (rewound.cursor, Micros::EPOCH);
            }
        }
    }

    /// Takes back the last file, so that what it covers is read again.
    pub(crate) fn withdraw_last_file(&mut self) {
        if let Some(Entry::File(file)) =
            self.entries.pop_if(|entry| matches!(entry, Entry::File(_)))
        {
            (self.cursor, self.time_us) = (Cursor::before(file.first), Micros::EPOCH);
        }
    }

    /// Puts everything up to a file, which has been removed, into the header's sums.
    pub(crate) fn forget_through(&mut self, number: u64) {
        let is_gone = |entry: &Entry| matches!(entry, Entry::File(file) if file.number <= number);
        let gone = self.entries.iter().rposition(is_gone);
        let header = &mut self.header;
        for entry in self.entries.drain(..gone.map_or(0, |last| last + 1)) {
            match entry {
                Entry::File(file) => {
                    header.through = file.number;
                    header.events += file.events;
                    header.bytes += file.bytes;
                }
                Entry::Gap(gap) => {
                    header.gaps += 1;
                    header.gap_events += gap.events();
                }
                _ => {}
            }
        }
    }

    /// The manifest as text, as short as it can be.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut header = self.header.clone();
        if self.entries.is_empty() {
            header.started = self.started;
            (header.cursor, header.time_us) = (self.cursor, self.time_us);
        }
        let mut text = encode(&Entry::Spool(header))?;
        for entry in &self.entries {
            text.extend(encode(entry)?);
        }
        if !self.entries.is_empty() {
            text.extend(encode(&Entry::Progress(Progress {
                cursor: self.cursor,
                time_us: self.time_us,
            }))?);
        }
        Ok(text)
    }

    pub(crate) fn files(&self) -> impl DoubleEndedIterator<Item = &FileEntry> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::File(file) => Some(file),
            _ => None,
        })
    }

    pub(crate) fn gaps(&self) -> impl Iterator<Item = &SpoolGap> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Gap(gap) => Some(gap),
            _ => None,
        })
    }

    /// How much has been written in all: files, events and bytes.
    pub(crate) fn totals(&self) -> (u64, u64, u64) {
        let Header { events, bytes, .. } = self.header;
        self.files().fold(
            (self.last_number(), events, bytes),
            |(files, events, bytes), file| (files, events + file.events, bytes + file.bytes),
        )
    }

    /// How many gaps there are in all, and how many events are in them.
    pub(crate) fn gap_totals(&self) -> (u64, u64) {
        let Header {
            gaps, gap_events, ..
        } = self.header;
        self.gaps().fold((gaps, gap_events), |(gaps, events), gap| {
            (gaps + 1, events + gap.events())
        })
    }

    /// The number of the last file.
    pub(crate) fn last_number(&self) -> u64 {
        self.files()
            .next_back()
            .map_or(self.header.through, |file| file.number)
    }

    const fn of(header: Header) -> Self {
        Self {
            started: header.started,
            cursor: header.cursor,
            time_us: header.time_us,
            entries: Vec::new(),
            header,
        }
    }
}

/// A manifest that cannot be used.
///
/// # Examples
///
/// ```
/// use jetwash_spool::{SpoolReadError, SpoolReader};
///
/// # let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("manifest.ndjson"), "{}\n")?;
/// let error = SpoolReader::open(folder.path()).unwrap_err();
/// assert!(matches!(error, SpoolReadError::Manifest(error) if error.line == 1));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{path}, line {line}: {what}")]
pub struct ManifestError {
    /// The file.
    pub path: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The fault.
    pub what: &'static str,
}

/// An entry as a line, with its checksum as the last field.
pub(crate) fn encode(entry: &Entry) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(entry)?;
    line.pop();
    let check = crc32fast::hash(&line);
    line.extend(format!("{CHECK}{check:08x}\"}}\n").bytes());
    Ok(line)
}

fn decode(line: &[u8]) -> Result<Entry, &'static str> {
    let end = line.len().checked_sub(CHECK.len() + "00000000\"}\n".len());
    let (body, check) = end
        .and_then(|end| line.split_at_checked(end))
        .ok_or("it is too short")?;
    let expected = format!("{CHECK}{:08x}\"}}\n", crc32fast::hash(body));
    if check != expected.as_bytes() {
        return Err("its checksum is wrong");
    }
    serde_json::from_slice(line).map_err(|_| "it is of a form that is not known")
}

pub(crate) const NAME: &str = "manifest.ndjson";
const CHECK: &str = ",\"check\":\"";
const VERSION: u32 = 1;
