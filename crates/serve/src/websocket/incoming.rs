use bytes::{Buf, BytesMut};
use thiserror::Error;

/// Turns a client's bytes, in whatever pieces they come, into whole messages.
#[derive(Debug)]
pub(crate) struct Incoming {
    buffer: BytesMut,
    message: Option<(bool, Vec<u8>)>,
    max_message: usize,
}

/// A client's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Binary,
    /// The client closes, with its code if it gave one.
    Close(Option<u16>),
    Ping(Vec<u8>),
    Pong,
    Text(String),
}

impl Incoming {
    pub(crate) fn new(max_message: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            message: None,
            max_message,
        }
    }

    /// Where the next bytes from the socket go.
    pub(crate) const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The memory of unfinished messages.
    pub(crate) fn held(&self) -> usize {
        let message = self.message.as_ref();
        self.buffer.capacity() + message.map_or(0, |(_, message)| message.capacity())
    }

    /// Forgets what has come so far.
    pub(crate) fn clear(&mut self) {
        (self.buffer, self.message) = (BytesMut::new(), None);
    }

    /// The next whole message, or `None` until more bytes have come.
    pub(crate) fn next(&mut self) -> Result<Option<Message>, IncomingError> {
        while let Some(frame) = self.frame()? {
            match frame.opcode {
                0x0..=0x2 => {
                    if let Some(message) = self.data(frame)? {
                        return Ok(Some(message));
                    }
                }
                0x8 => return Ok(Some(close(&frame.payload)?)),
                0x9 => return Ok(Some(Message::Ping(frame.payload))),
                0xa => return Ok(Some(Message::Pong)),
                _ => return Err(IncomingError::Opcode),
            }
        }
        Ok(None)
    }

    /// Returns one websocket frame, once all of it is there. A message that is too long is refused
    /// by its announced length, so it is never in memory.
    fn frame(&mut self) -> Result<Option<Frame>, IncomingError> {
        let [first, second, rest @ ..] = &self.buffer[..] else {
            return Ok(None);
        };
        let (is_final, opcode) = (first & 0x80 != 0, first & 0x0f);
        if first & 0x70 != 0 {
            return Err(IncomingError::Reserved);
        }
        if second & 0x80 == 0 {
            return Err(IncomingError::Unmasked);
        }
        let (length, rest) = match second & 0x7f {
            126 => match rest.split_first_chunk::<2>() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk::<8>() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            length => (u64::from(length), rest),
        };
        let is_control = opcode & 0x8 != 0;
        if is_control && (length > 125 || !is_final) {
            return Err(IncomingError::Control);
        }
        let so_far = self
            .message
            .as_ref()
            .map_or(0, |(_, message)| message.len());
        let length = usize::try_from(length)
            .ok()
            .filter(|length| is_control || length.saturating_add(so_far) <= self.max_message)
            .ok_or(IncomingError::TooBig {
                limit: self.max_message,
            })?;
        let Some((mask, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let mut payload = payload.to_vec();
        for word in payload.chunks_mut(mask.len()) {
            word.iter_mut()
                .zip(mask)
                .for_each(|(byte, mask)| *byte ^= mask);
        }
        let frame = Frame {
            is_final,
            opcode,
            payload,
        };
        let end = self.buffer.len() - (rest.len() - length);
        self.buffer.advance(end);
        // One large message must not keep its room for the life of the connection.
        if self.buffer.is_empty() && length > KEPT {
            self.buffer = BytesMut::new();
        }
        Ok(Some(frame))
    }

    /// Joins fragments.
    fn data(&mut self, frame: Frame) -> Result<Option<Message>, IncomingError> {
        let (is_text, mut message) = match (frame.opcode, self.message.take()) {
            (0x0, Some(started)) => started,
            (0x1 | 0x2, None) => (frame.opcode == 0x1, Vec::new()),
            _ => return Err(IncomingError::Fragment),
        };
        // Binary messages mean nothing here, so only their length is kept in check.
        if message.is_empty() {
            message = frame.payload;
        } else {
            message.extend_from_slice(&frame.payload);
        }
        if !frame.is_final {
            self.message = Some((is_text, message));
            return Ok(None);
        }
        if !is_text {
            return Ok(Some(Message::Binary));
        }
        String::from_utf8(message)
            .map(Message::Text)
            .map(Some)
            .map_err(|_| IncomingError::Utf8)
    }
}

/// Why a client's bytes cannot be understood. After one the connection is closed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum IncomingError {
    #[error("invalid close frame")]
    Close,
    #[error("control frame too long or fragmented")]
    Control,
    #[error("fragments out of order")]
    Fragment,
    #[error("unknown opcode")]
    Opcode,
    #[error("reserved bits set")]
    Reserved,
    #[error("message larger than {limit} bytes")]
    TooBig { limit: usize },
    #[error("frame not masked")]
    Unmasked,
    #[error("text is not UTF-8")]
    Utf8,
}

/// A websocket frame.
#[derive(Debug)]
struct Frame {
    is_final: bool,
    opcode: u8,
    payload: Vec<u8>,
}

/// The largest websocket frame whose room is kept for the next.
const KEPT: usize = 16 * 1024;

fn close(payload: &[u8]) -> Result<Message, IncomingError> {
    match payload.split_first_chunk::<2>() {
        None if payload.is_empty() => Ok(Message::Close(None)),
        Some((code, reason)) if std::str::from_utf8(reason).is_ok() => {
            match u16::from_be_bytes(*code) {
                code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => Ok(Message::Close(Some(code))),
                _ => Err(IncomingError::Close),
            }
        }
        _ => Err(IncomingError::Close),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut bytes = vec![first, 0x80 | payload.len() as u8];
        bytes.extend(mask);
        bytes.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<Message>, IncomingError> {
        let mut incoming = Incoming::new(100);
        let mut messages = Vec::new();
        // One byte at a time: nothing may depend on where the network cuts.
        for byte in bytes {
            incoming.buffer().extend_from_slice(&[*byte]);
            while let Some(message) = incoming.next()? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    #[test]
    fn messages_come_whole_however_they_arrive() {
        let mut bytes = frame(0x81, b"one");
        bytes.extend(frame(0x89, b"ping"));
        bytes.extend(frame(0x01, "tw\u{e6}".as_bytes()[..3].as_ref()));
        bytes.extend(frame(0x8a, b""));
        bytes.extend(frame(0x80, "tw\u{e6}".as_bytes()[3..].as_ref()));
        bytes.extend(frame(0x82, b"\xff"));
        bytes.extend(frame(0x88, &1001_u16.to_be_bytes()));
        let expected = [
            Message::Text("one".to_owned()),
            Message::Ping(b"ping".to_vec()),
            Message::Pong,
            Message::Text("tw\u{e6}".to_owned()),
            Message::Binary,
            Message::Close(Some(1001)),
        ];
        assert_eq!(read(&bytes).unwrap(), expected);
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        assert_eq!(read(&[0x81, 0x01, b'x']), Err(IncomingError::Unmasked));
        assert_eq!(read(&frame(0xc1, b"x")), Err(IncomingError::Reserved));
        assert_eq!(read(&frame(0x83, b"x")), Err(IncomingError::Opcode));
        assert_eq!(read(&frame(0x09, b"x")), Err(IncomingError::Control));
        // A ping of 126 bytes, of which the head is enough.
        assert_eq!(read(&[0x89, 0xfe, 0, 126]), Err(IncomingError::Control));
        assert_eq!(read(&frame(0x80, b"x")), Err(IncomingError::Fragment));
        assert_eq!(read(&frame(0x81, b"\xff")), Err(IncomingError::Utf8));
        assert_eq!(read(&frame(0x88, b"\x03")), Err(IncomingError::Close));
        assert_eq!(
            read(&frame(0x88, &1005_u16.to_be_bytes())),
            Err(IncomingError::Close)
        );
        let mut twice = frame(0x01, b"a");
        twice.extend(frame(0x81, b"b"));
        assert_eq!(read(&twice), Err(IncomingError::Fragment));
    }

    #[test]
    fn a_message_over_the_limit_is_refused_before_it_comes() {
        // The head alone: 127 announces eight bytes of length.
        let mut head = vec![0x81, 0xff];
        head.extend(10_000_001_u64.to_be_bytes());
        assert_eq!(read(&head), Err(IncomingError::TooBig { limit: 100 }));
        let mut pieces = frame(0x01, &[b'a'; 60]);
        pieces.extend(frame(0x80, &[b'a'; 41]));
        assert_eq!(read(&pieces), Err(IncomingError::TooBig { limit: 100 }));
    }
}
