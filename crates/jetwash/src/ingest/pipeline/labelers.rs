use jetwash_event::{Did, Labels};

/// The labelers that a log of labels is of.
#[derive(Debug)]
pub(super) struct Labelers {
    /// By the names of the sources.
    pub(super) dids: Vec<(String, Did)>,
    /// The labels in force, of those in the log and those from before it, if these are wanted.
    pub(super) index: Option<Labels>,
}

impl Labelers {
    /// Who a source is, and the index for its labels; `None` if it is not a labeler.
    pub(super) fn of(&self, source: &str) -> Option<(Did, Option<Labels>)> {
        let (_, did) = self.dids.iter().find(|(name, _)| name == source)?;
        Some((did.clone(), self.index.clone()))
    }
}
