use std::fmt;
use std::path::PathBuf;

use crate::error::Files;
use crate::identity::LogId;
use crate::seq::Seq;

/// The outcome of a [repair](crate::repair). As text it is for people.
///
/// # Examples
///
/// ```
/// use jetwash_store::{Location, Options, Seq, open, repair};
///
/// let folder = tempfile::tempdir()?;
/// drop(open(Location::Disk(folder.path().to_owned()), Options::default())?);
/// let report = repair(folder.path())?;
/// assert_eq!((report.events, report.next_seq), (0, Seq::FIRST));
/// assert_eq!(report.to_string(), "nothing is missing or damaged: 0 events");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairReport {
    /// Files that are gone, as named in the ring's folder.
    pub missing: Vec<PathBuf>,
    /// Files that are not as they were written. What could be read of them is in the ring.
    pub damaged: Vec<PathBuf>,
    /// The folder that the damaged files are in now.
    pub set_aside: Option<PathBuf>,
    /// The number of dead letters that are left, if a table of them was damaged. Letters that were
    /// only in that table are lost, and their number is unknown; the table is among the files set
    /// aside. `None` if no letter was lost.
    pub letters_left: Option<u64>,
    /// The same for accounts whose newest revision is known. Records that others have deleted may come
    /// back from a relay that is late.
    pub accounts_left: Option<u64>,
    /// The number of events in the ring.
    pub events: u64,
    /// Positions without an event: the first of each gap, and the one after its last. Those at the end
    /// may never have been given out, and are skipped so that no position is given out twice.
    pub lost: Vec<(Seq, Seq)>,
    /// The position that the next event will get.
    pub next_seq: Seq,
    /// Which log this is now.
    pub log_id: LogId,
    /// Whether the log has got another identity, as it is not known how far positions have been given
    /// out: cursors of the old log say nothing in this one.
    pub is_new_log: bool,
}

impl RepairReport {
    /// Whether nothing was wrong with the ring's files, and every block can be read.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.missing.is_empty() && self.damaged.is_empty() && self.lost.is_empty()
    }
}

impl fmt::Display for RepairReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_sound() {
            return write!(
                formatter,
                "nothing is missing or damaged: {} events",
                self.events
            );
        }
        // One line for each thing, the next position last: it is what to continue with.
        if !self.missing.is_empty() {
            writeln!(formatter, "missing: {}", Files(&self.missing))?;
        }
        if !self.damaged.is_empty() {
            writeln!(formatter, "damaged: {}", Files(&self.damaged))?;
        }
        if let Some(folder) = &self.set_aside {
            writeln!(formatter, "put aside in: {}", folder.display())?;
        }
        writeln!(formatter, "kept: {} events", self.events)?;
        if let Some(left) = self.letters_left {
            writeln!(
                formatter,
                "lost: dead letters that were only in a damaged table; {left} are left"
            )?;
        }
        if let Some(left) = self.accounts_left {
            writeln!(
                formatter,
                "lost: revisions of accounts that were only in a damaged table; {left} are left"
            )?;
        }
        for (first, next) in &self.lost {
            let last = next.previous();
            writeln!(formatter, "no events at positions {first} to {last}")?;
        }
        if self.is_new_log {
            writeln!(formatter, "this is another log now: {}", self.log_id)?;
        }
        write!(formatter, "the next event gets position {}", self.next_seq)
    }
}
