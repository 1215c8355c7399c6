use std::time::{Duration, Instant};

use crate::filter::Filter;
use crate::seen::Seen;
use crate::truth::Truth;

/// How far a subscriber is in the truth, and what has to come next.
pub(crate) struct Check {
    pub(crate) filter: Filter,
    /// A filter that was asked for on the open connection: it holds from some event on.
    pending: Option<(Filter, Instant)>,
    at: At,
    /// The index to come back with: the last event, or where it began; unless it began live.
    resume: Option<usize>,
    /// How many events have come.
    taken: u64,
}

#[derive(Clone, Copy)]
enum At {
    /// Some event that was not in the log yet when the connection was asked for comes first; at the
    /// latest the first of those that were sent after the answer.
    Live { after: usize, latest: usize },
    /// The first event that the filter lets pass from this index on.
    Next(usize),
}

/// A difference between what came and what had to come.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Events of this number were left out.
    Missing(usize),
    /// The event was there before, or its filter does not let it pass.
    Extra(String),
    /// It came behind later ones.
    Order(String),
    /// It is not one of the relay's, or its position, time or text is another one.
    Wrong(String),
}

impl Check {
    /// Begins at an index.
    pub(crate) const fn at(filter: Filter, index: usize) -> Self {
        Self {
            filter,
            pending: None,
            at: At::Next(index),
            resume: Some(index),
            taken: 0,
        }
    }

    /// Begins with what comes, which was not among the first `after` events, and is at the latest
    /// the first one from `latest` on.
    pub(crate) const fn live(filter: Filter, after: usize, latest: usize) -> Self {
        let at = At::Live { after, latest };
        Self {
            filter,
            pending: None,
            at,
            resume: None,
            taken: 0,
        }
    }

    /// The index to come back with; `None` before the first event of a live connection.
    pub(crate) const fn resume(&self) -> Option<usize> {
        self.resume
    }

    /// The state in words, for a report.
    pub(crate) fn describe(&self) -> String {
        let filter = self.filter.describe();
        let pending = self.pending.as_ref();
        let pending = pending.map_or_else(|| "none".to_owned(), |(filter, _)| filter.describe());
        let taken = self.taken;
        format!("{taken} events since it connected, filter {filter}, pending {pending}")
    }

    /// The filter that holds or will.
    pub(crate) fn newest_filter(&self) -> &Filter {
        self.pending
            .as_ref()
            .map_or(&self.filter, |(filter, _)| filter)
    }

    pub(crate) const fn is_changing(&self) -> bool {
        self.pending.is_some()
    }

    /// Has another filter hold from some event on.
    pub(crate) fn change(&mut self, filter: Filter) {
        self.pending = Some((filter, Instant::now()));
    }

    /// Compares an event with the one that has to come next, and notes it in the truth.
    pub(crate) fn take(
        &mut self,
        truth: &mut Truth,
        seen: &Seen,
        wire: usize,
    ) -> Result<usize, Fault> {
        self.taken += 1;
        self.filter.prepare(truth);
        if let Some((filter, _)) = &mut self.pending {
            filter.prepare(truth);
        }
        let found = match self.at {
            At::Live { after, latest } => self.first(truth, seen, after, latest),
            At::Next(next) => self.following(truth, seen, next),
        };
        let index = found.inspect_err(|_| self.recover(truth, seen))?;
        (self.at, self.resume) = (At::Next(index + 1), Some(index));
        if let Some(seq) = seen.seq.filter(|&seq| seq != index as u64 + 1) {
            return Err(Fault::Wrong(format!(
                "its position is {seq} instead of {}",
                index + 1
            )));
        }
        match truth.note(index, seen.time, wire, seen.text) {
            Some(difference) => Err(Fault::Wrong(format!(
                "position {}: {difference}",
                index + 1
            ))),
            None => Ok(index),
        }
    }

    /// Whether everything has come that is certain to.
    pub(crate) fn is_complete(&mut self, truth: &Truth) -> bool {
        let next = self.outstanding(truth).next();
        // What was looked at need not be looked at again, as far as it cannot change any more.
        if let (None, None, At::Next(at)) = (next, &self.pending, &mut self.at) {
            *at = truth.seen().max(*at);
        }
        next.is_none()
    }

    /// The indexes of the events that have not come yet and are certain to.
    pub(crate) fn outstanding<'a>(
        &'a mut self,
        truth: &'a Truth,
    ) -> impl Iterator<Item = usize> + 'a {
        self.filter.prepare(truth);
        if let Some((filter, _)) = &mut self.pending {
            filter.prepare(truth);
        }
        let from = match self.at {
            At::Live { latest, .. } => latest,
            At::Next(next) => next,
        };
        let (filter, also) = (
            &self.filter,
            self.pending.as_ref().map(|(filter, _)| filter),
        );
        (from..truth.len()).filter(move |&index| {
            let passes = |filter: &Filter| truth.get(index).is_some_and(|it| filter.matches(it));
            passes(filter) && also.is_none_or(passes)
        })
    }

    fn first(
        &mut self,
        truth: &Truth,
        seen: &Seen,
        after: usize,
        latest: usize,
    ) -> Result<usize, Fault> {
        let is_it = |index: &usize| {
            truth
                .get(*index)
                .is_some_and(|it| it.content == seen.content)
        };
        let index = (after..truth.len()).find(is_it);
        let index = index.ok_or_else(|| unknown(truth, seen, after))?;
        // An update may have come first.
        let first = self
            .filter
            .next(truth, latest)
            .filter(|&first| first < index);
        let filters = [
            Some(&self.filter),
            self.pending.as_ref().map(|(filter, _)| filter),
        ];
        let passes = |filter: &Filter| truth.get(index).is_some_and(|it| filter.matches(it));
        if !filters.into_iter().flatten().any(passes) {
            return Err(Fault::Extra(format!(
                "position {} is filtered out",
                index + 1
            )));
        }
        match first {
            Some(first) if self.pending.is_none() => {
                let left_out = (first..index).filter_map(|at| truth.get(at));
                Err(Fault::Missing(
                    left_out.filter(|it| self.filter.matches(it)).count(),
                ))
            }
            _ => {
                if self.pending.is_some() && !passes(&self.filter) {
                    self.switch();
                }
                Ok(index)
            }
        }
    }

    /// With a filter that is pending, the change may lie before any event up to the first that only
    /// the old one lets pass.
    fn following(&mut self, truth: &Truth, seen: &Seen, next: usize) -> Result<usize, Fault> {
        let is_it = |index: usize| {
            truth
                .get(index)
                .is_some_and(|it| it.content == seen.content)
        };
        let expected = self.filter.next(truth, next);
        if let Some(index) = expected.filter(|&index| is_it(index)) {
            if let Some((filter, since)) = &self.pending {
                let passes = truth.get(index).is_some_and(|it| filter.matches(it));
                if !passes && since.elapsed() > LONGEST_CHANGE {
                    let late =
                        format!("a filter was changed {LONGEST_CHANGE:?} ago, and does not hold");
                    return Err(Fault::Extra(late));
                }
            }
            return Ok(index);
        }
        if let Some((filter, _)) = &self.pending {
            let mut from = next;
            while let Some(index) = filter.next(truth, from) {
                if is_it(index) {
                    self.switch();
                    return Ok(index);
                }
                if expected.is_some_and(|expected| index >= expected) {
                    break;
                }
                from = index + 1;
            }
        }
        let mut missing = 0;
        let mut from = next;
        while let Some(index) = self.filter.next(truth, from) {
            if is_it(index) {
                return Err(Fault::Missing(missing));
            }
            missing += 1;
            from = index + 1;
            if missing > LOOK {
                break;
            }
        }
        Err(unknown(truth, seen, next))
    }

    fn switch(&mut self) {
        if let Some((filter, _)) = self.pending.take() {
            self.filter = filter;
        }
    }

    /// Continues behind an event that was wrong, so that one fault is not counted again with each
    /// event that follows.
    fn recover(&mut self, truth: &Truth, seen: &Seen) {
        let from = match self.at {
            At::Live { after, .. } => after,
            At::Next(next) => next,
        };
        let is_it = |index: &usize| {
            truth
                .get(*index)
                .is_some_and(|it| it.content == seen.content)
        };
        if let Some(index) = (from..truth.len()).find(is_it) {
            (self.at, self.resume) = (At::Next(index + 1), Some(index));
        }
    }
}

/// Finds out what an event is that does not come next.
fn unknown(truth: &Truth, seen: &Seen, next: usize) -> Fault {
    let is_it = |index: &usize| {
        truth
            .get(*index)
            .is_some_and(|it| it.content == seen.content)
    };
    let mut before = (next.saturating_sub(LOOK)..next.min(truth.len())).rev();
    if let Some(index) = before.find(is_it) {
        let text = format!("position {} behind position {next}", index + 1);
        return if index + 1 == next {
            Fault::Extra(text)
        } else {
            Fault::Order(text)
        };
    }
    match (next..truth.len()).find(is_it) {
        Some(index) => Fault::Extra(format!("position {} is filtered out", index + 1)),
        None => Fault::Wrong(format!("unknown, at or behind position {}", next + 1)),
    }
}

/// How far the reason of a fault is looked for.
const LOOK: usize = 200_000;
/// How long after an update events may come that only the filter before it lets pass.
const LONGEST_CHANGE: Duration = Duration::from_secs(60);
