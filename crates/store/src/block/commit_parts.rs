use crate::event::CommitPart;

/// Which part of its commit each event of a block is.
///
/// Nearly all commits have one operation, so only the others are kept: as runs of events that are
/// operations of one commit, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CommitParts {
    runs: Vec<CommitRun>,
}

/// `count` events from `first` on, which are the operations from `part.index` on of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommitRun {
    pub(crate) first: u32,
    pub(crate) count: u32,
    pub(crate) part: CommitPart,
}

impl CommitParts {
    /// The part of its commit that an event is, by its index in the block.
    pub(crate) fn get(&self, event: usize) -> CommitPart {
        let event = event as u32;
        let after = self.runs.partition_point(|run| run.first <= event);
        let run = after.checked_sub(1).and_then(|index| self.runs.get(index));
        match run {
            Some(run) if event < run.end() => CommitPart {
                index: run.part.index + (event - run.first),
                len: run.part.len,
            },
            _ => CommitPart::WHOLE,
        }
    }

    /// Adds a run that begins at the end of the last one or later.
    pub(crate) fn push(&mut self, run: CommitRun) {
        if run.part == CommitPart::WHOLE {
            return;
        }
        match self.runs.last_mut() {
            Some(last) if last.goes_on_with(&run) => last.count += run.count,
            _ => self.runs.push(run),
        }
    }

    /// Adds the parts of a block whose first event gets the index `base`.
    pub(crate) fn append(&mut self, base: usize, parts: &Self) {
        for run in &parts.runs {
            let first = base as u32 + run.first;
            self.push(CommitRun { first, ..*run });
        }
    }

    pub(crate) fn runs(&self) -> &[CommitRun] {
        &self.runs
    }

    pub(crate) const fn memory(&self) -> usize {
        self.runs.len() * size_of::<CommitRun>()
    }
}

impl CommitRun {
    pub(crate) const fn end(&self) -> u32 {
        self.first + self.count
    }

    fn goes_on_with(&self, next: &Self) -> bool {
        self.end() == next.first
            && self.part.len == next.part.len
            && self.part.index + self.count == next.part.index
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_event_keeps_its_part(parts in prop::collection::vec((0..4_u32, 1..4_u32), 0..60)) {
            let parts: Vec<_> = parts
                .into_iter()
                .map(|(index, more)| CommitPart { index, len: index + more })
                .collect();
            let (mut whole, mut halves) = (CommitParts::default(), CommitParts::default());
            for (event, part) in parts.iter().enumerate() {
                whole.push(run(event, *part));
            }
            let middle = parts.len() / 2;
            for (base, half) in [(0, &parts[..middle]), (middle, &parts[middle..])] {
                let mut built = CommitParts::default();
                for (event, part) in half.iter().enumerate() {
                    built.push(run(event, *part));
                }
                halves.append(base, &built);
            }
            for (event, part) in parts.iter().enumerate() {
                prop_assert_eq!(whole.get(event), *part);
                prop_assert_eq!(halves.get(event), *part);
            }
        }
    }

    #[test]
    fn commits_of_one_operation_take_nothing() {
        let mut parts = CommitParts::default();
        (0..512).for_each(|event| parts.push(run(event, CommitPart::WHOLE)));
        assert!(parts.runs().is_empty());
    }

    fn run(event: usize, part: CommitPart) -> CommitRun {
        CommitRun {
            first: event as u32,
            count: 1,
            part,
        }
    }
}
