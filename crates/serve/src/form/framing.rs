use std::io::Write;

use jetwash::store::Block;
use jetwash::{Micros, Seq};

use crate::form::format::Shape;
use crate::websocket::{Opcode, begin_frame, end_frame, write_frame};

/// How one message is told from the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Each message is a websocket frame.
    #[default]
    Websocket,
    /// Each message is a line: NDJSON in the body of an answer.
    Lines,
    /// Each message is a server-sent event, whose `id` is its cursor.
    EventStream,
}

/// An event's place in the log, by which a reader resumes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) seq: Seq,
    pub(crate) time_us: Micros,
}

/// A message that is being written in place: where it begins, and where its payload does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    pub(crate) start: usize,
    payload: usize,
}

impl Mark {
    /// The mark of the event at an index of a block.
    #[inline]
    pub(crate) fn of(block: &Block, index: usize) -> Self {
        let time_us = block.times().get(index).copied();
        debug_assert!(time_us.is_some(), "each event of a block has its time");
        Self {
            seq: block.first_seq().plus(index as u64),
            time_us: time_us.unwrap_or(Micros::EPOCH),
        }
    }

    /// The cursor of the event, which is a time where events do not show their positions.
    pub(crate) const fn cursor(self, shape: Shape) -> u64 {
        match shape {
            Shape::V2 | Shape::V1WithCursor => self.seq.get(),
            Shape::V0 | Shape::V1 | Shape::Binary => self.time_us.get(),
        }
    }
}

impl Framing {
    /// Appends an event. `cursor` is its own.
    #[inline]
    pub(crate) fn write(self, opcode: Opcode, cursor: u64, payload: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Websocket => write_frame(opcode, payload, out),
            Self::Lines => {
                out.reserve(payload.len() + 1);
                out.extend_from_slice(payload);
                out.push(b'\n');
            }
            Self::EventStream => {
                debug_assert!(is_one_line(payload), "an event is one line");
                out.reserve(payload.len() + HEAD);
                write_id(cursor, out);
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(payload);
                out.extend_from_slice(b"\n\n");
            }
        }
    }

    /// Begins an event whose payload is appended afterwards. [`end`](Self::end) ends it.
    pub(crate) fn begin(self, cursor: u64, out: &mut Vec<u8>) -> Begun {
        let start = out.len();
        match self {
            Self::Websocket => {
                begin_frame(out);
            }
            Self::Lines => {}
            Self::EventStream => {
                write_id(cursor, out);
                out.extend_from_slice(b"data: ");
            }
        }
        Begun {
            start,
            payload: out.len(),
        }
    }

    /// Ends an event, and returns the size of its payload.
    pub(crate) fn end(self, opcode: Opcode, begun: Begun, out: &mut Vec<u8>) -> usize {
        let size = out.len().saturating_sub(begun.payload);
        match self {
            Self::Websocket => return end_frame(opcode, begun.start, out),
            Self::Lines => out.push(b'\n'),
            Self::EventStream => out.extend_from_slice(b"\n\n"),
        }
        size
    }

    /// Appends a message that is not an event, given in JSON. Server-sent ones have a name, by which
    /// pages can tell them from events; they have no `id`, since nobody resumes there.
    pub(crate) fn write_notice(self, name: &str, json: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Websocket => write_frame(Opcode::Text, json, out),
            Self::Lines => self.write(Opcode::Text, 0, json, out),
            Self::EventStream => {
                debug_assert!(is_one_line(json), "a notice is one line");
                for part in [b"event: ", name.as_bytes(), b"\ndata: ", json, b"\n\n"] {
                    out.extend_from_slice(part);
                }
            }
        }
    }

    /// Appends the beginning of an answer, if it has one: a browser that loses the connection comes
    /// back after this time.
    pub(crate) fn write_start(self, out: &mut Vec<u8>) {
        if self == Self::EventStream {
            out.extend_from_slice(b"retry: 2000\n\n");
        }
    }

    /// Appends a sign of life with the cursor of the last event passed. It is not a message: pages do
    /// not see it, but come back there.
    pub(crate) fn write_heartbeat(self, cursor: u64, out: &mut Vec<u8>) {
        if self == Self::EventStream {
            out.extend_from_slice(b":\n");
            write_id(cursor, out);
            out.push(b'\n');
        }
    }
}

fn write_id(cursor: u64, out: &mut Vec<u8>) {
    let written = writeln!(out, "id: {cursor}");
    debug_assert!(written.is_ok(), "memory takes everything");
}

fn is_one_line(text: &[u8]) -> bool {
    !text.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
}

/// More than a server-sent event has around its payload.
const HEAD: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"before".to_vec();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_event_that_is_written_in_place_is_the_same() {
        for framing in [Framing::Websocket, Framing::Lines, Framing::EventStream] {
            for payload in ["", "{}", &"x".repeat(200), &"x".repeat(70_000)] {
                let mut at_once = Vec::new();
                framing.write(Opcode::Text, 7, payload.as_bytes(), &mut at_once);
                let mut in_place = Vec::new();
                let begun = framing.begin(7, &mut in_place);
                in_place.extend_from_slice(payload.as_bytes());
                let size = framing.end(Opcode::Text, begun, &mut in_place);
                assert_eq!(size, payload.len());
                assert_eq!(in_place, at_once, "{framing:?}");
            }
        }
    }

    #[test]
    fn each_framing_has_its_form() {
        let event = |framing: Framing| text(|out| framing.write(Opcode::Text, 7, b"{}", out));
        assert_eq!(event(Framing::Lines), "before{}\n");
        assert_eq!(event(Framing::EventStream), "beforeid: 7\ndata: {}\n\n");
        let notice = |framing: Framing| text(|out| framing.write_notice("gap", b"{}", out));
        assert_eq!(notice(Framing::Lines), "before{}\n");
        assert_eq!(
            notice(Framing::EventStream),
            "beforeevent: gap\ndata: {}\n\n"
        );
        let heartbeat = |framing: Framing| text(|out| framing.write_heartbeat(7, out));
        assert_eq!(heartbeat(Framing::Lines), "before");
        assert_eq!(heartbeat(Framing::EventStream), "before:\nid: 7\n\n");
    }
}
