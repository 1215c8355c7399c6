use std::time::Duration;

use jetwash_event::Micros;

use super::joint::Joint;
use super::window::Window;
use crate::cursor::UpstreamCursor;
use crate::item::{ClientGap, ClientGapCause};
use crate::protocol::Protocol;

/// Where the stream stands, from one connection to the next.
pub(crate) struct Resume {
    window: Window,
    overlap: Duration,
    /// The caller's cursor, for as long as no event has come.
    start: Option<UpstreamCursor>,
    /// When the first connection was made, by this machine's clock.
    started: Option<Micros>,
    place: Option<Place>,
    /// The last event that the whole filter let pass since that was changed: the server must send
    /// it again if it is asked from before it.
    witness: Option<Witness>,
    joint: Joint,
    /// Set until the line is past the events of the one before it.
    crossing: Option<Crossing>,
    /// The sequence that the connection is of. Each host has its own, two if it speaks two
    /// versions, and a new one when it counts anew.
    line: u32,
    protocol: Protocol,
    lines: Vec<(usize, Protocol, u32)>,
    next_line: u32,
    /// Whether the host is asked by time, since it no longer has the number.
    by_time: bool,
    is_renumbered: bool,
    gap: Option<(ClientGapCause, Option<String>)>,
}

/// The last event that came.
#[derive(Clone, Copy)]
struct Place {
    line: u32,
    time: Micros,
    seq: Option<u64>,
}

/// An event that the server must send again.
#[derive(Clone, Copy)]
struct Witness {
    line: u32,
    time: Micros,
    hash: u64,
}

/// The way from one line to another. It may take several connections.
#[derive(Clone, Copy)]
struct Crossing {
    /// The time of the last event of the lines before.
    high: Micros,
    /// Whether no event that is known has come, though there should be some.
    is_awaited: bool,
}

/// The parts of an event that are compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) time: Micros,
    pub(crate) seq: Option<u64>,
    pub(crate) hash: u64,
}

/// The decision on an event, and the gap before it.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    pub(crate) gap: Option<ClientGap>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    New,
    /// It has come before.
    Repeat,
    /// It is from before the cursor.
    Before,
    /// The host counts anew: the connection must be made again, from a time.
    Renumbered,
}

/// The cursor has only a number, and it is not of a sequence that this host has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SeqOfAnotherHost;

impl Resume {
    pub(crate) fn new(start: Option<UpstreamCursor>, overlap: Duration, capacity: usize) -> Self {
        Self {
            window: Window::new(capacity),
            overlap,
            start,
            started: None,
            place: None,
            witness: None,
            joint: Joint::Open,
            crossing: None,
            line: 0,
            protocol: Protocol::V1,
            lines: Vec::new(),
            next_line: 0,
            by_time: false,
            is_renumbered: false,
            gap: None,
        }
    }

    /// Decides where a host is asked to start, `None` for the live end, and how what it sends is
    /// joined to what came before.
    pub(crate) fn begin(
        &mut self,
        host: usize,
        name: &str,
        protocol: Protocol,
    ) -> Result<Option<u64>, SeqOfAnotherHost> {
        self.line = self.line_of(host, protocol);
        self.protocol = protocol;
        let (joint, cursor) = match (self.place, &self.start) {
            (Some(place), _) if place.line == self.line => self.same_line(place),
            (Some(place), _) => self.other_line(place),
            (None, Some(start)) => {
                let seq = start.seq_at(name).filter(|_| protocol == Protocol::V2);
                match (seq.filter(|_| !self.by_time), start.time()) {
                    (Some(seq), _) => (Joint::Seq { last: seq }, Some(seq)),
                    (None, Some(time)) => {
                        (Joint::Skip { until: time }, Some(self.time_cursor(time)))
                    }
                    (None, None) if seq.is_some() => (Joint::Open, Some(FIRST_TIME)),
                    (None, None) => return Err(SeqOfAnotherHost),
                }
            }
            // No event has come yet, but some may have while no connection was there.
            (None, None) => match self.started {
                Some(time) => (Joint::Skip { until: time }, Some(self.time_cursor(time))),
                None => (Joint::Open, None),
            },
        };
        self.joint = joint;
        Ok(cursor)
    }

    fn same_line(&self, place: Place) -> (Joint, Option<u64>) {
        let seq = place.seq.filter(|_| self.protocol == Protocol::V2);
        let (joint, cursor) = match seq {
            Some(last) if self.by_time => (Joint::AfterSeq { last }, self.time_cursor(place.time)),
            Some(last) => (Joint::Seq { last }, last),
            None => {
                let from = self.reach_back(place.time, SAME_LINE_OVERLAP.min(self.overlap));
                let is_awaited = self
                    .witness
                    .is_some_and(|witness| witness.line == self.line && witness.time >= from);
                let high = place.time;
                let joint = Joint::SameLine { high, is_awaited };
                (joint, self.time_cursor(from))
            }
        };
        // Events of the line before are still to come again, and are known by their content only.
        let joint = match self.crossing {
            Some(_) => Joint::OtherLine {
                from: Micros::EPOCH,
            },
            None => joint,
        };
        (joint, Some(cursor))
    }

    fn other_line(&mut self, place: Place) -> (Joint, Option<u64>) {
        let from = self.reach_over(place.time);
        let before = self
            .crossing
            .map_or(Micros::EPOCH, |crossing| crossing.high);
        self.crossing = Some(Crossing {
            high: place.time.max(before),
            is_awaited: self.witness.is_some(),
        });
        (Joint::OtherLine { from }, Some(self.time_cursor(from)))
    }

    /// A moment before the last event, but not before the events of this line that are
    /// recognised.
    fn reach_back(&self, time: Micros, overlap: Duration) -> Micros {
        let oldest = self.window.oldest_of(self.line).unwrap_or(time);
        time.minus(overlap).max(oldest.min(time))
    }

    /// The same for another host: by its clock, events are as much later or earlier as its clock
    /// is, so that only the newer half of those that are recognised is sure to be.
    fn reach_over(&self, time: Micros) -> Micros {
        let span = time.since(self.window.oldest().unwrap_or(time));
        time.minus(self.overlap.min(span / 2))
    }

    /// A time as a cursor. Version 2 takes small numbers for numbers of its sequence.
    fn time_cursor(&self, time: Micros) -> u64 {
        match self.protocol {
            Protocol::V1 => time.get(),
            Protocol::V2 => time.get().max(FIRST_TIME),
        }
    }

    fn line_of(&mut self, host: usize, protocol: Protocol) -> u32 {
        let found = self.lines.iter_mut();
        let mut found = found.filter(|(at, of, _)| (*at, *of) == (host, protocol));
        if let Some((_, _, line)) = found.next() {
            return *line;
        }
        self.next_line += 1;
        self.lines.push((host, protocol, self.next_line));
        self.next_line
    }

    /// A connection was made.
    pub(crate) fn connected(&mut self, now: Micros) {
        if self.started.is_none() {
            self.started = Some(now);
        }
    }

    /// The filter was changed: the server may no longer send what it sent before.
    pub(crate) const fn filter_changed(&mut self) {
        self.witness = None;
        if let Some(crossing) = &mut self.crossing {
            crossing.is_awaited = false;
        }
    }

    /// The host no longer has the number: from now on it is asked by time.
    pub(crate) fn too_old(&mut self, message: String) {
        self.by_time = true;
        self.gap = Some((ClientGapCause::CursorTooOld, Some(message)));
    }

    /// Notes a gap that the server reports. It is returned with the next event.
    pub(crate) fn note_gap(&mut self, cause: ClientGapCause, message: String) {
        if self.gap.is_none() {
            self.gap = Some((cause, Some(message)));
        }
    }

    /// Decides on an event. One that is new is then behind us, whether the filter lets it pass or
    /// not; `pass` is called next if it does.
    pub(crate) fn judge(&mut self, mark: Mark) -> Judgement {
        let (verdict, cause) = self.decide(mark);
        let before = self.place.map(|place| place.time);
        match verdict {
            Verdict::New => self.record(mark),
            // The line of the new host continues from the events that both have.
            Verdict::Repeat if self.place.is_none_or(|place| place.line != self.line) => {
                self.record(mark);
            }
            Verdict::Renumbered => self.renumber(),
            _ => {}
        }
        if verdict != Verdict::New {
            return Judgement { verdict, gap: None };
        }
        let cause = self.gap.take().or_else(|| cause.map(|cause| (cause, None)));
        let gap = cause.map(|(cause, message)| ClientGap {
            cause,
            after: before.or_else(|| self.start.as_ref().and_then(UpstreamCursor::time)),
            before: Some(mark.time),
            message,
        });
        self.by_time = false;
        Judgement { verdict, gap }
    }

    /// The event that was judged last passes the whole filter.
    pub(crate) fn pass(&mut self, mark: Mark) {
        // One that came late does not take the place of a later one.
        let is_further = |witness: Witness| witness.line != self.line || mark.time >= witness.time;
        if self.witness.is_none_or(is_further) {
            self.witness = Some(Witness {
                line: self.line,
                time: mark.time,
                hash: mark.hash,
            });
        }
    }

    fn decide(&mut self, mark: Mark) -> (Verdict, Option<ClientGapCause>) {
        let Mark { time, seq, hash } = mark;
        match self.joint {
            Joint::Seq { last } => {
                self.joint = Joint::Open;
                match seq {
                    Some(seq) if seq < last => (Verdict::Renumbered, None),
                    Some(seq) if seq == last => (Verdict::Repeat, None),
                    _ => (Verdict::New, None),
                }
            }
            Joint::AfterSeq { last } if seq.is_some_and(|seq| seq <= last) => {
                (Verdict::Repeat, None)
            }
            Joint::SameLine { high, is_awaited } => {
                if self.window.has_exact(hash, time, self.line) {
                    if self
                        .witness
                        .is_some_and(|it| (it.hash, it.time) == (hash, time))
                    {
                        let is_awaited = false;
                        self.joint = Joint::SameLine { high, is_awaited };
                    }
                    return (Verdict::Repeat, None);
                }
                if time <= high {
                    // The server had not sent it before: it came late there.
                    return (Verdict::New, None);
                }
                self.joint = Joint::Open;
                (
                    Verdict::New,
                    is_awaited.then_some(ClientGapCause::Forgotten),
                )
            }
            Joint::OtherLine { from } => self.decide_at_other(mark, from),
            Joint::Skip { until } if time <= until => (Verdict::Before, None),
            Joint::Open => (self.decide_within(mark), None),
            Joint::AfterSeq { .. } | Joint::Skip { .. } => {
                self.joint = Joint::Open;
                (Verdict::New, None)
            }
        }
    }

    /// Another host's clock and numbers are its own, so events are known by their content until
    /// both hosts are surely past what the last one sent.
    fn decide_at_other(&mut self, mark: Mark, from: Micros) -> (Verdict, Option<ClientGapCause>) {
        let Some(Crossing { high, is_awaited }) = self.crossing else {
            self.joint = Joint::Open;
            return (self.decide_within(mark), None);
        };
        let is_known = self.window.has_content(mark.hash);
        // Only version 2 starts earlier than it was asked to; of that, the window knows the end.
        let oldest = self.window.oldest().unwrap_or(from);
        let is_before = self.protocol == Protocol::V2 && mark.time < from.min(oldest);
        let misses = is_awaited && !is_known && !is_before;
        if mark.time > high.plus(self.overlap) {
            self.joint = Joint::Open;
            self.crossing = None;
        } else {
            let is_awaited = is_awaited && !is_known && !misses;
            self.crossing = Some(Crossing { high, is_awaited });
        }
        if is_known {
            return (Verdict::Repeat, None);
        }
        if is_before {
            return (Verdict::Before, None);
        }
        let cause = if self.is_renumbered {
            ClientGapCause::Renumbered
        } else {
            ClientGapCause::OtherHost
        };
        self.is_renumbered = false;
        (self.decide_within(mark), misses.then_some(cause))
    }

    /// Within a connection numbers grow, and what goes back in time may be a repeat.
    fn decide_within(&mut self, mark: Mark) -> Verdict {
        let Some(place) = self.place.filter(|place| place.line == self.line) else {
            return Verdict::New;
        };
        let is_repeat = match (self.protocol, place.seq, mark.seq) {
            (Protocol::V2, Some(last), Some(seq)) => seq <= last,
            _ => mark.time <= place.time && self.window.has_exact(mark.hash, mark.time, self.line),
        };
        if is_repeat {
            Verdict::Repeat
        } else {
            Verdict::New
        }
    }

    fn record(&mut self, mark: Mark) {
        self.window.push(mark.hash, mark.time, self.line);
        let is_further = self.place.is_none_or(|place| {
            place.line != self.line || self.protocol == Protocol::V2 || mark.time >= place.time
        });
        if is_further {
            self.place = Some(Place {
                line: self.line,
                time: mark.time,
                seq: mark.seq,
            });
        }
    }

    /// The sequence begins anew: what comes is of another line, and joined by time.
    fn renumber(&mut self) {
        self.next_line += 1;
        let (old, new) = (self.line, self.next_line);
        for (_, _, line) in &mut self.lines {
            if *line == old {
                *line = new;
            }
        }
        self.is_renumbered = true;
        if self.place.is_none() {
            self.note_gap(
                ClientGapCause::Renumbered,
                "the host does not have the number of the cursor".to_owned(),
            );
            self.by_time = true;
        }
    }
}

/// How far version 1 is asked back: its own disorder is below a second.
const SAME_LINE_OVERLAP: Duration = Duration::from_secs(2);
/// The least number that version 2 takes for a time, in 2001.
const FIRST_TIME: u64 = 1_000_000_000_000_000;
