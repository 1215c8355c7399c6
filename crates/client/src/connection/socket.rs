//! A websocket as a client reads it, message by message. One that is too long is skipped without
//! being kept in memory, and the next is read.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, BytesMut};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::error::{ConnectionError, short};

/// A connection of either kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The client's end of a websocket.
pub(crate) struct Socket {
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
    received: u64,
}

/// News from the other end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    Text(BytesMut),
    Binary(BytesMut),
    /// A ping or pong.
    Sign,
    /// A message that was too long to be taken.
    Skipped,
}

/// The head of a websocket frame (RFC 6455, section 5.2).
#[derive(Clone, Copy)]
struct Open {
    is_final: bool,
    opcode: u8,
    left: u64,
}

enum Message {
    Kept { is_text: bool, bytes: BytesMut },
    Skipped(u64),
}

impl Socket {
    /// A websocket that has just been opened. `read` is what has been read of it already.
    pub(crate) fn new(stream: Box<dyn Stream>, read: BytesMut, max_bytes: usize) -> Self {
        Self {
            stream,
            received: read.len() as u64,
            read,
            unsent: BytesMut::new(),
            needs_flush: false,
            open: None,
            message: None,
            parts: 0,
            max_bytes: max_bytes as u64,
        }
    }

    /// Returns how many bytes have come since this was last asked.
    pub(crate) const fn take_received(&mut self) -> u64 {
        let received = self.received;
        self.received = 0;
        received
    }

    /// Returns the next message in what has been read, `None` if more is needed.
    pub(crate) fn parse(&mut self) -> Result<Option<Incoming>, ConnectionError> {
        loop {
            let Some(open) = self.open else {
                if !self.parse_header()? {
                    return Ok(None);
                }
                continue;
            };
            let is_control = open.opcode >= CLOSE;
            // A message that is too long is read past as it comes: waiting for the whole of it
            // would take the memory that the limit is there to save.
            if !is_control && matches!(self.message, Some(Message::Skipped(_))) {
                let count = open.left.min(self.read.len() as u64);
                self.read.advance(count as usize);
                let left = open.left - count;
                self.open = Some(Open { left, ..open });
                if left > 0 {
                    return Ok(None);
                }
            }
            let left = self.open.map_or(0, |open| open.left);
            if (self.read.len() as u64) < left {
                return Ok(None);
            }
            let payload = self.read.split_to(left as usize);
            self.open = None;
            if is_control {
                return self.control(open.opcode, &payload).map(Some);
            }
            if let Some(incoming) = self.data(open.is_final, payload) {
                return Ok(Some(incoming));
            }
        }
    }

    /// Reads more, and sends what is to be sent meanwhile. May be dropped at any time and called
    /// again.
    pub(crate) async fn fill(&mut self) -> Result<(), ConnectionError> {
        let skips = matches!(self.message, Some(Message::Skipped(_)));
        let wanted = self.open.filter(|_| !skips).map_or(0, |open| open.left);
        let missing = usize::try_from(wanted).unwrap_or(usize::MAX);
        let missing = missing.saturating_sub(self.read.len());
        if self.read.capacity() - self.read.len() < missing.max(LEAST_READ) {
            self.read.reserve(missing.max(READ_BYTES));
        }
        let is_within = self.open.is_some() || self.message.is_some() || !self.read.is_empty();
        let filled = poll_fn(|context| {
            if let Poll::Ready(Err(_)) = self.poll_send(context) {
                // What has come is still worth reading, and then the end is found.
                self.unsent.clear();
                self.needs_flush = false;
            }
            // It has no state of its own, so that it may be made anew each time.
            let read = pin!(self.stream.read_buf(&mut self.read));
            read.poll(context)
        });
        match filled.await {
            Ok(0) if is_within => Err(ConnectionError::CutShort),
            Ok(0) => Err(ConnectionError::Closed(None)),
            Ok(count) => {
                self.received += count as u64;
                Ok(())
            }
            Err(_) if is_within => Err(ConnectionError::CutShort),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(ConnectionError::Closed(None))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a ping with the next read.
    pub(crate) fn ping(&mut self) {
        self.put(PING, b"");
    }

    /// Sends a text message with the next read.
    ///
    /// # Errors
    ///
    /// When so much waits to be sent already that the host cannot be reading.
    pub(crate) fn send_text(&mut self, text: &str) -> Result<(), ConnectionError> {
        if self.unsent.len() > MAX_UNSENT_TEXT {
            return Err(ConnectionError::Clogged(self.unsent.len()));
        }
        self.write(TEXT, text.as_bytes());
        Ok(())
    }

    /// Says goodbye, and sends what waits.
    pub(crate) async fn close(&mut self) -> io::Result<()> {
        self.put(CLOSE, &1000_u16.to_be_bytes());
        poll_fn(|context| match self.poll_send(context) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.stream).poll_shutdown(context),
            other => other,
        })
        .await
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

    /// Queues a control frame, unless the host does not read: it is not owed every answer then.
    fn put(&mut self, opcode: u8, payload: &[u8]) {
        if self.unsent.len() <= MAX_UNSENT_CONTROL {
            self.write(opcode, payload);
        }
    }

    fn write(&mut self, opcode: u8, payload: &[u8]) {
        // The mask keeps intermediaries from being led astray by bytes that somebody chose
        // (RFC 6455, section 10.3).
        let mut mask = [0; 4];
        let _ = SystemRandom::new().fill(&mut mask);
        self.unsent.put_u8(0x80 | opcode);
        match payload.len() {
            length @ 0..126 => self.unsent.put_u8(0x80 | length as u8),
            length @ 126..0x1_0000 => {
                self.unsent.put_u8(0x80 | 126);
                self.unsent.put_u16(length as u16);
            }
            length => {
                self.unsent.put_u8(0x80 | 127);
                self.unsent.put_u64(length as u64);
            }
        }
        self.unsent.put_slice(&mask);
        let masked = payload.iter().zip(mask.iter().cycle());
        self.unsent.extend(masked.map(|(byte, mask)| byte ^ mask));
    }

    /// Takes in one frame's payload; returns the message if that is its end.
    fn data(&mut self, is_final: bool, payload: BytesMut) -> Option<Incoming> {
        let message = match self.message.take()? {
            // Nearly all messages are one frame.
            Message::Kept { is_text, bytes } if bytes.is_empty() => Message::Kept {
                is_text,
                bytes: payload,
            },
            Message::Kept { is_text, mut bytes } => {
                bytes.extend_from_slice(&payload);
                Message::Kept { is_text, bytes }
            }
            skipped => skipped,
        };
        match message {
            message if !is_final => {
                self.message = Some(message);
                None
            }
            Message::Kept { is_text, bytes } if is_text => Some(Incoming::Text(bytes)),
            Message::Kept { bytes, .. } => Some(Incoming::Binary(bytes)),
            Message::Skipped(_) => Some(Incoming::Skipped),
        }
    }

    /// Reads the header of the next frame; `false` if more is needed.
    fn parse_header(&mut self) -> Result<bool, ConnectionError> {
        let &[first, second, ref rest @ ..] = &self.read[..] else {
            return Ok(false);
        };
        let (left, size) = match (second & 0x7f, rest) {
            (126, [a, b, ..]) => (u16::from_be_bytes([*a, *b]).into(), 4),
            (127, [a, b, c, d, e, f, g, h, ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 10)
            }
            (126 | 127, _) => return Ok(false),
            (length, _) => (length.into(), 2),
        };
        if first & 0x70 != 0 {
            return Err(ConnectionError::Protocol("a reserved bit is set"));
        }
        if second & 0x80 != 0 {
            return Err(ConnectionError::Protocol("a server's message is masked"));
        }
        let open = Open {
            is_final: first & 0x80 != 0,
            opcode: first & 0x0f,
            left,
        };
        self.begin(open)?;
        self.read.advance(size);
        self.open = Some(open);
        Ok(true)
    }

    /// Checks a frame against the message it belongs to, and decides whether that is kept.
    fn begin(&mut self, open: Open) -> Result<(), ConnectionError> {
        let new = match open.opcode {
            CLOSE | PING | PONG if !open.is_final || open.left > MAX_CONTROL => {
                let fault = "a control frame is long or in parts";
                return Err(ConnectionError::Protocol(fault));
            }
            CLOSE | PING | PONG => return Ok(()),
            CONTINUATION => None,
            TEXT | BINARY => Some(Message::Kept {
                is_text: open.opcode == TEXT,
                bytes: BytesMut::new(),
            }),
            _ => return Err(ConnectionError::Protocol("an unknown opcode")),
        };
        let message = match (self.message.take(), new) {
            (Some(message), None) => {
                self.parts += 1;
                message
            }
            (None, Some(message)) => {
                self.parts = 1;
                message
            }
            (None, None) => {
                let fault = "a continuation of no message";
                return Err(ConnectionError::Protocol(fault));
            }
            (Some(_), Some(_)) => {
                let fault = "a message begins within another";
                return Err(ConnectionError::Protocol(fault));
            }
        };
        // Parts may be empty, so their bytes alone are no bound.
        if self.parts > MAX_PARTS {
            return Err(ConnectionError::Protocol("a message in too many parts"));
        }
        let before = match &message {
            Message::Kept { bytes, .. } => bytes.len() as u64,
            Message::Skipped(bytes) => *bytes,
        };
        let bytes = before.saturating_add(open.left);
        if bytes > MAX_SKIPPED {
            return Err(ConnectionError::TooLong(bytes));
        }
        let skips = bytes > self.max_bytes || matches!(message, Message::Skipped(_));
        self.message = Some(if skips {
            Message::Skipped(bytes)
        } else {
            message
        });
        Ok(())
    }

    fn control(&mut self, opcode: u8, payload: &[u8]) -> Result<Incoming, ConnectionError> {
        match opcode {
            PING => self.put(PONG, payload),
            CLOSE => {
                let said = match payload {
                    [high, low, reason @ ..] => {
                        let code = u16::from_be_bytes([*high, *low]);
                        let reason = short(&String::from_utf8_lossy(reason));
                        Some(format!(" with the code {code} {reason}"))
                    }
                    _ => None,
                };
                return Err(ConnectionError::Closed(said));
            }
            _ => {}
        }
        Ok(Incoming::Sign)
    }
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// How much is read at once.
const READ_BYTES: usize = 64 << 10;
/// With less room than that, more is made.
const LEAST_READ: usize = 8 << 10;
const MAX_CONTROL: u64 = 125;
const MAX_UNSENT_CONTROL: usize = 4 << 10;
const MAX_UNSENT_TEXT: usize = 1 << 20;
const MAX_PARTS: u32 = 1 << 18;
/// A message that claims more is not waited for.
const MAX_SKIPPED: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// The messages that a client reads from these bytes, until it ends.
    async fn read(bytes: &[u8]) -> (Vec<Incoming>, ConnectionError) {
        let (mut server, client) = tokio::io::duplex(64);
        let bytes = bytes.to_vec();
        let writing = tokio::spawn(async move {
            let _ = server.write_all(&bytes).await;
        });
        let mut socket = Socket::new(Box::new(client), BytesMut::new(), 10);
        let mut seen = Vec::new();
        loop {
            let error = match socket.parse() {
                Ok(Some(incoming)) => {
                    seen.push(incoming);
                    continue;
                }
                Ok(None) => socket.fill().await.err(),
                Err(error) => Some(error),
            };
            if let Some(error) = error {
                drop(socket);
                writing.await.unwrap();
                return (seen, error);
            }
        }
    }

    fn binary(text: &str) -> Incoming {
        Incoming::Binary(BytesMut::from(text))
    }

    #[tokio::test]
    async fn messages_in_one_part_and_in_several_are_read() {
        let bytes = b"\x82\x02ab\x01\x02cd\x89\x01p\x00\x00\x80\x02ef\x82\x00";
        let (seen, error) = read(bytes).await;
        let text = Incoming::Text(BytesMut::from("cdef"));
        assert_eq!(seen, [binary("ab"), Incoming::Sign, text, binary("")]);
        assert!(matches!(error, ConnectionError::Closed(None)), "{error}");
    }

    #[tokio::test]
    async fn what_is_too_long_is_skipped_and_the_next_is_read() {
        let mut bytes = b"\x82\x7e\x01\x00".to_vec();
        bytes.extend([7; 256]);
        bytes.extend(b"\x82\x01a");
        let (seen, _) = read(&bytes).await;
        assert_eq!(seen, [Incoming::Skipped, binary("a")]);
        let parts = b"\x02\x08abcdefgh\x89\x00\x00\x03ijk\x80\x01l\x82\x01b";
        let (seen, _) = read(parts).await;
        assert_eq!(seen, [Incoming::Sign, Incoming::Skipped, binary("b")]);
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
            assert!(matches!(error, ConnectionError::Protocol(_)), "{error}");
        }
        let (_, error) = read(b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff").await;
        assert!(matches!(error, ConnectionError::TooLong(_)), "{error}");
        let (_, error) = read(b"\x82\x05ab").await;
        assert!(matches!(error, ConnectionError::CutShort), "{error}");
        let (_, error) = read(b"\x88\x04\x03\xf5by").await;
        assert_eq!(
            error.to_string(),
            "the host closed it with the code 1013 by"
        );
    }

    #[tokio::test]
    async fn a_ping_is_answered_with_its_payload() {
        let (mut server, client) = tokio::io::duplex(64);
        let mut socket = Socket::new(Box::new(client), BytesMut::new(), 10);
        server.write_all(b"\x89\x02hi").await.unwrap();
        socket.fill().await.unwrap();
        assert_eq!(socket.parse().unwrap(), Some(Incoming::Sign));
        let waiting = tokio::spawn(async move { socket.fill().await });
        let mut sent = [0; 8];
        server.read_exact(&mut sent).await.unwrap();
        assert_eq!(sent[..2], [0x8a, 0x82]);
        assert_eq!(&[sent[6] ^ sent[2], sent[7] ^ sent[3]], b"hi");
        drop(server);
        waiting.await.unwrap().unwrap_err();
    }
}
