use std::mem;

use jetwash_frame::Peek;

/// How far a source has been read, by its own numbers, of which nothing is certain: a relay may
/// repeat, skip, or count anew.
///
/// A number that does not follow the last one is believed only when the next ones follow it, and
/// never if nothing that can be decoded comes with it. Until then the position stays.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    position: Option<u64>,
    /// The cursor that the connection asked for, until a frame has come that is next.
    asked: Option<u64>,
    /// Whether no frame of the connection has come yet.
    is_fresh: bool,
    /// Whether the source has said that it is not as far as the position.
    starts_over: bool,
    /// Whether numbers may be any distance apart.
    is_sparse: bool,
    doubt: Option<Doubt>,
}

/// Where a number stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It follows the position, which has been moved to it; or the frame has none.
    Next,
    /// There is no position that it could follow.
    First,
    /// It was asked for again, or sent again in spite of the cursor.
    Again,
    /// It is below the position: the source repeats itself, or counts anew.
    Behind,
    /// It is so far above the position that it may be a mistake.
    Ahead,
    /// No source may give such a number.
    Illegal,
}

/// The result of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Something new came of it.
    New,
    /// All of it was known.
    Known,
    /// It cannot be told.
    Undecided,
    /// It could not be used, so its number says nothing.
    Unusable,
}

/// A change of the numbers that is certain by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The source counts anew from `first` on; the last number before was `last`.
    Renumbered { last: u64, first: u64 },
    /// The numbers from `first` up to, but not including, `next` were left out.
    Jumped { first: u64, next: u64 },
}

/// Numbers that do not follow the position.
#[derive(Clone, Copy, Debug)]
enum Doubt {
    Ahead {
        first: u64,
        last: u64,
    },
    Behind {
        first: u64,
        last: u64,
        /// How many numbers have followed each other.
        count: u32,
        undecided: u32,
        is_new: bool,
        /// Whether a connection began with them that had asked for later ones.
        below: bool,
    },
}

/// A frame's outline with the number that its source has for it, if that is another.
#[inline]
pub(crate) const fn numbered(mut peeked: Peek<'_>, number: Option<u64>) -> Peek<'_> {
    if number.is_some() {
        peeked.seq = number;
    }
    peeked
}

impl Numbering {
    pub(crate) fn new(position: Option<u64>) -> Self {
        Self {
            position,
            ..Self::default()
        }
    }

    /// Has any distance between two numbers be as good as another: they say nothing about what is
    /// missing.
    pub(crate) const fn sparse(mut self) -> Self {
        self.is_sparse = true;
        self
    }

    pub(crate) const fn position(&self) -> Option<u64> {
        self.position
    }

    pub(crate) const fn starts_over(&self) -> bool {
        self.starts_over
    }

    /// Returns the cursor that the connection asked for, until a frame has come that is next.
    pub(crate) const fn asked(&self) -> Option<u64> {
        self.asked
    }

    /// Has the numbers continue after this one.
    pub(crate) fn set(&mut self, position: u64) {
        *self = Self {
            position: Some(position),
            is_sparse: self.is_sparse,
            ..Self::default()
        };
    }

    /// Notes a connection that asked for what comes after `cursor`.
    pub(crate) const fn connected(&mut self, cursor: Option<u64>) {
        self.asked = cursor;
        self.is_fresh = true;
        self.doubt = None;
    }

    /// Has the source begin with any number; the position stays until there is one.
    pub(crate) const fn start_over(&mut self) {
        self.starts_over = true;
        self.doubt = None;
    }

    /// Says where a number stands. Unless it is next, [`settle`](Self::settle) has to follow.
    #[inline]
    pub(crate) fn judge(&mut self, seq: Option<u64>) -> Place {
        let is_plain = self.doubt.is_none() && !self.is_fresh && self.asked.is_none();
        match (self.position, seq) {
            (_, None | Some(0)) => Place::Next,
            (Some(position), Some(seq))
                if is_plain
                    && position > 0
                    && seq > position
                    && seq - position <= STEP
                    && seq <= GREATEST_NUMBER =>
            {
                self.position = Some(seq);
                Place::Next
            }
            (_, Some(seq)) => self.judge_with_care(seq),
        }
    }

    #[cold]
    fn judge_with_care(&mut self, seq: u64) -> Place {
        if seq > GREATEST_NUMBER {
            return Place::Illegal;
        }
        // A cursor of 0 asks for all that there is.
        let position = self.position.filter(|&position| position > 0);
        let Some(position) = position.filter(|_| !self.starts_over) else {
            return Place::First;
        };
        match self.doubt {
            Some(Doubt::Ahead { last, .. }) if follows(last, seq) => return Place::Ahead,
            Some(Doubt::Behind { .. }) if seq <= position => return Place::Behind,
            _ => {}
        }
        if seq == position || seq < position && self.asked.is_some_and(|asked| seq > asked) {
            return Place::Again;
        }
        let step = match self.is_sparse {
            true => GREATEST_NUMBER,
            false if self.is_fresh => FIRST_STEP,
            false => STEP,
        };
        if seq < position {
            Place::Behind
        } else if seq - position > step {
            Place::Ahead
        } else {
            self.accept(seq);
            Place::Next
        }
    }

    /// Draws the conclusion from a frame that was not next.
    pub(crate) fn settle(&mut self, place: Place, seq: u64, outcome: Outcome) -> Option<Turn> {
        if outcome == Outcome::Unusable {
            return None;
        }
        let is_fresh = mem::take(&mut self.is_fresh);
        match place {
            Place::Next | Place::Again | Place::Illegal => None,
            Place::First => {
                self.accept(seq);
                None
            }
            Place::Ahead => self.settle_ahead(seq),
            Place::Behind => self.settle_behind(seq, outcome, is_fresh),
        }
    }

    fn settle_ahead(&mut self, seq: u64) -> Option<Turn> {
        match self.doubt {
            Some(Doubt::Ahead { first, last }) if follows(last, seq) => {
                debug_assert!(self.position.is_some(), "ahead of a position");
                let position = self.position.unwrap_or_default();
                self.accept(seq);
                Some(Turn::Jumped {
                    first: position + 1,
                    next: first,
                })
            }
            _ => {
                self.doubt = Some(Doubt::Ahead {
                    first: seq,
                    last: seq,
                });
                None
            }
        }
    }

    fn settle_behind(&mut self, seq: u64, outcome: Outcome, is_fresh: bool) -> Option<Turn> {
        let (mut start, mut run, mut unknown) = (seq, 0, 0);
        let (mut has_new, mut is_below) = (false, is_fresh && self.asked.is_some());
        if let Some(Doubt::Behind {
            first,
            last,
            count,
            undecided,
            is_new,
            below,
        }) = self.doubt
        {
            is_below |= below;
            unknown = undecided;
            if seq > last {
                (start, run, has_new) = (first, count, is_new);
            }
        }
        run += 1;
        has_new |= outcome == Outcome::New;
        unknown += u32::from(outcome == Outcome::Undecided);
        // Old numbers alone may be a repetition. Something new is not, if two numbers in a row are
        // old or the connection had asked for later ones; nor is a long run that says nothing.
        if has_new && (run > 1 || is_below) || unknown >= UNDECIDED {
            debug_assert!(self.position.is_some(), "behind a position");
            let last = self.position.unwrap_or_default();
            self.accept(seq);
            return Some(Turn::Renumbered { last, first: start });
        }
        self.doubt = Some(Doubt::Behind {
            first: start,
            last: seq,
            count: run,
            undecided: unknown,
            is_new: has_new,
            below: is_below,
        });
        None
    }

    fn accept(&mut self, seq: u64) {
        self.set(seq);
    }
}

fn follows(last: u64, seq: u64) -> bool {
    seq > last && seq - last <= STEP
}

/// The greatest number: JSON and the lexicon know none beyond it.
pub(crate) const GREATEST_NUMBER: u64 = (1 << 53) - 1;
/// The furthest from one number to the next that is no cause for doubt: at the rate of the whole
/// network, some minutes of it.
const STEP: u64 = 100_000;
/// The furthest first step of a source that was asked for the numbers after its cursor.
const FIRST_STEP: u64 = 1_000;
/// This many numbers behind the position, with nothing known about them, mean that the source
/// counts anew.
const UNDECIDED: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Settles numbers with their outcomes, and returns the turns.
    fn follow(numbering: &mut Numbering, frames: &[(u64, Outcome)]) -> Vec<Turn> {
        let turn = |&(seq, outcome): &(u64, Outcome)| match numbering.judge(Some(seq)) {
            Place::Next => None,
            place => numbering.settle(place, seq, outcome),
        };
        frames.iter().filter_map(turn).collect()
    }

    use Outcome::{Known, New, Undecided, Unusable};

    #[test]
    fn of_sparse_numbers_any_step_is_one_to_the_next() {
        let mut numbering = Numbering::new(Some(10)).sparse();
        let frames = [(5_000_000, New), (9_000_000_000, New)];
        assert_eq!(follow(&mut numbering, &frames), []);
        assert_eq!(numbering.position(), Some(9_000_000_000));
        numbering.set(20);
        numbering.connected(Some(20));
        assert_eq!(follow(&mut numbering, &[(5_000_000, New)]), []);
        assert_eq!(numbering.position(), Some(5_000_000));
        // One that was a lie is gone back from.
        let (last, first) = (5_000_000, 21);
        assert_eq!(
            follow(&mut numbering, &[(21, New), (22, New)]),
            [Turn::Renumbered { last, first }]
        );
    }

    #[test]
    fn a_number_far_ahead_counts_when_the_next_one_follows_it() {
        let mut numbering = Numbering::new(Some(10));
        let frames = [(5_000_000, New), (11, New)];
        assert_eq!(follow(&mut numbering, &frames), []);
        assert_eq!(numbering.position(), Some(11));
        let frames = [(5_000_000, New), (5_000_001, New), (5_000_002, New)];
        let (first, next) = (12, 5_000_000);
        assert_eq!(
            follow(&mut numbering, &frames),
            [Turn::Jumped { first, next }]
        );
        assert_eq!(numbering.position(), Some(5_000_002));
    }

    #[test]
    fn what_cannot_be_used_and_what_no_source_may_give_never_is_the_position() {
        let mut numbering = Numbering::default();
        assert_eq!(follow(&mut numbering, &[(7_000, Unusable)]), []);
        assert_eq!(numbering.position(), None);
        let frames = [(5, New), (9_000_000, Unusable), (9_000_001, Unusable)];
        assert_eq!(follow(&mut numbering, &frames), []);
        assert_eq!(numbering.judge(Some((1 << 53) + 5)), Place::Illegal);
        assert_eq!(numbering.position(), Some(5));
    }

    #[test]
    fn the_greatest_number_is_the_last_below_two_to_the_53() {
        const GREATEST_BY_HAND: u64 = 9_007_199_254_740_991;
        let mut numbering = Numbering::default();
        assert_eq!(numbering.judge(Some(GREATEST_BY_HAND + 1)), Place::Illegal);
        assert_eq!(numbering.judge(Some(GREATEST_BY_HAND)), Place::First);
        let mut numbering = Numbering::new(Some(GREATEST_BY_HAND - 1));
        assert_eq!(numbering.judge(Some(GREATEST_BY_HAND)), Place::Next);
        assert_eq!(numbering.judge(Some(GREATEST_BY_HAND + 1)), Place::Illegal);
        assert_eq!(numbering.position(), Some(GREATEST_BY_HAND));
    }

    #[test]
    fn a_source_that_counts_anew_is_told_from_one_that_repeats() {
        let renumbered = Turn::Renumbered {
            last: 50_004,
            first: 1,
        };
        let mut numbering = Numbering::new(Some(50_004));
        let frames = [(1, New), (2, New), (3, New)];
        assert_eq!(follow(&mut numbering, &frames), [renumbered]);
        assert_eq!(numbering.position(), Some(3));

        let mut numbering = Numbering::new(Some(50_004));
        let frames = [(50_002, Known), (50_003, Known), (50_004, Known)];
        assert_eq!(follow(&mut numbering, &frames), []);
        assert_eq!(follow(&mut numbering, &[(50_005, New)]), []);
        assert_eq!(numbering.position(), Some(50_005));

        // A single frame that is out of order changes nothing.
        let frames = [(7, New), (50_006, New), (7, New)];
        assert_eq!(follow(&mut numbering, &frames), []);
        assert_eq!(numbering.position(), Some(50_006));

        // Nothing is known of frames that are not wanted.
        let mut numbering = Numbering::new(Some(50_004));
        let frames: Vec<_> = (1..=16).map(|seq| (seq, Undecided)).collect();
        assert_eq!(follow(&mut numbering, &frames), [renumbered]);
    }

    #[test]
    fn a_connection_that_begins_below_its_cursor_is_one_that_counts_anew() {
        let mut numbering = Numbering::new(Some(500));
        numbering.connected(Some(500));
        let (last, first) = (500, 3);
        assert_eq!(
            follow(&mut numbering, &[(3, New)]),
            [Turn::Renumbered { last, first }]
        );
        assert_eq!(numbering.position(), Some(3));
    }

    #[test]
    fn a_doubt_ends_with_the_connection_that_it_came_up_in() {
        // Two numbers far ahead in a row are a jump, but not one in each of two connections.
        let mut numbering = Numbering::new(Some(10));
        assert_eq!(follow(&mut numbering, &[(5_000_000, New)]), []);
        numbering.connected(Some(10));
        assert_eq!(follow(&mut numbering, &[(5_000_001, New)]), []);
        assert_eq!(numbering.position(), Some(10));
        let (first, next) = (11, 5_000_001);
        assert_eq!(
            follow(&mut numbering, &[(5_000_002, New)]),
            [Turn::Jumped { first, next }]
        );
    }

    #[test]
    fn what_was_asked_for_again_is_an_ordinary_repeat() {
        let mut numbering = Numbering::new(Some(500));
        numbering.connected(Some(490));
        for seq in 491..=500 {
            assert_eq!(numbering.judge(Some(seq)), Place::Again);
            assert_eq!(numbering.settle(Place::Again, seq, Known), None);
        }
        assert_eq!(numbering.judge(Some(501)), Place::Next);
        assert_eq!(numbering.judge(Some(495)), Place::Behind);
    }

    #[test]
    fn a_source_that_starts_over_may_begin_anywhere() {
        let mut numbering = Numbering::new(Some(500));
        numbering.start_over();
        assert_eq!(numbering.position(), Some(500));
        assert_eq!(numbering.judge(Some(2)), Place::First);
        assert_eq!(numbering.settle(Place::First, 2, New), None);
        assert_eq!(numbering.position(), Some(2));
        assert!(!numbering.starts_over());
    }

    #[test]
    fn a_gap_behind_the_cursor_is_a_jump_sooner_than_one_in_the_middle() {
        let mut numbering = Numbering::new(Some(500));
        assert_eq!(follow(&mut numbering, &[(5_000, New)]), []);
        assert_eq!(numbering.position(), Some(5_000));
        numbering.connected(Some(5_000));
        let (first, next) = (5_001, 9_000);
        assert_eq!(
            follow(&mut numbering, &[(9_000, New), (9_001, New)]),
            [Turn::Jumped { first, next }]
        );
    }
}
