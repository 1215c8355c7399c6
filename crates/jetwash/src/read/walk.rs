use jetwash_event::Filter;
use jetwash_store::{Cursor, Gap, Page, Run};

use crate::read::{Delivery, Event, Phase, ReadError, Reader, Reading, Selection, some_json_of};

/// A reader and a filter, event by event. Subscriptions, polls and consumers are built on it.
pub(crate) struct Walk {
    reader: Reader,
    filter: Filter,
    selection: Selection,
    /// That of the filter when the selection was made.
    version: u64,
    phase: Phase,
    /// Whether the run at hand reached the log's tip when it was read.
    reaches_tip: bool,
    at_hand: Option<AtHand>,
    /// Up to here every event was handed out or is not wanted.
    done: Cursor,
}

/// A run of which some events are wanted; their JSON is loaded before the first is handed out.
struct AtHand {
    run: Run,
    json: Option<Page>,
}

/// The result of [`Walk::load`].
pub(crate) enum Loaded {
    Events,
    Gap(Gap),
}

impl Walk {
    pub(crate) fn new(reader: Reader, filter: Filter) -> Self {
        Self {
            phase: Phase::at_tip(reader.is_at_tip()),
            done: Cursor::before(reader.next_seq()),
            reader,
            filter,
            selection: Selection::default(),
            version: 0,
            reaches_tip: false,
            at_hand: None,
        }
    }

    /// The next event that the filter matches, or a gap; `None` when the log has ended.
    ///
    /// It is safe to drop the future and call again.
    pub(crate) async fn next(&mut self) -> Option<Result<Delivery, ReadError>> {
        loop {
            if let Some(event) = self.next_at_hand() {
                return Some(Ok(Delivery::Event(event)));
            }
            match self.load().await? {
                Ok(Loaded::Events) => {}
                Ok(Loaded::Gap(gap)) => return Some(Ok(Delivery::Gap(gap))),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The next event, if it has been loaded.
    pub(crate) fn next_at_hand(&mut self) -> Option<Event> {
        if self.version != self.filter.version() {
            // A set of accounts has changed: that holds from the next event.
            self.select_again();
        }
        let at_hand = self.at_hand.as_ref()?;
        let json = at_hand.json.as_ref()?;
        let next = self.selection.next();
        let event = next.and_then(|index| Event::at(at_hand.run.block(), json, index, self.phase));
        match &event {
            Some(event) if !self.selection.is_empty() => self.done = event.cursor(),
            _ => self.finish_run(),
        }
        event
    }

    /// Continues to the next run, and loads the JSON of what the filter matches; `None` when
    /// the log has ended. Where events are missing it is behind them then. To be called when
    /// nothing is at hand.
    ///
    /// It is safe to drop the future and call again.
    pub(crate) async fn load(&mut self) -> Option<Result<Loaded, ReadError>> {
        // A run that is at hand without its JSON is here again because the filter has changed, or
        // because this future was dropped while the JSON was loaded.
        if self.at_hand.is_none() {
            let run = match self.reader.next().await? {
                Ok(Reading::Events(run)) => run,
                Ok(Reading::Gap(gap)) => {
                    self.done = Cursor::before(self.reader.next_seq());
                    if self.reader.is_at_tip() {
                        self.phase = Phase::Live;
                    }
                    return Some(Ok(Loaded::Gap(gap)));
                }
                Err(error) => return Some(Err(error)),
            };
            self.reaches_tip = self.reader.is_at_tip();
            self.version = self.filter.version();
            self.selection.select(&run, &self.filter);
            self.at_hand = Some(AtHand { run, json: None });
            if self.selection.is_empty() {
                self.finish_run();
                return Some(Ok(Loaded::Events));
            }
        }
        // Only the events that are wanted are decompressed, and all of them at once.
        let at_hand = self.at_hand.as_mut()?;
        let end = at_hand.run.next_seq();
        match some_json_of(at_hand.run.block(), self.selection.rest()).await {
            Ok(json) => {
                at_hand.json = Some(json);
                Some(Ok(Loaded::Events))
            }
            Err(error) => Some(error.into_gap(self.done.next()).map(|mut gap| {
                // The block may continue behind the run.
                gap.next_seq = gap.next_seq.min(end);
                gap.events = Some(gap.positions());
                self.finish_run();
                Loaded::Gap(gap)
            })),
        }
    }

    /// Up to here every event was handed out, or is not wanted.
    pub(crate) const fn cursor(&self) -> Cursor {
        self.done
    }

    /// Whether everything that the log has so far was handed out.
    pub(crate) fn is_at_tip(&self) -> bool {
        self.at_hand.is_none() && self.reader.is_at_tip()
    }

    /// Continues with another filter: for all events after the cursor that is returned.
    pub(crate) fn set_filter(&mut self, filter: Filter) -> Cursor {
        self.filter = filter;
        self.select_again();
        self.cursor()
    }

    fn select_again(&mut self) {
        self.version = self.filter.version();
        if let Some(at_hand) = &mut self.at_hand {
            // It has no more than what was wanted before.
            at_hand.json = None;
            let next = self.done.next().since(at_hand.run.block().first_seq());
            self.selection.select(&at_hand.run, &self.filter);
            self.selection
                .skip_to(usize::try_from(next).unwrap_or(usize::MAX));
            if self.selection.is_empty() {
                self.finish_run();
            }
        }
    }

    fn finish_run(&mut self) {
        if let Some(AtHand { run, .. }) = self.at_hand.take() {
            self.done = Cursor::before(run.next_seq());
        }
        if self.reaches_tip {
            self.phase = Phase::Live;
        }
    }
}
