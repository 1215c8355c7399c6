use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jetwash_sim::{Network, SimEvent, SimFrame};

use crate::message::Message;
use crate::random::Random;
use crate::shared::{Phase, Shared};
use crate::truth::lock;

/// Makes the frames of the relay, together with the truth about them, and keeps the last ones.
pub(crate) struct Maker {
    shared: Arc<Shared>,
    network: Network,
    random: Random,
    /// The number of the last frame, by the relay's count.
    number: u64,
    /// How often the relay has counted anew.
    epoch: u64,
    /// The frames that were sent, in that order.
    history: VecDeque<Sent>,
    /// How many of it have been dropped from the front: indexes count them.
    dropped: usize,
    /// The newest commit that was sent to the process that is there now.
    last_commit: Option<Vec<u8>>,
}

/// A frame that was sent, and is sent again to a server that asks for it.
#[derive(Clone)]
pub(crate) struct Sent {
    number: u64,
    pub(crate) bytes: Vec<u8>,
    /// How many events there were with it.
    events: usize,
}

impl Maker {
    pub(crate) fn new(shared: Arc<Shared>, network: Network, random: Random) -> Self {
        Self {
            shared,
            network,
            random,
            number: FIRST_NUMBER,
            epoch: 0,
            history: VecDeque::new(),
            dropped: 0,
            last_commit: None,
        }
    }

    /// The index behind the last frame.
    pub(crate) fn end(&self) -> usize {
        self.dropped + self.history.len()
    }

    /// Some frames that were sent, from an index on.
    pub(crate) fn sent(&self, from: usize, count: usize) -> Vec<Message> {
        let from = from.saturating_sub(self.dropped);
        let frames = self.history.iter().skip(from).take(count);
        frames
            .map(|sent| Message::Frame(sent.bytes.clone()))
            .collect()
    }

    /// The index behind the frames that the server has by its cursor; `None` if that is of a count
    /// before the present one. A new process must have all events that subscribers have seen.
    pub(crate) fn find(&self, cursor: Option<u64>, is_fresh: bool) -> Option<usize> {
        let cursor = cursor.unwrap_or(0);
        if cursor > self.number {
            return None;
        }
        let mut frames = self.history.iter().enumerate().rev();
        let Some((index, sent)) = frames.find(|(_, sent)| sent.number <= cursor) else {
            // Right for a server that is new, and for one that has nothing of the present count.
            if cursor > self.first_of_epoch() && self.dropped > 0 {
                let what = format!("the relay no longer has what follows the cursor {cursor}");
                self.shared.fault("lost", what);
            }
            return Some(self.dropped);
        };
        let seen = lock(&self.shared.truth).seen();
        if is_fresh && sent.events < seen {
            let events = sent.events;
            let what =
                format!("the cursor {cursor} is behind {events} events, and {seen} were seen");
            self.shared.fault("lost", what);
        }
        Some(self.dropped + index + 1)
    }

    /// How many frames before an index are still there.
    pub(crate) const fn kept_before(&self, index: usize) -> usize {
        index.saturating_sub(self.dropped)
    }

    fn first_of_epoch(&self) -> u64 {
        FIRST_NUMBER - self.epoch * EPOCH
    }

    /// Notes that a new process has connected.
    pub(crate) fn begins(&mut self) {
        self.last_commit = None;
    }

    /// Loses all frames from an index on, as a relay does that kept them for too short a time.
    pub(crate) fn lose(&mut self, from: usize) {
        let keep = from - self.dropped;
        let events = keep.checked_sub(1).and_then(|last| self.history.get(last));
        // Where nothing is left of before, nobody can say how many events there were.
        let Some(events) = events.map(|sent| sent.events) else {
            return;
        };
        if !lock(&self.shared.truth).truncate(events) {
            let what =
                format!("a subscriber has seen events behind the cursor, which has {events}");
            return self.shared.fault("lost", what);
        }
        self.history.truncate(keep);
        self.number += 50 + self.random.below(500) as u64;
    }

    /// Has the relay forget what it has sent up to an index, and count anew from there on.
    pub(crate) fn count_anew(&mut self, from: usize) -> bool {
        if self.epoch >= MOST_EPOCHS {
            return false;
        }
        self.epoch += 1;
        self.number = self.first_of_epoch();
        self.history.drain(..from - self.dropped);
        self.dropped = from;
        for sent in &mut self.history {
            self.number += 1;
            sent.number = self.number;
            set_number(&mut sent.bytes, self.number);
        }
        // The cursor of the new count is to be in the log before anything ends.
        self.hold(2);
        true
    }

    /// Makes this many frames, with faults among them.
    pub(crate) fn make(&mut self, count: usize) -> VecDeque<Message> {
        let mut out = VecDeque::new();
        for _ in 0..count {
            self.step(&mut out);
        }
        self.forget();
        out
    }

    /// Makes one frame without a fault.
    pub(crate) fn make_one(&mut self) -> Option<Sent> {
        let frame = self.next()?;
        self.add(frame);
        self.history.back().cloned()
    }

    fn step(&mut self, out: &mut VecDeque<Message>) {
        match self.random.below(100_000) {
            0..20 => self.number += 1 + self.random.below(50) as u64,
            20 => self.jump(),
            21..71 => return self.malformed(out),
            71..73 => return self.oversized(out),
            73..93 => {
                self.count("message of text");
                out.push_back(Message::Text);
            }
            93..113 if self.may_swap() => return self.swap(out),
            _ => {}
        }
        let Some(sent) = self.make_one() else { return };
        out.push_back(Message::Frame(sent.bytes));
        match self.random.below(100_000) {
            0..50 => self.again(1, out),
            50..55 => self.again(20, out),
            55..75 => self.again_as_another(out),
            _ => {}
        }
    }

    fn count(&self, what: &'static str) {
        self.shared.tally.relay(what);
    }

    fn next(&mut self) -> Option<SimFrame> {
        let frame = self.network.next()?;
        self.shared.tally.frames.fetch_add(1, Ordering::Relaxed);
        Some(frame)
    }

    /// Gives a frame its number, and notes what it says.
    fn add(&mut self, frame: SimFrame) {
        self.number += 1;
        self.add_as(frame, self.number);
    }

    fn add_as(&mut self, mut frame: SimFrame, number: u64) {
        set_number(&mut frame.bytes, number);
        if let SimEvent::Commit(commit) = &frame.event
            && !commit.ops.is_empty()
        {
            self.last_commit = Some(frame.bytes.clone());
        }
        let mut truth = lock(&self.shared.truth);
        truth.push(&frame);
        let events = truth.len();
        self.history.push_back(Sent {
            number,
            bytes: frame.bytes,
            events,
        });
    }

    /// Numbers that jump far ahead are believed once the next one follows.
    fn jump(&mut self) {
        if self.may_swap() {
            self.count("jump of the numbers");
            self.number += 150_000;
            self.hold(2);
        }
    }

    /// Nothing may end before the events that there are, and this many more, are in the log.
    fn hold(&self, more: usize) {
        let events = lock(&self.shared.truth).len() + more;
        self.shared.hold.store(events, Ordering::Release);
    }

    /// Whether something may be begun that must be in the log before a connection or a process ends.
    fn may_swap(&self) -> bool {
        self.shared.phase() == Phase::Running
            && !self.shared.wants_cut.load(Ordering::Acquire)
            && self.shared.may_cut()
    }

    /// Sends two frames in the wrong order.
    fn swap(&mut self, out: &mut VecDeque<Message>) {
        let (Some(first), Some(second)) = (self.next(), self.next()) else {
            return;
        };
        if first.did == second.did {
            // Of one account the older commit would count as known.
            self.add(first);
            self.add(second);
        } else {
            self.count("wrong order");
            self.number += 2;
            self.add_as(second, self.number);
            self.add_as(first, self.number - 1);
            self.hold(0);
        }
        out.extend(self.sent(self.end() - 2, 2));
    }

    /// Sends the last frames once more.
    fn again(&self, count: usize, out: &mut VecDeque<Message>) {
        self.count(if count > 1 {
            "run of frames again"
        } else {
            "frame again"
        });
        let from = self.end().saturating_sub(count);
        out.extend(self.sent(from, count));
    }

    /// Sends the last commit under a number of its own.
    fn again_as_another(&mut self, out: &mut VecDeque<Message>) {
        if let Some(mut bytes) = self.last_commit.clone() {
            self.count("commit again under another number");
            self.number += 1;
            set_number(&mut bytes, self.number);
            out.push_back(Message::Frame(bytes));
        }
    }

    /// Sends something instead of the next frame from which nothing can come.
    fn malformed(&mut self, out: &mut VecDeque<Message>) {
        let Some(mut frame) = self.next() else { return };
        self.number += 1;
        set_number(&mut frame.bytes, self.number);
        let length = frame.bytes.len();
        let bytes = match self.random.below(6) {
            0 => {
                self.count("frame cut off");
                frame.bytes.truncate(1 + self.random.below(length - 1));
                frame.bytes
            }
            1 => {
                self.count("bytes that are no frame");
                (0..self.random.below(3_000))
                    .map(|_| self.random.next() as u8)
                    .collect()
            }
            2 => {
                self.count("nested tags");
                [&b"\xa2atg#commitbop\x01"[..], &[0xc1; 40_000]].concat()
            }
            3 => {
                self.count("empty message");
                Vec::new()
            }
            4 => {
                self.count("frame of an unknown type");
                let at = frame
                    .bytes
                    .iter()
                    .position(|&byte| byte == b'#')
                    .unwrap_or(0);
                frame.bytes[at + 1] = b'z';
                frame.bytes
            }
            _ => {
                self.count("damaged blocks");
                let mut places = frame.bytes.windows(5);
                match places.rposition(|window| window == b"$type") {
                    // Of one operation: the others of a commit would come.
                    Some(at) if is_single(&frame) => frame.bytes[at + 8] ^= 1,
                    _ => frame.bytes.truncate(length / 2),
                }
                frame.bytes
            }
        };
        out.push_back(Message::Frame(bytes));
    }

    /// Sends a message that is too long instead of the next frame.
    fn oversized(&mut self, out: &mut VecDeque<Message>) {
        if self.next().is_some() {
            self.count("message that is too long");
            self.number += 1;
            out.push_back(Message::Frame(vec![0xa2; 12 << 20]));
        }
    }

    /// Drops the oldest frames that nobody can ask for any more.
    fn forget(&mut self) {
        let seen = lock(&self.shared.truth).seen();
        while self.history.len() > KEPT {
            if self.history[KEPT / 4].events >= seen {
                return;
            }
            self.history.pop_front();
            self.dropped += 1;
        }
    }
}

/// Whether a frame has exactly one operation, and a record with it.
fn is_single(frame: &SimFrame) -> bool {
    match &frame.event {
        SimEvent::Commit(commit) => commit.ops.len() == 1 && commit.ops[0].record.is_some(),
        _ => false,
    }
}

/// Puts a number into a frame, where there is one of eight bytes.
fn set_number(frame: &mut [u8], number: u64) {
    let mut places = frame.windows(5);
    if let Some(at) = places.position(|window| window == b"\x63seq\x1b") {
        frame[at + 5..at + 13].copy_from_slice(&number.to_be_bytes());
    }
}

/// All numbers are so large that each takes the same room; those of the network too.
pub(crate) const FIRST_NUMBER: u64 = 1 << 40;
/// How far below the last numbers those of a relay begin that counts anew.
const EPOCH: u64 = 1 << 33;
const MOST_EPOCHS: u64 = 100;
/// How many frames are kept for a server that comes back.
const KEPT: usize = 20_000;
