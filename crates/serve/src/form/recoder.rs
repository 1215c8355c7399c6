use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jetwash::store::{Block, Page, StoreError};
use jetwash::{Dictionary, Seq};

use crate::form::compressors::Compressors;
use crate::form::events::{Events, Made};
use crate::form::format::{Compression, Format, Shape};
use crate::form::from_lines::{compressed, plain};
use crate::form::recode_error::RecodeError;
use crate::form::verdicts::with_verdicts;
use crate::memory::Budget;

/// Makes events in formats that the log does not have, when first asked for. They are kept for a
/// while, for other subscribers that read the same events at about the same time.
///
/// It makes only what [`Format::single`] and batches ask for. The rest differs by subscriber.
#[derive(Debug)]
pub(crate) struct Recoder {
    kept: Mutex<Kept>,
    compressors: Compressors,
    max_bytes: usize,
    /// The memory of all subscribers, of which what is kept is a part.
    memory: Arc<Budget>,
}

impl Recoder {
    /// Keeps up to `max_bytes` of events, and fewer where subscribers need the memory.
    pub(crate) fn new(max_bytes: usize, memory: Arc<Budget>) -> Self {
        Self {
            kept: Mutex::default(),
            compressors: Compressors::default(),
            max_bytes,
            memory,
        }
    }

    pub(crate) const fn compressors(&self) -> &Compressors {
        &self.compressors
    }

    /// Returns a block's events without waiting for the disk or a long computation; `None` if that
    /// cannot be.
    pub(crate) fn ready(
        &self,
        block: &Block,
        format: Format,
        dictionary: Option<&Dictionary>,
    ) -> Option<Result<Events, RecodeError>> {
        let is_ready = match Stored::of(block, format, dictionary) {
            Some(Stored::Json) => block.has_json(),
            Some(Stored::Compressed) => block.has_compressed(),
            None => {
                let is_short = block.len() <= SHORT && block.has_json();
                is_short || self.kept().has(Key::new(block, format, dictionary))
            }
        };
        is_ready.then(|| self.events(block, format, dictionary))
    }

    /// Whether a block's events are kept, or are being made now.
    pub(crate) fn has_place(
        &self,
        block: &Block,
        format: Format,
        dictionary: Option<&Dictionary>,
    ) -> bool {
        let key = Key::new(block, format, dictionary);
        self.kept().entries.iter().any(|(found, _)| *found == key)
    }

    /// Notes that a reader comes to a block. Returns whether another was there not long ago, so that
    /// it is worth making the events once for all.
    pub(crate) fn is_shared(
        &self,
        block: &Block,
        format: Format,
        dictionary: Option<&Dictionary>,
    ) -> bool {
        self.kept().meet(Key::new(block, format, dictionary))
    }

    /// Makes some of a block's events from their lines, each compressed, for one reader that wants few
    /// of them. Nothing is kept.
    pub(crate) fn some(
        &self,
        block: &Block,
        (lines, shape): (&Page, Shape),
        indexes: &[usize],
        dictionary: Option<&Dictionary>,
    ) -> Result<Events, RecodeError> {
        let indexes = indexes.iter().copied();
        self.compressors
            .lend(dictionary, |compressor| {
                compressed(block, lines, shape, indexes, compressor)
            })
            .map(|made| Arc::new(made).into())
    }

    /// Returns a block's events. It may read from the disk, and makes what has not been made.
    pub(crate) fn events(
        &self,
        block: &Block,
        format: Format,
        dictionary: Option<&Dictionary>,
    ) -> Result<Events, RecodeError> {
        debug_assert!(
            format.is_batched() || format == format.single(),
            "a subscriber makes the rest itself"
        );
        if let Some(page) = stored(block, format, dictionary)? {
            return Ok(page.clone().into());
        }
        let place = self.kept().place(Key::new(block, format, dictionary));
        // The lock is held while events are made, so that others wait for them instead of making
        // them too. The place of plain events is locked under it, and under that the place of those
        // without verdicts; never the other way round.
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*place {
            return Ok(Arc::clone(made).into());
        }
        let made = if format.is_compressed_fast() {
            let (lines, indexes) = (block.json()?, 0..block.len());
            self.compressors.lend(dictionary, |compressor| {
                compressed(block, lines, format.shape, indexes, compressor)
            })?
        } else if format.compression == Compression::None {
            if format.verdicts {
                with_verdicts(block, &self.events(block, format.without_verdicts(), None)?)
            } else {
                plain(block, format.shape)?
            }
        } else {
            let plain = self.events(block, format.plain(), None)?;
            let has = |index: usize| {
                let kind = block.kinds().get(index);
                kind.is_some_and(|kind| format.shape.has(kind.kind()))
            };
            // An event that the shape does not have is empty, so that the others keep their places.
            let events = (0..block.len()).map(|index| match plain.get(index) {
                Some(event) if has(index) => event,
                _ => &[],
            });
            if format.is_batched() {
                self.compressors.batches(format.shape, events, dictionary)?
            } else {
                self.compressors.events(events, dictionary)?
            }
        };
        let made = Arc::new(made);
        *place = Some(Arc::clone(&made));
        // Trimming looks into all places.
        drop(place);
        let mut kept = self.kept();
        let bytes = kept.trim(self.max_bytes);
        if !self.memory.keep(bytes) {
            kept.entries.clear();
        }
        Ok(made.into())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of a block that is in a format already.
enum Stored {
    Json,
    Compressed,
}

impl Stored {
    fn of(block: &Block, format: Format, dictionary: Option<&Dictionary>) -> Option<Self> {
        if format.verdicts {
            return None;
        }
        let id = dictionary.map(Dictionary::id);
        match (format.shape, format.compression) {
            (Shape::V1, Compression::None) => Some(Self::Json),
            (Shape::V1, Compression::Event) if id.is_some() && id == block.dictionary_id() => {
                Some(Self::Compressed)
            }
            _ => None,
        }
    }
}

/// The events as the block has them, if it does in this format.
fn stored<'a>(
    block: &'a Block,
    format: Format,
    dictionary: Option<&Dictionary>,
) -> Result<Option<&'a Page>, StoreError> {
    match Stored::of(block, format, dictionary) {
        Some(Stored::Json) => block.json().map(Some),
        Some(Stored::Compressed) => block.compressed(),
        None => Ok(None),
    }
}

/// Events that were made lately, the oldest first.
#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<(Key, Place)>,
    /// Blocks that one reader has come to, and for which nothing was made.
    met: VecDeque<Key>,
}

/// A place for events, which is locked while they are being made.
type Place = Arc<Mutex<Option<Arc<Made>>>>;

/// Some events in a format. A block at the end of the log may be followed by one that starts at the
/// same position and has more events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    first_seq: Seq,
    next_seq: Seq,
    format: Format,
    dictionary: Option<u32>,
}

impl Key {
    fn new(block: &Block, format: Format, dictionary: Option<&Dictionary>) -> Self {
        // Plain events are the same whatever dictionary a subscriber has.
        let dictionary = dictionary.filter(|_| format.compression != Compression::None);
        Self {
            first_seq: block.first_seq(),
            next_seq: block.next_seq(),
            format,
            dictionary: dictionary.map(Dictionary::id),
        }
    }
}

impl Kept {
    /// Whether events are here and not being made.
    fn has(&self, key: Key) -> bool {
        self.made(key).is_some()
    }

    /// Events that are here and not being made.
    fn made(&self, key: Key) -> Option<Arc<Made>> {
        let (_, place) = self.entries.iter().rev().find(|(found, _)| *found == key)?;
        place.try_lock().ok()?.clone()
    }

    /// Notes a reader. Returns whether another was there.
    fn meet(&mut self, key: Key) -> bool {
        if self.met.contains(&key) || self.entries.iter().any(|(found, _)| *found == key) {
            return true;
        }
        if self.met.len() >= MAX_ENTRIES {
            self.met.pop_front();
        }
        self.met.push_back(key);
        false
    }

    /// The place for a key's events, which later calls find again.
    fn place(&mut self, key: Key) -> Place {
        // The latest are asked for most.
        if let Some((_, place)) = self.entries.iter().rev().find(|(found, _)| *found == key) {
            return Arc::clone(place);
        }
        if self.entries.len() >= MAX_ENTRIES {
            self.entries.pop_front();
        }
        let place = Place::default();
        self.entries.push_back((key, Arc::clone(&place)));
        place
    }

    /// Removes the oldest until at most `max_bytes` are kept. Events that are being made count as
    /// nothing. Returns how many are left.
    fn trim(&mut self, max_bytes: usize) -> usize {
        let size = |place: &Place| {
            let made = place.try_lock().ok();
            made.map_or(0, |made| made.as_ref().map_or(0, |made| made.size()))
        };
        let mut bytes: usize = self.entries.iter().map(|(_, place)| size(place)).sum();
        while bytes > max_bytes {
            let Some((_, place)) = self.entries.pop_front() else {
                return 0;
            };
            bytes = bytes.saturating_sub(size(&place));
        }
        bytes
    }
}

/// A block with up to this many events is recoded at once.
pub(crate) const SHORT: usize = 32;
/// More blocks than are read at about the same time.
const MAX_ENTRIES: usize = 128;

#[cfg(test)]
mod tests {
    use std::thread;

    use jetwash::store::{
        CommitPart, EventKind, Location, NewEvent, Options, Read, Run, Store, open,
    };
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::memory::Purpose;

    const V2: Format = Format {
        shape: Shape::V2,
        compression: Compression::Event,
        verdicts: false,
    };

    /// A log of full blocks of 64 events.
    fn log(blocks: u64) -> (Store, Vec<Run>) {
        let options = Options::default().block_events(64);
        let (mut appender, store) = open(Location::Memory, options).unwrap();
        for number in 0..64 * blocks {
            let json = format!(
                r#"{{"did":"did:web:a.example","time_us":{number},"kind":"identity","identity":{{"seq":{number}}}}}"#
            );
            let event = NewEvent {
                kind: EventKind::Identity,
                did: "did:web:a.example",
                collection: "",
                commit: CommitPart::WHOLE,
                source: "test",
                verdict: 0,
                time_us: jetwash::Micros::new(number + 1),
                json: json.as_bytes(),
                compressed: None,
            };
            appender.push(&event).unwrap();
        }
        appender.commit().unwrap();
        let (mut runs, mut seq) = (Vec::new(), Seq::FIRST);
        while let Read::Events(run) = store.read(seq).unwrap() {
            seq = run.next_seq();
            runs.push(run);
        }
        assert_eq!(runs.len() as u64, blocks);
        (store, runs)
    }

    fn recoder(max_bytes: usize, budget: usize) -> (Recoder, Arc<Budget>) {
        let budget = Arc::new(Budget::new(budget));
        (Recoder::new(max_bytes, Arc::clone(&budget)), budget)
    }

    fn kept(recoder: &Recoder) -> usize {
        recoder.kept().trim(usize::MAX)
    }

    #[test]
    fn a_block_is_made_once_for_all_readers() {
        let (_store, runs) = log(3);
        let (recoder, _) = recoder(1 << 20, 1 << 30);
        for run in &runs {
            let made = thread::scope(|scope| {
                let readers = [(); 8].map(|()| {
                    scope.spawn(|| {
                        recoder.events(run.block(), V2, None).unwrap();
                        // That of a reader is the one that is kept.
                        recoder.kept().made(Key::new(run.block(), V2, None))
                    })
                });
                readers.map(|reader| reader.join().unwrap().unwrap())
            });
            assert!(made.iter().all(|it| Arc::ptr_eq(it, &made[0])));
        }
        let places = recoder.kept().entries.len();
        assert_eq!(places, runs.len(), "nothing is kept beside what is sent");
    }

    #[test]
    fn the_oldest_blocks_are_forgotten() {
        let (_store, runs) = log(40);
        let (recoder, budget) = recoder(20_000, 1 << 30);
        for run in &runs {
            recoder.events(run.block(), V2, None).unwrap();
            assert!(kept(&recoder) <= 20_000);
        }
        assert!(kept(&recoder) > 10_000);
        assert!(budget.keep(kept(&recoder)));
        let is_kept = |run: &Run| recoder.has_place(run.block(), V2, None);
        assert!(is_kept(&runs[39]) && !is_kept(&runs[0]));
    }

    #[test]
    fn nothing_is_kept_where_subscribers_need_the_memory() {
        let (_store, runs) = log(3);
        let (recoder, budget) = recoder(1 << 20, 100_000);
        let account = budget.account(CancellationToken::new());
        let make = |run: &Run| recoder.events(run.block(), V2, None).map(drop).unwrap();
        make(&runs[0]);
        assert!(kept(&recoder) > 0);
        assert_eq!(account.set(Purpose::Filter, 100_000), Ok(()));
        make(&runs[1]);
        assert_eq!(kept(&recoder), 0);
        assert_eq!(account.set(Purpose::Filter, 0), Ok(()));
        make(&runs[2]);
        assert!(kept(&recoder) > 0);
    }

    #[test]
    fn the_second_reader_of_a_block_is_not_alone() {
        let (_store, runs) = log(200);
        let (recoder, _) = recoder(1 << 20, 1 << 30);
        for run in &runs {
            assert!(!recoder.is_shared(run.block(), V2, None));
        }
        assert!(recoder.is_shared(runs[199].block(), V2, None));
        assert!(!recoder.is_shared(runs[0].block(), V2, None), "long ago");
    }

    #[test]
    fn some_events_are_those_of_the_whole_block() {
        let (_store, runs) = log(1);
        let (recoder, _) = recoder(1 << 20, 1 << 30);
        let block = runs[0].block();
        let all = recoder.events(block, V2, None).unwrap();
        let wanted = [0, 7, 8, 63];
        let lines = block.json_of(&wanted).unwrap();
        let some = recoder
            .some(block, (&lines, Shape::V2), &wanted, None)
            .unwrap();
        for index in 0..block.len() {
            let expected = wanted.contains(&index).then(|| all.get(index).unwrap());
            assert_eq!(some.get(index), Some(expected.unwrap_or_default()));
        }
    }
}
