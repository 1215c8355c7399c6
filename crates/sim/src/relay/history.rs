use std::collections::{HashMap, VecDeque};

use axum::body::Bytes;

/// The latest frames, and where each reader is in them.
#[derive(Debug)]
pub(crate) struct History {
    frames: VecDeque<Bytes>,
    /// The sequence number of the first one that is kept, or of the next one to come.
    first_seq: u64,
    /// The first that ever was.
    origin: u64,
    bytes: usize,
    most_frames: usize,
    most_bytes: usize,
    /// By the reader's number: the next frame that it needs.
    readers: HashMap<u64, u64>,
    next_reader: u64,
}

/// Where a cursor points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At a frame that is kept or comes next.
    At(u64),
    /// At the first that is kept; others behind the cursor are not.
    Outdated(u64),
    /// Beyond the last frame.
    Future,
}

/// Why there are no frames to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overtaken;

impl History {
    pub(crate) fn new(first_seq: u64, most_frames: usize, most_bytes: usize) -> Self {
        Self {
            frames: VecDeque::new(),
            first_seq,
            origin: first_seq,
            bytes: 0,
            most_frames: most_frames.max(1),
            most_bytes,
            readers: HashMap::new(),
            next_reader: 0,
        }
    }

    /// Appends the frame that comes next and drops the oldest ones as the limits ask.
    pub(super) fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
        while self.frames.len() > 1
            && (self.frames.len() > self.most_frames || self.bytes > self.most_bytes)
        {
            let dropped = self.frames.pop_front();
            self.bytes -= dropped.map_or(0, |frame| frame.len());
            self.first_seq += 1;
        }
    }

    /// The sequence number of the last frame; before the first frame, one below its number.
    pub(super) fn last_seq(&self) -> u64 {
        self.next_seq() - 1
    }

    pub(super) fn start(&self, cursor: Option<u64>) -> Start {
        match cursor {
            None => Start::At(self.next_seq()),
            Some(cursor) if cursor > self.last_seq() => Start::Future,
            Some(cursor) => {
                let wanted = (cursor + 1).max(self.origin);
                if wanted < self.first_seq {
                    Start::Outdated(self.first_seq)
                } else {
                    Start::At(wanted)
                }
            }
        }
    }

    /// Some frames from `seq` on; empty if `seq` is yet to come.
    pub(super) fn read(&self, seq: u64) -> Result<Vec<Bytes>, Overtaken> {
        const FRAMES: usize = 64;
        let from = seq.checked_sub(self.first_seq).ok_or(Overtaken)?;
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let until = from.saturating_add(FRAMES).min(self.frames.len());
        Ok(self.frames.range(from.min(until)..until).cloned().collect())
    }

    pub(super) fn add_reader(&mut self, seq: u64) -> u64 {
        let reader = self.next_reader;
        self.next_reader += 1;
        self.readers.insert(reader, seq);
        reader
    }

    /// Whether a reader has ever come.
    pub(super) const fn had_readers(&self) -> bool {
        self.next_reader > 0
    }

    pub(super) fn move_reader(&mut self, reader: u64, seq: u64) {
        self.readers.insert(reader, seq);
    }

    pub(super) fn remove_reader(&mut self, reader: u64) {
        self.readers.remove(&reader);
    }

    /// Whether the slowest reader is so far back that the next frames could overtake it.
    pub(super) fn is_held_back(&self) -> bool {
        let Some(&slowest) = self.readers.values().min() else {
            return false;
        };
        let behind = self.next_seq().saturating_sub(slowest);
        let since = slowest.saturating_sub(self.first_seq);
        let kept = self.frames.len() as u64;
        // By frames and by bytes alike there has to be as much room before the reader as it lags.
        behind > self.most_frames as u64 / 2
            || (self.bytes >= self.most_bytes / 2 && since < kept / 2)
    }

    fn next_seq(&self) -> u64 {
        self.first_seq + self.frames.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, History, Overtaken, Start};

    fn history(frames: usize) -> History {
        let mut history = History::new(10, 5, 1000);
        (0..frames).for_each(|_| history.push(Bytes::from_static(&[0; 10])));
        history
    }

    #[test]
    fn a_cursor_gives_what_is_behind_it() {
        let history = history(5);
        assert_eq!(history.start(None), Start::At(15));
        assert_eq!(history.start(Some(0)), Start::At(10));
        assert_eq!(history.start(Some(11)), Start::At(12));
        assert_eq!(history.start(Some(14)), Start::At(15));
        assert_eq!(history.start(Some(15)), Start::Future);
    }

    #[test]
    fn a_cursor_before_what_is_kept_is_outdated() {
        let history = history(8);
        assert_eq!(history.start(Some(0)), Start::Outdated(13));
        assert_eq!(history.start(Some(11)), Start::Outdated(13));
        assert_eq!(history.start(Some(12)), Start::At(13));
        assert_eq!(history.read(12), Err(Overtaken));
        assert_eq!(history.read(13).map(|frames| frames.len()), Ok(5));
        assert_eq!(history.read(18).map(|frames| frames.len()), Ok(0));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut history = History::new(1, 100, 35);
        (0..10).for_each(|_| history.push(Bytes::from_static(&[0; 10])));
        assert_eq!(history.read(8).map(|frames| frames.len()), Ok(3));
        assert_eq!(history.read(7), Err(Overtaken));
        history.push(Bytes::from_static(&[0; 99]));
        assert_eq!(history.read(11).map(|frames| frames.len()), Ok(1));
    }

    #[test]
    fn the_slowest_reader_holds_back() {
        let mut history = History::new(1, 10, 1000);
        assert!(!history.is_held_back());
        let slow = history.add_reader(1);
        let fast = history.add_reader(1);
        (0..6).for_each(|_| history.push(Bytes::from_static(b"")));
        history.move_reader(fast, 7);
        assert!(history.is_held_back());
        history.move_reader(slow, 2);
        assert!(!history.is_held_back());
        history.move_reader(slow, 1);
        history.remove_reader(slow);
        assert!(!history.is_held_back());
    }
}
