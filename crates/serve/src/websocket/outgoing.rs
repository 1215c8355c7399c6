/// The content of a websocket frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Opcode {
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xa,
}

/// Why a connection is closed (RFC 6455, section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum CloseCode {
    /// The purpose has been fulfilled; also what Jetstream uses for bad client messages.
    Normal = 1000,
    /// The server is going away.
    GoingAway = 1001,
    /// The client broke the websocket protocol.
    Protocol = 1002,
    /// The client's text is not UTF-8.
    InvalidPayload = 1007,
    /// The client broke a rule of ours.
    Policy = 1008,
    /// The client's message is too big.
    TooBig = 1009,
    /// The server failed.
    Internal = 1011,
    /// The server has too much to do.
    TryAgainLater = 1013,
}

/// Appends one unfragmented websocket frame. A server's are not masked.
#[inline]
pub(crate) fn write_frame(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    let first = FINAL | opcode as u8;
    out.reserve(10 + payload.len());
    match payload.len() {
        length @ 0..=125 => out.extend_from_slice(&[first, length as u8]),
        length @ 126..=0xffff => {
            let [high, low] = (length as u16).to_be_bytes();
            out.extend_from_slice(&[first, 126, high, low]);
        }
        length => {
            out.extend_from_slice(&[first, 127]);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Leaves room for the header of a message that is appended afterwards, and returns where it begins.
/// [`end_frame`] fills it in.
pub(crate) fn begin_frame(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; USUAL_HEADER]);
    out.len() - USUAL_HEADER
}

/// Ends a message that [`begin_frame`] began at `start`, and returns the size of its payload. One that
/// is shorter or longer than usual is moved.
pub(crate) fn end_frame(opcode: Opcode, start: usize, out: &mut Vec<u8>) -> usize {
    let payload = start + USUAL_HEADER;
    let length = out.len().saturating_sub(payload);
    if let Some([first, kind, size @ ..]) = out.get_mut(start..payload)
        && (126..=0xffff).contains(&length)
    {
        (*first, *kind) = (FINAL | opcode as u8, 126);
        size.copy_from_slice(&(length as u16).to_be_bytes());
        return length;
    }
    let moved = out.split_off(payload);
    out.truncate(start);
    write_frame(opcode, &moved, out);
    length
}

/// Appends a close frame. A reason that is too long is cut, with `...` at its end.
pub(crate) fn write_close(code: CloseCode, reason: &str, out: &mut Vec<u8>) {
    let mut payload = (code as u16).to_be_bytes().to_vec();
    if reason.len() <= MAX_REASON {
        payload.extend_from_slice(reason.as_bytes());
    } else {
        let room = MAX_REASON - ELLIPSIS.len();
        let end = (0..=room)
            .rev()
            .find(|&end| reason.is_char_boundary(end))
            .unwrap_or_default();
        payload.extend_from_slice(&reason.as_bytes()[..end]);
        payload.extend_from_slice(ELLIPSIS.as_bytes());
    }
    write_frame(Opcode::Close, &payload, out);
}

const FINAL: u8 = 0x80;
/// The header of a payload of 126 to 65,535 bytes, as events have.
const USUAL_HEADER: usize = 4;
/// A control frame holds 125 bytes, of which the code takes two.
const MAX_REASON: usize = 123;
const ELLIPSIS: &str = "...";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_gets_its_form() {
        let head = |length: usize| {
            let mut out = Vec::new();
            write_frame(Opcode::Text, &vec![b'x'; length], &mut out);
            let head = out.len() - length;
            out[..head].to_vec()
        };
        assert_eq!(head(0), [0x81, 0]);
        assert_eq!(head(125), [0x81, 125]);
        assert_eq!(head(126), [0x81, 126, 0, 126]);
        assert_eq!(head(65_535), [0x81, 126, 0xff, 0xff]);
        assert_eq!(head(65_536), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_payload_that_is_written_in_place_gets_the_same_header() {
        for length in [0, 1, 125, 126, 700, 65_535, 65_536] {
            let payload: Vec<u8> = (0..length).map(|byte| (byte % 251) as u8).collect();
            let mut expected = b"before".to_vec();
            let mut out = expected.clone();
            write_frame(Opcode::Text, &payload, &mut expected);
            let start = begin_frame(&mut out);
            out.extend_from_slice(&payload);
            assert_eq!(end_frame(Opcode::Text, start, &mut out), length);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_close_reason_always_fits() {
        let mut out = Vec::new();
        write_close(CloseCode::Policy, &"æ".repeat(100), &mut out);
        assert_eq!(out[..2], [0x88, 2 + 120 + 3]);
        assert_eq!(out[2..4], 1008_u16.to_be_bytes());
        assert_eq!(
            String::from_utf8(out[4..].to_vec()).unwrap(),
            "æ".repeat(60) + "..."
        );
    }
}
