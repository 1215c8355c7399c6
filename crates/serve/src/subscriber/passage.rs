use std::sync::Arc;

use jetwash::store::Run;
use jetwash::{Selection, Seq};
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use crate::form::events::Events;
use crate::subscriber::settings::Settings;

/// A run of the log on its way to one subscriber.
pub(crate) struct Passage<'a> {
    pub(crate) run: &'a Run,
    /// The events that the subscriber still wants of it.
    pub(crate) selection: &'a mut Selection,
    /// The settings by which they were selected.
    selected_by: Option<Arc<Settings>>,
    /// The events of the run's block, once they are loaded.
    pub(crate) pages: Option<Pages>,
    /// Whether batches may be loaded. If those do not have the next event, single events do.
    pub(crate) may_load_batches: bool,
    /// The permit for the next write, after [`Wait::Turn`].
    pub(crate) turn: Option<SemaphorePermit<'static>>,
}

/// A block's events in a subscriber's format, in batches or one by one.
pub(crate) enum Pages {
    Batches(Events),
    Singles(Events),
}

/// The thing that a subscriber's way out waits for before it can continue with a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    /// New settings, if they hold from the position that it has reached. It continues without them.
    Settings,
    /// The events of the run's block.
    Events,
    /// The time when its address may have more events.
    Allowance(Instant),
    /// Its turn to be given as much as goes into one write.
    Turn,
    /// The turn of others: it has had a write.
    Others,
    /// The socket, which has not taken everything.
    Socket,
    /// The next run: it has passed all events of this one.
    Run,
}

impl<'a> Passage<'a> {
    pub(crate) const fn new(run: &'a Run, selection: &'a mut Selection) -> Self {
        Self {
            run,
            selection,
            selected_by: None,
            pages: None,
            may_load_batches: true,
            turn: None,
        }
    }

    /// Selects events from `next_seq` on, unless that was done by the same settings.
    pub(crate) fn select(&mut self, settings: &Arc<Settings>, next_seq: Seq) {
        let is_selected = |by: &Arc<Settings>| Arc::ptr_eq(by, settings);
        if self.selected_by.as_ref().is_some_and(is_selected) {
            return;
        }
        self.selection.select(self.run, &settings.filter);
        self.selection.skip_to(index_in(self.run, next_seq));
        self.selected_by = Some(Arc::clone(settings));
        // Only events that were wanted are sure to be loaded.
        self.pages = None;
    }

    /// Selects and loads anew, one by one: the batches do not have the next event.
    pub(crate) fn load_singles(&mut self) {
        debug_assert!(
            !matches!(self.pages, Some(Pages::Singles(_))),
            "single events have every event"
        );
        (self.selected_by, self.pages) = (None, None);
        self.may_load_batches = false;
    }
}

/// The index in the run's block of the event at a position.
fn index_in(run: &Run, next_seq: Seq) -> usize {
    let index = next_seq.since(run.block().first_seq());
    usize::try_from(index).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use jetwash::Filter;
    use jetwash::store::{CommitPart, EventKind, Location, NewEvent, Options, Read, open};

    use super::*;

    /// A run of six events, of two accounts in turn.
    fn run() -> Run {
        let (mut appender, store) = open(Location::Memory, Options::default()).unwrap();
        for number in 1..=6_u64 {
            let event = NewEvent {
                kind: EventKind::Identity,
                did: ["did:web:a.example", "did:web:b.example"][number as usize % 2],
                collection: "",
                commit: CommitPart::WHOLE,
                source: "test",
                verdict: 0,
                time_us: jetwash::Micros::new(number),
                json: b"{}",
                compressed: None,
            };
            appender.push(&event).unwrap();
        }
        appender.commit().unwrap();
        match store.read(Seq::FIRST).unwrap() {
            Read::Events(run) => run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn settings_that_change_half_way_through_a_run_hold_for_what_is_left_of_it() {
        let run = run();
        let mut selection = Selection::default();
        let mut passage = Passage::new(&run, &mut selection);
        let all = Arc::new(Settings::default());
        passage.select(&all, Seq::FIRST);
        assert_eq!(
            [passage.selection.next(), passage.selection.next()],
            [Some(0), Some(1)]
        );
        // The same settings again change nothing.
        passage.select(&all, Seq::FIRST);
        assert_eq!(passage.selection.next(), Some(2));
        let filter = Filter::new().dids(["did:web:b.example"]).unwrap();
        let own = Arc::new(Settings::of(filter, 0));
        passage.select(&own, Seq::new(4));
        assert_eq!(passage.selection.by_ref().collect::<Vec<_>>(), [4]);
        passage.select(&all, Seq::new(4));
        assert_eq!(passage.selection.by_ref().collect::<Vec<_>>(), [3, 4, 5]);
    }
}
