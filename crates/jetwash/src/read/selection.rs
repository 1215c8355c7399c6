use jetwash_event::Filter;
use jetwash_store::Run;

/// The events of a run that a filter matches.
///
/// Each DID and collection of the block is looked up once, however many events share it; the
/// events are then sorted out by table look-ups, without touching their content. Keep one per
/// reader: it holds the memory for the answers.
///
/// It iterates over the indexes in the block, in order.
///
/// # Examples
///
/// ```
/// use jetwash::testing::{SimChange, did, frames_from};
/// use jetwash::{Filter, Jetstream, Kind, Reading, Selection, StartFrom};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let frames = frames_from([SimChange::identity(did(0), None)])?;
/// # let frames = futures_util::stream::iter(frames);
/// # let (jetstream, ingest) = Jetstream::builder().frame_stream("test", frames).build()?;
/// let mut reader = jetstream.reader(StartFrom::Oldest).await?;
/// # tokio::spawn(ingest.run(std::future::pending()));
/// let filter = Filter::new().kinds([Kind::Identity]);
/// let mut selection = Selection::default();
/// if let Some(Reading::Events(run)) = reader.next().await.transpose()? {
///     selection.select(&run, &filter);
///     assert_eq!(selection.next(), Some(0));
///     assert!(selection.is_empty());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Selection {
    indexes: Vec<usize>,
    next: usize,
    dids: Vec<bool>,
    collections: Vec<bool>,
}

impl Selection {
    /// Starts anew with the events of `run`.
    pub fn select(&mut self, run: &Run, filter: &Filter) {
        let block = run.block();
        self.next = 0;
        self.indexes.clear();
        if filter.is_empty() {
            self.indexes.extend(run.indexes());
            return;
        }
        if !filter.has_collections() && !filter.judges_dids() {
            let kinds = block.kinds().iter().enumerate();
            let of_run = kinds.take(run.indexes().end).skip(run.indexes().start);
            let wanted = of_run.filter(|(_, kind)| filter.matches_kind(kind.kind()));
            self.indexes.extend(wanted.map(|(index, _)| index));
            return;
        }
        // A block has some twenty collections, and more accounts than that.
        self.collections.clear();
        let matches =
            |collection: &str| collection.is_empty() || filter.matches_collection(collection);
        self.collections
            .extend(block.collection_table().iter().map(matches));
        if !self.collections.contains(&true) {
            return;
        }
        self.dids.clear();
        if filter.judges_dids() {
            let dids = block.did_table().iter();
            self.dids.extend(dids.map(|did| filter.matches_did(did)));
            if !self.dids.contains(&true) {
                return;
            }
        } else {
            self.dids.resize(block.did_table().len(), true);
        }
        let columns = block.did_indexes().iter().zip(block.collection_indexes());
        for (index, ((&did, &collection), &kind)) in columns
            .zip(block.kinds())
            .enumerate()
            .take(run.indexes().end)
            .skip(run.indexes().start)
        {
            let matches = |table: &[bool], entry: u16| {
                table.get(usize::from(entry)).copied().unwrap_or_default()
            };
            if matches(&self.dids, did)
                && matches(&self.collections, collection)
                && filter.matches_kind(kind.kind())
            {
                self.indexes.push(index);
            }
        }
    }

    /// Leaves out the events before an index of the block.
    pub fn skip_to(&mut self, index: usize) {
        self.next = self
            .next
            .max(self.indexes.partition_point(|&found| found < index));
    }

    /// The events that are left.
    #[must_use]
    pub fn rest(&self) -> &[usize] {
        self.indexes.get(self.next..).unwrap_or_default()
    }

    /// How many events are left.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.indexes.len() - self.next
    }

    /// Whether no event is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next >= self.indexes.len()
    }
}

impl Iterator for Selection {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let index = *self.indexes.get(self.next)?;
        self.next += 1;
        Some(index)
    }
}
