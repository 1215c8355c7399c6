/// The verdict of each event of a block: a byte that the store keeps, and gives no meaning to but
/// that 0 is an event that was not verified.
///
/// Nearly always all events of a block have the same, and then the column takes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdicts {
    /// All events have this one.
    Same(u8),
    /// One for each event, of which at least two differ.
    Each(Vec<u8>),
}

impl Verdicts {
    /// Verdicts that were read, one for each event.
    pub(super) fn new(each: Vec<u8>) -> Self {
        match each.first() {
            None => Self::default(),
            Some(first) if each.iter().all(|verdict| verdict == first) => Self::Same(*first),
            Some(_) => Self::Each(each),
        }
    }

    /// The verdict of an event, by its index in the block.
    #[inline]
    pub(super) fn get(&self, event: usize) -> u8 {
        match self {
            Self::Same(verdict) => *verdict,
            Self::Each(each) => each.get(event).copied().unwrap_or_default(),
        }
    }

    /// Whether all verdicts are 0, so that there is nothing to store.
    pub(super) fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether there is a verdict for each of `events` events, and no other.
    pub(super) const fn fit(&self, events: usize) -> bool {
        match self {
            Self::Same(_) => true,
            Self::Each(each) => each.len() == events,
        }
    }

    /// Adds the verdict of `count` events behind the `before` events that there are.
    pub(super) fn extend(&mut self, before: usize, count: usize, verdict: u8) {
        debug_assert!(self.fit(before), "a verdict for each event before");
        match self {
            _ if before == 0 => *self = Self::Same(verdict),
            Self::Same(same) if *same == verdict => {}
            Self::Same(same) => {
                let mut each = vec![*same; before];
                each.resize(before + count, verdict);
                *self = Self::Each(each);
            }
            Self::Each(each) => each.resize(before + count, verdict),
        }
    }

    /// Adds the verdicts of a block of `count` events behind the `before` events that there are.
    pub(super) fn append(&mut self, before: usize, count: usize, verdicts: &Self) {
        match (&mut *self, verdicts) {
            (_, Self::Same(verdict)) => self.extend(before, count, *verdict),
            (Self::Each(mine), Self::Each(each)) => mine.extend_from_slice(each),
            (Self::Same(same), Self::Each(each)) => {
                let mut mine = vec![*same; before];
                mine.extend_from_slice(each);
                *self = Self::Each(mine);
            }
        }
    }

    /// The column, no larger than it needs to be; none is left behind.
    pub(super) fn take(&mut self) -> Self {
        let mut taken = std::mem::take(self);
        if let Self::Each(each) = &mut taken {
            each.shrink_to_fit();
        }
        taken
    }

    /// The verdict that most events have, and the runs of events that have another, in their order.
    pub(super) fn runs(&self) -> (u8, Vec<VerdictRun>) {
        let each = match self {
            Self::Same(verdict) => return (*verdict, Vec::new()),
            Self::Each(each) => each,
        };
        let mut counts = [0_usize; 1 << u8::BITS];
        for verdict in each {
            counts[usize::from(*verdict)] += 1;
        }
        let most = (0..=u8::MAX).max_by_key(|verdict| counts[usize::from(*verdict)]);
        let usual = most.unwrap_or_default();
        let (mut runs, mut first) = (Vec::new(), 0);
        for run in each.chunk_by(|one, next| one == next) {
            let count = run.len() as u32;
            if let Some(verdict) = run.first().copied().filter(|verdict| *verdict != usual) {
                let run = VerdictRun {
                    first,
                    count,
                    verdict,
                };
                runs.push(run);
            }
            first += count;
        }
        (usual, runs)
    }

    pub(super) const fn memory(&self) -> usize {
        match self {
            Self::Same(_) => 0,
            Self::Each(each) => each.len(),
        }
    }
}

impl Default for Verdicts {
    /// No event was verified.
    fn default() -> Self {
        Self::Same(0)
    }
}

/// `count` events from `first` on, which have the same verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VerdictRun {
    pub(super) first: u32,
    pub(super) count: u32,
    pub(super) verdict: u8,
}

impl VerdictRun {
    pub(super) const fn end(&self) -> u32 {
        self.first + self.count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs of any length, of few verdicts, so that they meet.
    fn columns() -> impl Strategy<Value = Vec<u8>> {
        let run = (
            prop_oneof![Just(0_u8), Just(1), Just(255), any::<u8>()],
            1..40_usize,
        );
        prop::collection::vec(run, 1..12).prop_map(|runs| {
            runs.into_iter()
                .flat_map(|(verdict, count)| vec![verdict; count])
                .collect()
        })
    }

    fn built(each: &[u8]) -> Verdicts {
        let mut built = Verdicts::default();
        for (event, verdict) in each.iter().enumerate() {
            built.extend(event, 1, *verdict);
        }
        built
    }

    proptest! {
        #[test]
        fn every_event_keeps_its_verdict(each in columns(), middle in any::<prop::sample::Index>()) {
            let middle = middle.index(each.len());
            let (left, right) = each.split_at(middle);
            let mut merged = Verdicts::default();
            for (before, part) in [(0, left), (middle, right)] {
                if !part.is_empty() {
                    merged.append(before, part.len(), &built(part));
                }
            }
            for verdicts in [built(&each), merged, Verdicts::new(each.clone())] {
                prop_assert!(verdicts.fit(each.len()));
                prop_assert!((0..each.len()).all(|event| verdicts.get(event) == each[event]));
                let one = each.iter().all(|verdict| *verdict == each[0]);
                prop_assert_eq!(verdicts.memory(), if one { 0 } else { each.len() });
            }
        }

        #[test]
        fn runs_are_what_differs_from_the_usual(each in columns()) {
            let (usual, runs) = built(&each).runs();
            let mut found = vec![usual; each.len()];
            for run in &runs {
                prop_assert!(run.verdict != usual && run.count > 0);
                found[run.first as usize..run.end() as usize].fill(run.verdict);
            }
            prop_assert_eq!(found, each);
        }
    }

    #[test]
    fn a_column_of_one_verdict_takes_nothing() {
        for verdict in [0, 1, 255] {
            let column = built(&[verdict; 512]);
            assert_eq!((column.memory(), column.runs()), (0, (verdict, Vec::new())));
            assert_eq!(column.are_none(), verdict == 0);
        }
    }
}
