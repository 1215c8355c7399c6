use bytes::Bytes;
use jetwash::Dictionary;
use jetwash::store::Run;

use crate::form::format::{Format, Shape};
use crate::form::framing::{Framing, Mark};
use crate::form::recoder::Recoder;
use crate::websocket::{Opcode, write_frame};

/// All events of some runs as messages in one framing, which are the same for all subscribers that want
/// them all in one format.
#[derive(Clone, Debug)]
pub(crate) struct Messages {
    pub(crate) bytes: Bytes,
    pub(crate) events: usize,
    /// The bytes of the events alone.
    pub(crate) payload: usize,
}

impl Messages {
    /// `None` if the events cannot be given in the format.
    pub(crate) fn make(
        runs: &[Run],
        (format, framing): (Format, Framing),
        dictionary: Option<&Dictionary>,
        recoder: &Recoder,
    ) -> Option<Self> {
        if format.is_batched() {
            debug_assert_eq!(framing, Framing::Websocket, "batches are binary");
            Self::of_batches(runs, format, dictionary, recoder)
        } else {
            Self::of_events(runs, (format, framing), dictionary, recoder)
        }
    }

    /// A message for each event.
    fn of_events(
        runs: &[Run],
        (format, framing): (Format, Framing),
        dictionary: Option<&Dictionary>,
        recoder: &Recoder,
    ) -> Option<Self> {
        let opcode = if format.is_text() {
            Opcode::Text
        } else {
            Opcode::Binary
        };
        let mut bytes = Vec::new();
        let (mut events, mut payload) = (0, 0);
        for run in runs {
            let page = recoder.events(run.block(), format, dictionary).ok()?;
            for index in indexes(run, format.shape) {
                let event = page.get(index)?;
                // One that the format does not have was counted when it was recoded.
                if event.is_empty() {
                    continue;
                }
                let cursor = Mark::of(run.block(), index).cursor(format.shape);
                framing.write(opcode, cursor, event, &mut bytes);
                events += 1;
                payload += event.len();
            }
        }
        Some(Self {
            bytes: bytes.into(),
            events,
            payload,
        })
    }

    /// A message for each batch of events, across runs.
    fn of_batches(
        runs: &[Run],
        format: Format,
        dictionary: Option<&Dictionary>,
        recoder: &Recoder,
    ) -> Option<Self> {
        debug_assert_ne!(format.shape, Shape::V0, "V0 is not served compressed");
        let page = |run: &Run| recoder.events(run.block(), format.plain(), None).ok();
        let pages = runs.iter().map(page).collect::<Option<Vec<_>>>()?;
        // The batches of a block cannot be used: runs begin and end anywhere in theirs, and are
        // short at the end of the log.
        let events = runs
            .iter()
            .zip(&pages)
            .flat_map(|(run, page)| indexes(run, format.shape).filter_map(|index| page.get(index)));
        let compressors = recoder.compressors();
        let batches = compressors.batches(format.shape, events, dictionary).ok()?;
        let mut bytes = Vec::new();
        let mut payload = 0;
        for batch in batches.iter().filter(|batch| !batch.is_empty()) {
            write_frame(Opcode::Binary, batch, &mut bytes);
            payload += batch.len();
        }
        Some(Self {
            bytes: bytes.into(),
            events: runs
                .iter()
                .map(|run| indexes(run, format.shape).count())
                .sum(),
            payload,
        })
    }
}

/// The indexes of a run's events that a shape has.
fn indexes(run: &Run, shape: Shape) -> impl Iterator<Item = usize> {
    let kinds = run.block().kinds();
    let has = move |index: &usize| kinds.get(*index).is_some_and(|kind| shape.has(kind.kind()));
    run.indexes().filter(has)
}
