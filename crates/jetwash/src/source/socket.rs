//! A websocket as a client reads it, message by message. One that cannot be taken is skipped
//! without being kept in memory, and the next is read.

use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Cursor};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

use super::error::RelayError;
use crate::short::short;

/// Either kind of connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The client's end of a websocket.
pub(super) struct Socket {
    stream: Box<dyn Stream>,
    read: BytesMut,
    unsent: BytesMut,
    needs_flush: bool,
    /// The websocket frame whose payload comes next.
    open: Option<Open>,
    /// The message whose frames these are.
    message: Option<Message>,
    /// How many parts of it have begun.
    parts: u32,
    max_bytes: u64,
    /// How much is read at once.
    read_bytes: usize,
    received: u64,
    messages: u64,
}

/// News from the other end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    Binary(Bytes),
    /// A ping or pong.
    Sign,
    /// A message that was not taken, and its length in bytes.
    Skipped(Skipped, u64),
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    Text,
    TooLarge,
}

impl Skipped {
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Text => "message_is_text",
            Self::TooLarge => "message_too_large",
        }
    }
}

struct Open {
    header: FrameHeader,
    left: u64,
}

enum Message {
    Binary(BytesMut),
    Skipped(Skipped, u64),
}

impl Socket {
    /// A websocket that has just been opened. `read` is what has been read of it already.
    pub(super) fn new(stream: Box<dyn Stream>, read: BytesMut, max_bytes: usize) -> Self {
        Self {
            stream,
            read,
            unsent: BytesMut::new(),
            needs_flush: false,
            open: None,
            message: None,
            parts: 0,
            max_bytes: max_bytes as u64,
            read_bytes: LEAST_READ,
            received: 0,
            messages: 0,
        }
    }

    /// How many bytes have come, of whole messages or not.
    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// How many messages have begun, other than pings and their like.
    pub(super) const fn messages(&self) -> u64 {
        self.messages
    }

    /// Whether a message has begun and not ended.
    pub(super) const fn has_begun(&self) -> bool {
        self.message.is_some()
    }

    /// Waits for the next message. May be dropped at any time and called again.
    pub(super) async fn next(&mut self) -> Result<Incoming, RelayError> {
        loop {
            if let Some(incoming) = self.parse()? {
                return Ok(incoming);
            }
            let filled = self.fill().await;
            let is_within = self.open.is_some() || self.message.is_some() || !self.read.is_empty();
            match filled {
                Ok(0) if is_within => return Err(RelayError::CutShort),
                Ok(0) => return Err(RelayError::Closed(None)),
                Ok(count) => self.received += count as u64,
                Err(_) if is_within => return Err(RelayError::CutShort),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(RelayError::Closed(None));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next message, if all of it has been read.
    pub(super) fn read_already(&mut self) -> Result<Option<Incoming>, RelayError> {
        self.parse()
    }

    /// Sends a ping with the next wait.
    pub(super) fn ping(&mut self) {
        self.put(Frame::ping(Bytes::new()));
    }

    /// Says goodbye.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        self.put(Frame::close(None));
        poll_fn(|context| match self.poll_send(context) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.stream).poll_shutdown(context),
            other => other,
        })
        .await
    }

    /// Reads what has come, and sends what is to be sent meanwhile.
    async fn fill(&mut self) -> io::Result<usize> {
        let wanted = self.open.as_ref().map_or(0, |open| open.left);
        let wanted = if self.is_skipping() { 0 } else { wanted };
        let missing = usize::try_from(wanted).unwrap_or(usize::MAX);
        let missing = missing.saturating_sub(self.read.len());
        if self.read.capacity() - self.read.len() < missing.max(self.read_bytes / 8) {
            self.read.reserve(missing.max(self.read_bytes));
        }
        let room = self.read.capacity() - self.read.len();
        let read = poll_fn(|context| {
            if let Poll::Ready(Err(_)) = self.poll_send(context) {
                // What has come is still worth reading, and then the end is found.
                self.unsent.clear();
                self.needs_flush = false;
            }
            // It has no state of its own, so that it may be made anew each time.
            let read = pin!(self.stream.read_buf(&mut self.read));
            read.poll(context)
        })
        .await?;
        // While more comes than is read at once, each read costs a call of the system and a wait.
        self.read_bytes = if read == room && room >= self.read_bytes {
            (self.read_bytes * 2).min(MOST_READ)
        } else if read < self.read_bytes / 8 {
            (self.read_bytes / 2).max(LEAST_READ)
        } else {
            self.read_bytes
        };
        Ok(read)
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, &self.unsent) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.unsent.advance(count),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            self.needs_flush = true;
        }
        if self.needs_flush {
            match Pin::new(&mut self.stream).poll_flush(context) {
                Poll::Ready(Ok(())) => self.needs_flush = false,
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn put(&mut self, mut frame: Frame) {
        // Who does not read is not owed an answer to every ping.
        if self.unsent.len() > MAX_UNSENT {
            return;
        }
        // The mask protects intermediaries from bytes that the sender chose (RFC 6455, 10.3); these
        // are nobody's choice.
        let random = RandomState::new().hash_one(self.received);
        frame.header_mut().mask = Some((random as u32).to_be_bytes());
        let mut bytes = Vec::with_capacity(frame.len());
        // Writing to memory cannot fail.
        if frame.format(&mut bytes).is_ok() {
            self.unsent.extend_from_slice(&bytes);
        }
    }

    const fn is_skipping(&self) -> bool {
        matches!(self.message, Some(Message::Skipped(..)))
    }

    /// The next message in what has been read, `None` if more is needed.
    fn parse(&mut self) -> Result<Option<Incoming>, RelayError> {
        loop {
            let Some(open) = &mut self.open else {
                if !self.parse_header()? {
                    return Ok(None);
                }
                continue;
            };
            let is_control = matches!(open.header.opcode, OpCode::Control(_));
            // A message that is too long is read past as it comes: waiting for the whole of it
            // would take the memory that the limit is there to save.
            if !is_control && matches!(self.message, Some(Message::Skipped(..))) {
                let count = open.left.min(self.read.len() as u64);
                self.read.advance(count as usize);
                open.left -= count;
                if open.left > 0 {
                    return Ok(None);
                }
            }
            if (self.read.len() as u64) < open.left {
                return Ok(None);
            }
            let payload = self.read.split_to(open.left as usize);
            let header = open.header.clone();
            self.open = None;
            if let OpCode::Control(control) = header.opcode {
                return self.control(control, &payload).map(Some);
            }
            if let Some(incoming) = self.data(header.is_final, payload) {
                return Ok(Some(incoming));
            }
        }
    }

    /// Takes in one frame's payload; returns the message if that is its end.
    fn data(&mut self, is_final: bool, payload: BytesMut) -> Option<Incoming> {
        match self.message.take() {
            // Nearly all messages are one frame.
            Some(Message::Binary(part)) if is_final && part.is_empty() => {
                Some(Incoming::Binary(payload.freeze()))
            }
            Some(Message::Binary(mut part)) => {
                part.extend_from_slice(&payload);
                if is_final {
                    return Some(Incoming::Binary(part.freeze()));
                }
                self.message = Some(Message::Binary(part));
                None
            }
            Some(Message::Skipped(why, bytes)) if is_final => Some(Incoming::Skipped(why, bytes)),
            other => {
                self.message = other;
                None
            }
        }
    }

    /// Reads the header of the next frame; `false` if more is needed.
    fn parse_header(&mut self) -> Result<bool, RelayError> {
        let mut cursor = Cursor::new(&self.read);
        let parsed = FrameHeader::parse(&mut cursor);
        let parsed = parsed.map_err(|_| RelayError::Protocol("an unknown opcode"))?;
        let position = cursor.position() as usize;
        let Some((header, length)) = parsed else {
            return Ok(false);
        };
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(RelayError::Protocol("a reserved bit is set"));
        }
        if header.mask.is_some() {
            return Err(RelayError::Protocol("a server's message is masked"));
        }
        self.begin(&header, length)?;
        self.read.advance(position);
        self.open = Some(Open {
            header,
            left: length,
        });
        Ok(true)
    }

    /// Checks a frame against the message it belongs to, and decides what becomes of that.
    fn begin(&mut self, header: &FrameHeader, length: u64) -> Result<(), RelayError> {
        let new = match header.opcode {
            OpCode::Control(_) if !header.is_final || length > MAX_CONTROL => {
                return Err(RelayError::Protocol("a control frame is long or in parts"));
            }
            OpCode::Control(_) => return Ok(()),
            OpCode::Data(Data::Continue) => None,
            OpCode::Data(Data::Text) => Some(Message::Skipped(Skipped::Text, 0)),
            OpCode::Data(_) => Some(Message::Binary(BytesMut::new())),
        };
        let message = match (self.message.take(), new) {
            (Some(message), None) => {
                self.parts += 1;
                message
            }
            (None, Some(message)) => {
                self.parts = 1;
                self.messages += 1;
                message
            }
            (None, None) => {
                return Err(RelayError::Protocol("a continuation of no message"));
            }
            (Some(_), Some(_)) => {
                return Err(RelayError::Protocol("a message begins within another"));
            }
        };
        // Parts may be empty, so their bytes alone are no bound.
        if self.parts > MAX_PARTS {
            return Err(RelayError::Protocol("a message in too many parts"));
        }
        let (why, before) = match &message {
            Message::Binary(part) => (None, part.len() as u64),
            Message::Skipped(why, bytes) => (Some(*why), *bytes),
        };
        let bytes = before.saturating_add(length);
        if bytes > MAX_SKIPPED {
            return Err(RelayError::TooLong { bytes });
        }
        let why = why.or_else(|| (bytes > self.max_bytes).then_some(Skipped::TooLarge));
        self.message = Some(match why {
            Some(why) => Message::Skipped(why, bytes),
            None => message,
        });
        Ok(())
    }

    fn control(&mut self, control: Control, payload: &[u8]) -> Result<Incoming, RelayError> {
        match control {
            Control::Ping => self.put(Frame::pong(payload.to_vec())),
            Control::Close => {
                let said = match payload {
                    [high, low, reason @ ..] => {
                        let code = u16::from_be_bytes([*high, *low]);
                        let reason = short(&String::from_utf8_lossy(reason));
                        Some(format!(" with the code {code} {reason}"))
                    }
                    _ => None,
                };
                return Err(RelayError::Closed(said));
            }
            _ => {}
        }
        Ok(Incoming::Sign)
    }
}

/// How much is read at once where little comes. A frame keeps what it was read with in memory until
/// it is done with.
const LEAST_READ: usize = 32 << 10;
/// How much is read at once where a source catches up.
const MOST_READ: usize = 256 << 10;
const MAX_CONTROL: u64 = 125;
const MAX_UNSENT: usize = 4 << 10;
const MAX_PARTS: u32 = 1 << 18;
/// A message that claims more is not waited for.
const MAX_SKIPPED: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// The messages that a client reads from these bytes, until it ends.
    async fn read(bytes: &[u8]) -> (Vec<Incoming>, RelayError) {
        let (mut server, client) = tokio::io::duplex(64);
        let bytes = bytes.to_vec();
        let writing = tokio::spawn(async move {
            let _ = server.write_all(&bytes).await;
        });
        let mut socket = Socket::new(Box::new(client), BytesMut::new(), 10);
        let mut seen = Vec::new();
        loop {
            match socket.next().await {
                Ok(incoming) => seen.push(incoming),
                Err(error) => {
                    drop(socket);
                    writing.await.unwrap();
                    return (seen, error);
                }
            }
        }
    }

    fn binary(text: &'static str) -> Incoming {
        Incoming::Binary(Bytes::from(text))
    }

    #[tokio::test]
    async fn messages_in_one_part_and_in_several_are_read() {
        let bytes = b"\x82\x02ab\x02\x02cd\x89\x01p\x00\x00\x80\x02ef\x82\x00";
        let (seen, error) = read(bytes).await;
        let expected = [binary("ab"), Incoming::Sign, binary("cdef"), binary("")];
        assert_eq!(seen, expected);
        assert!(matches!(error, RelayError::Closed(None)), "{error}");
    }

    #[tokio::test]
    async fn what_is_too_large_or_text_is_skipped_and_the_next_is_read() {
        let mut bytes = b"\x82\x7e\x01\x00".to_vec();
        bytes.extend([7; 256]);
        bytes.extend(b"\x82\x01a\x81\x02\xff\xfe\x02\x08\x82\x00\x00\x7f\x82\x81\x00\x89\x00");
        bytes.extend(b"\x80\x03abc\x82\x01b");
        let (seen, _) = read(&bytes[..256 + 4 + 3 + 4]).await;
        let large = Incoming::Skipped(Skipped::TooLarge, 256);
        let text = Incoming::Skipped(Skipped::Text, 2);
        assert_eq!(seen, [large, binary("a"), text]);

        let parts = b"\x02\x08abcdefgh\x89\x00\x00\x03ijk\x80\x01l\x82\x01b";
        let (seen, _) = read(parts).await;
        let large = Incoming::Skipped(Skipped::TooLarge, 12);
        assert_eq!(seen, [Incoming::Sign, large, binary("b")]);
    }

    #[tokio::test]
    async fn what_breaks_the_protocol_ends_the_connection() {
        for bytes in [
            &b"\xc2\x01a"[..],
            b"\x83\x01a",
            b"\x8b\x01a",
            b"\x80\x01a",
            b"\x02\x01a\x82\x01b",
            b"\x82\x81\x00\x00\x00\x00a",
            b"\x09\x00",
            b"\x89\x7e\x00\x7e",
        ] {
            let (_, error) = read(bytes).await;
            assert!(matches!(error, RelayError::Protocol(_)), "{error}");
        }
        let mut parts = b"\x02\x01a".to_vec();
        parts.extend([0; 2].repeat(MAX_PARTS as usize));
        let (_, error) = read(&parts).await;
        assert!(matches!(error, RelayError::Protocol(_)), "{error}");
        let (_, error) = read(b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff").await;
        assert!(matches!(error, RelayError::TooLong { .. }), "{error}");
        let (_, error) = read(b"\x82\x05ab").await;
        assert!(matches!(error, RelayError::CutShort), "{error}");
        let (_, error) = read(b"\x88\x04\x03\xf5by").await;
        assert_eq!(
            error.to_string(),
            "the host closed it with the code 1013 by"
        );
    }

    #[tokio::test]
    async fn a_ping_is_answered_and_a_ping_sent() {
        let (mut server, client) = tokio::io::duplex(64);
        let mut socket = Socket::new(Box::new(client), BytesMut::new(), 10);
        socket.ping();
        server.write_all(b"\x89\x02hi\x82\x01a").await.unwrap();
        assert_eq!(socket.next().await.unwrap(), Incoming::Sign);
        assert_eq!(socket.next().await.unwrap(), binary("a"));
        let waiting = tokio::spawn(async move { socket.next().await });
        let mut sent = [0; 14];
        server.read_exact(&mut sent).await.unwrap();
        assert_eq!(sent[..2], [0x89, 0x80]);
        assert_eq!(sent[6..8], [0x8a, 0x82]);
        let text = [sent[12] ^ sent[8], sent[13] ^ sent[9]];
        assert_eq!(&text, b"hi");
        drop(server);
        waiting.await.unwrap().unwrap_err();
    }
}
