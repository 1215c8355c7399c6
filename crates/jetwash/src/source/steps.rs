/// Where a relay is asked to continue, when it is stuck at a message that cannot be received.
///
/// A relay gives what is after its cursor or from it on, depending on whose program it is, and its
/// numbers may have holes: the one that is in the way is not known. So the cursor that is asked
/// for moves by 1, 2, 4, … until something else comes. What is stored does not move before that.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// The cursor that is stored, and the highest number that came at it.
    at: Option<u64>,
    reached: Option<u64>,
    /// A number so far ahead that it may be a mistake: it counts when the next one follows it.
    stray: Option<u64>,
    has_advanced: bool,
    endings: u32,
    step: u64,
}

impl Steps {
    /// The cursor to ask for when `cursor` is stored.
    pub(super) fn ask(&mut self, cursor: Option<u64>) -> Option<u64> {
        if cursor != self.at {
            *self = Self {
                at: cursor,
                ..Self::default()
            };
        }
        self.has_advanced = false;
        cursor.map(|cursor| cursor.saturating_add(self.step))
    }

    /// A frame has come. If messages were stepped over for it, returns the first number of those.
    pub(super) fn came(&mut self, seq: u64) -> Option<u64> {
        let before = self.reached();
        if seq > MAX_SEQ || before.is_some_and(|before| seq <= before) {
            return None;
        }
        if before.is_some_and(|before| seq - before > FAR) {
            let last = self.stray.replace(seq);
            if last.is_none_or(|last| seq <= last || seq - last > FAR) {
                return None;
            }
        }
        self.stray = None;
        let stepped = (self.step > 0).then_some(before).flatten();
        self.reached = Some(seq);
        self.has_advanced = true;
        self.endings = 0;
        self.step = 0;
        stepped
            .map(|before| before + 1)
            .filter(|&first| first < seq)
    }

    /// The connection has ended. `patience` is how many such endings make the place suspect.
    pub(super) fn ended(&mut self, patience: Option<u32>) {
        let Some(patience) = patience.filter(|_| !self.has_advanced) else {
            return;
        };
        self.endings += 1;
        if self.endings < patience || self.at.is_none() {
            return;
        }
        self.step = if self.step == 0 { 1 } else { self.step * 2 };
        // One message is not in the way then, and what is behind is worth another try.
        if self.step > LONGEST_STEP {
            self.step = 0;
            self.endings = 0;
        }
    }

    /// The relay does not have what was asked for: if that is because of the steps, gives the first
    /// number that is lost with them.
    pub(super) fn refused(&mut self) -> Option<u64> {
        let is_stepping = std::mem::take(&mut self.step) > 0;
        self.endings = 0;
        let before = self.reached();
        before.filter(|_| is_stepping).map(|before| before + 1)
    }

    /// At which number the connection has ended again and again.
    pub(super) fn stuck(&self) -> Option<u64> {
        let is_stuck = self.step > 0 || self.endings >= 3;
        self.reached().filter(|_| is_stuck)
    }

    /// The number after which the next frame is to come.
    pub(super) fn reached(&self) -> Option<u64> {
        self.reached.max(self.at)
    }

    /// Whether anything new has come since the last [`ask`](Self::ask).
    pub(super) const fn has_advanced(&self) -> bool {
        self.has_advanced
    }
}

/// The highest number that the protocol has.
const MAX_SEQ: u64 = (1 << 53) - 1;
/// The furthest from one number to the next that is no cause for doubt, as in the numbering; steps
/// are shorter.
const FAR: u64 = 100_000;
/// About a minute of the whole network.
const LONGEST_STEP: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// The message in the way has this number.
    fn asked_until_past(poison: u64, is_inclusive: bool) -> (Vec<u64>, Option<u64>) {
        let mut steps = Steps::default();
        let mut asked = Vec::new();
        loop {
            let cursor = steps.ask(Some(10)).unwrap();
            asked.push(cursor);
            let meets = if is_inclusive {
                cursor <= poison
            } else {
                cursor < poison
            };
            if !meets {
                let first = if is_inclusive { cursor } else { cursor + 1 };
                return (asked, steps.came(first));
            }
            steps.ended(Some(3));
        }
    }

    #[test]
    fn the_third_ending_at_one_place_begins_steps_that_grow() {
        assert_eq!(
            asked_until_past(11, false),
            (vec![10, 10, 10, 11], Some(11))
        );
        let inclusive = (vec![10, 10, 10, 11, 12], Some(11));
        assert_eq!(asked_until_past(11, true), inclusive);
        let far = (vec![10, 10, 10, 11, 12, 14, 18], Some(11));
        assert_eq!(asked_until_past(17, false), far);
    }

    #[test]
    fn what_is_new_or_no_fault_of_a_message_leads_to_no_step() {
        let mut steps = Steps::default();
        for seq in 11..20 {
            assert_eq!(steps.ask(Some(10)), Some(10), "the log lags behind");
            assert_eq!(steps.came(seq), None);
            steps.ended(Some(3));
        }
        for _ in 0..9 {
            assert_eq!(steps.ask(Some(10)), Some(10));
            steps.ended(None);
        }
        assert_eq!(steps.ask(None), None);
        for _ in 0..9 {
            steps.ended(Some(3));
            assert_eq!(steps.ask(None), None, "without a cursor there is no place");
        }
    }

    #[test]
    fn a_relay_that_is_broken_everywhere_is_asked_from_the_cursor_again() {
        let mut steps = Steps::default();
        let mut asked = Vec::new();
        for _ in 0..22 {
            asked.push(steps.ask(Some(10)).unwrap());
            steps.ended(Some(3));
        }
        assert_eq!(asked[19], 10 + LONGEST_STEP);
        assert_eq!(asked[20..], [10, 10]);
    }

    #[test]
    fn frames_before_the_place_that_never_become_the_cursor_do_not_hide_it() {
        let mut steps = Steps::default();
        assert_eq!(steps.ask(Some(10)), Some(10));
        assert_eq!(steps.came(11), None);
        steps.ended(Some(3));
        for _ in 0..3 {
            assert_eq!(steps.ask(Some(10)), Some(10));
            assert_eq!(steps.came(11), None);
            steps.ended(Some(3));
        }
        assert_eq!(steps.ask(Some(10)), Some(11));
        assert_eq!(steps.came(13), Some(12));
    }

    #[test]
    fn one_number_far_ahead_moves_nothing_and_two_do() {
        let mut steps = Steps::default();
        steps.ask(Some(10));
        assert_eq!(steps.came(11), None);
        assert_eq!(steps.came(MAX_SEQ - 2), None);
        assert_eq!(steps.reached(), Some(11));
        assert_eq!(steps.came(12), None);
        assert_eq!(steps.reached(), Some(12));
        assert_eq!(steps.came(5_000_000), None);
        assert_eq!(steps.came(5_000_001), None);
        assert_eq!(steps.reached(), Some(5_000_001));
    }
}
