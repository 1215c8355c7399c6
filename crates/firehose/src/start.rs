use jetwash::FrameStart;
use jetwash::store::FrameBounds;

/// Where a reader starts, by its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At a place at which nothing is missing.
    At(FrameStart),
    /// At the oldest frame, behind which the cursor is.
    Outdated,
    /// Nowhere: the cursor is above the newest frame.
    Future { newest: u64 },
    /// Nowhere: it is not known whether the cursor is old or of the future.
    Unknown,
}

impl Start {
    /// Applies the rules for cursors, which the crate's page lists.
    pub(crate) fn of(cursor: Option<u64>, bounds: Option<FrameBounds>) -> Self {
        let cursor = match cursor {
            None => return Self::At(FrameStart::Live),
            Some(0) => return Self::At(FrameStart::Oldest),
            Some(cursor) => cursor,
        };
        let Some(bounds) = bounds else {
            return Self::Unknown;
        };
        if cursor >= bounds.next_seq {
            let newest = bounds.next_seq.saturating_sub(1);
            return Self::Future { newest };
        }
        if cursor >= bounds.oldest_seq {
            return Self::At(FrameStart::Seq(cursor));
        }
        // A reader that has the frame just before the oldest misses none.
        if cursor + 1 == bounds.oldest_seq {
            return Self::At(FrameStart::Seq(bounds.oldest_seq));
        }
        Self::Outdated
    }
}

#[cfg(test)]
mod tests {
    use super::{FrameBounds, FrameStart, Start};

    #[test]
    fn every_cursor_has_its_rule() {
        let kept = Some(FrameBounds::new(100, 201));
        let start = |cursor| Start::of(cursor, kept);
        assert_eq!(start(None), Start::At(FrameStart::Live));
        assert_eq!(start(Some(0)), Start::At(FrameStart::Oldest));
        assert_eq!(start(Some(1)), Start::Outdated);
        assert_eq!(start(Some(98)), Start::Outdated);
        assert_eq!(start(Some(99)), Start::At(FrameStart::Seq(100)));
        assert_eq!(start(Some(100)), Start::At(FrameStart::Seq(100)));
        assert_eq!(start(Some(200)), Start::At(FrameStart::Seq(200)));
        assert_eq!(start(Some(201)), Start::Future { newest: 200 });
        assert_eq!(start(Some(u64::MAX)), Start::Future { newest: 200 });
    }

    #[test]
    fn a_source_without_frames_answers_by_the_place_that_it_knows() {
        let start = |cursor| Start::of(cursor, Some(FrameBounds::new(8, 8)));
        assert_eq!(start(Some(6)), Start::Outdated);
        assert_eq!(start(Some(7)), Start::At(FrameStart::Seq(8)));
        assert_eq!(start(Some(8)), Start::Future { newest: 7 });
        assert_eq!(Start::of(None, None), Start::At(FrameStart::Live));
        assert_eq!(Start::of(Some(0), None), Start::At(FrameStart::Oldest));
        assert_eq!(Start::of(Some(7), None), Start::Unknown);
    }
}
