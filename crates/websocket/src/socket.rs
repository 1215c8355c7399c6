use std::future::{Future, poll_fn};
use std::io;
use std::ops::RangeInclusive;
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::error::{SocketError, short};
use super::incoming::{Incoming, Skipped};
use super::unsent::Unsent;

/// A connection of any kind: TCP, TLS, or one in memory.
///
/// # Examples
///
/// ```
/// use jetwash_websocket::Stream;
///
/// let (near, _far) = tokio::io::duplex(1024);
/// let _either: Box<dyn Stream> = Box::new(near);
/// ```
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The client's end of a websocket (RFC 6455), message by message. One that cannot be taken is
/// skipped without being kept in memory, and the next is read.
///
/// Pings are answered. What is to be sent is sent while [`next`](Self::next) or
/// [`fill`](Self::fill) waits.
///
/// # Examples
///
/// ```
/// use bytes::BytesMut;
/// use jetwash_websocket::{Incoming, Skipped, Socket};
/// use tokio::io::AsyncWriteExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), jetwash_websocket::SocketError> {
/// let (mut server, client) = tokio::io::duplex(1024);
/// server.write_all(b"\x82\x05hello\x81\x02hi\x89\x00").await?;
///
/// let mut socket = Socket::new(Box::new(client), BytesMut::new(), 1 << 20).without_text();
/// assert_eq!(socket.next().await?, Incoming::Binary("hello".into()));
/// assert_eq!(socket.next().await?, Incoming::Skipped(Skipped::Text, 2));
/// // The ping came with what was read, and is answered with the next wait.
/// assert_eq!(socket.parse()?, Some(Incoming::Sign));
/// assert_eq!(socket.parse()?, None);
/// # Ok(())
/// # }
/// ```
pub struct Socket {
    stream: Box<dyn Stream>,
    read: BytesMut,
    unsent: Unsent,
    /// The websocket frame whose payload comes next.
    open: Option<Open>,
    /// The message whose frames these are.
    message: Option<Message>,
    /// How many parts of it have begun.
    parts: u32,
    takes_text: bool,
    max_bytes: u64,
    max_skipped: u64,
    read_sizes: RangeInclusive<usize>,
    /// How much is read at once now.
    read_size: usize,
    received: u64,
    messages: u64,
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
    Skipped(Skipped, u64),
}

impl Socket {
    /// A websocket that has just been opened, whose messages are taken up to `max_bytes`. `read` is
    /// what has been read of it already.
    pub fn new(stream: Box<dyn Stream>, read: BytesMut, max_bytes: usize) -> Self {
        Self {
            stream,
            received: read.len() as u64,
            read,
            unsent: Unsent::default(),
            open: None,
            message: None,
            parts: 0,
            takes_text: true,
            max_bytes: max_bytes as u64,
            max_skipped: MAX_SKIPPED,
            read_sizes: READ_BYTES..=READ_BYTES,
            read_size: READ_BYTES,
            messages: 0,
        }
    }

    /// Skips text messages, however short.
    pub const fn without_text(mut self) -> Self {
        self.takes_text = false;
        self
    }

    /// Sets the longest message that is read past, in bytes: one that claims more ends the
    /// connection. Defaults to 1 GiB.
    pub const fn max_skipped(mut self, bytes: u64) -> Self {
        self.max_skipped = bytes;
        self
    }

    /// Sets how much is read at once, in bytes: the least, and the most while more comes than that.
    /// A message keeps what it was read with in memory until it is done with. Defaults to 64 KiB,
    /// and is 1 KiB at least.
    pub fn read_sizes(mut self, bytes: RangeInclusive<usize>) -> Self {
        let least = LEAST_READ.max(*bytes.start());
        self.read_sizes = least..=least.max(*bytes.end());
        self.read_size = least;
        self
    }

    /// Returns how many bytes have come, of whole messages or not.
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Returns how many messages have begun, other than pings and their like.
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// Returns whether a message has begun and not ended.
    pub const fn has_begun(&self) -> bool {
        self.message.is_some()
    }

    /// Waits for the next message. May be dropped at any time and called again.
    ///
    /// # Errors
    ///
    /// When the connection ends, or what came is not a message.
    pub async fn next(&mut self) -> Result<Incoming, SocketError> {
        loop {
            if let Some(incoming) = self.parse()? {
                return Ok(incoming);
            }
            self.fill().await?;
        }
    }

    /// Returns the next message in what has been read, `None` if more is needed.
    ///
    /// # Errors
    ///
    /// When the host closes the websocket, or what came is not a message.
    pub fn parse(&mut self) -> Result<Option<Incoming>, SocketError> {
        loop {
            let Some(open) = &mut self.open else {
                if !self.parse_header()? {
                    return Ok(None);
                }
                continue;
            };
            let is_control = open.opcode >= CLOSE;
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
            let open = *open;
            let payload = self.read.split_to(open.left as usize);
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
    ///
    /// # Errors
    ///
    /// When the connection ends.
    pub async fn fill(&mut self) -> Result<(), SocketError> {
        let room = self.make_room();
        let filled = poll_fn(|context| {
            if let Poll::Ready(Err(_)) = self.unsent.poll_send(&mut self.stream, context) {
                // What has come is still worth reading, and then the end is found.
                self.unsent.clear();
            }
            // It has no state of its own, so that it may be made anew each time.
            let read = pin!(self.stream.read_buf(&mut self.read));
            read.poll(context)
        });
        let filled = filled.await;
        let is_within = self.open.is_some() || self.message.is_some() || !self.read.is_empty();
        match filled {
            Ok(0) if is_within => Err(SocketError::CutShort),
            Ok(0) => Err(SocketError::Closed(None)),
            Ok(count) => {
                self.received += count as u64;
                self.adapt(count, room);
                Ok(())
            }
            Err(_) if is_within => Err(SocketError::CutShort),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(SocketError::Closed(None))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a ping with the next wait.
    pub fn ping(&mut self) {
        self.unsent.put_control(PING, b"");
    }

    /// Sends a text message with the next wait.
    ///
    /// # Errors
    ///
    /// [`SocketError::Clogged`] when more than 1 MiB waits to be sent already, so that the host
    /// cannot be reading.
    pub fn send_text(&mut self, text: &str) -> Result<(), SocketError> {
        self.unsent.put_message(TEXT, text.as_bytes())
    }

    /// Says goodbye, with a code if there is one to tell (RFC 6455, section 7.4), and sends what
    /// waits. The host's answer is not waited for.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub async fn close(&mut self, code: Option<u16>) -> io::Result<()> {
        match code {
            Some(code) => self.unsent.put_control(CLOSE, &code.to_be_bytes()),
            None => self.unsent.put_control(CLOSE, b""),
        }
        poll_fn(
            |context| match self.unsent.poll_send(&mut self.stream, context) {
                Poll::Ready(Ok(())) => Pin::new(&mut self.stream).poll_shutdown(context),
                other => other,
            },
        )
        .await
    }

    /// Makes room for the rest of a payload, and at least for a good part of a read. Returns how much
    /// there is.
    fn make_room(&mut self) -> usize {
        let is_skipping = matches!(self.message, Some(Message::Skipped(..)));
        let wanted = self.open.filter(|_| !is_skipping);
        let wanted = wanted.map_or(0, |open| open.left);
        let missing = usize::try_from(wanted).unwrap_or(usize::MAX);
        let missing = missing.saturating_sub(self.read.len());
        if self.read.capacity() - self.read.len() < missing.max(self.read_size / 8) {
            self.read.reserve(missing.max(self.read_size));
        }
        self.read.capacity() - self.read.len()
    }

    /// Reads more at once while more comes, since each read costs a call of the system and a wait.
    fn adapt(&mut self, read: usize, room: usize) {
        let (least, most) = (*self.read_sizes.start(), *self.read_sizes.end());
        self.read_size = if read == room && room >= self.read_size {
            self.read_size.saturating_mul(2).min(most)
        } else if read < self.read_size / 8 {
            (self.read_size / 2).max(least)
        } else {
            self.read_size
        };
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
            Message::Skipped(why, bytes) => Some(Incoming::Skipped(why, bytes)),
        }
    }

    /// Reads the header of the next frame; `false` if more is needed.
    fn parse_header(&mut self) -> Result<bool, SocketError> {
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
            return Err(SocketError::Protocol("a reserved bit is set"));
        }
        if second & 0x80 != 0 {
            return Err(SocketError::Protocol("a server's message is masked"));
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

    /// Checks a frame against the message it belongs to, and decides what becomes of that.
    fn begin(&mut self, open: Open) -> Result<(), SocketError> {
        let new = match open.opcode {
            CLOSE | PING | PONG if !open.is_final || open.left > MAX_CONTROL => {
                let fault = "a control frame is long or in parts";
                return Err(SocketError::Protocol(fault));
            }
            CLOSE | PING | PONG => return Ok(()),
            CONTINUATION => None,
            TEXT if !self.takes_text => Some(Message::Skipped(Skipped::Text, 0)),
            TEXT | BINARY => Some(Message::Kept {
                is_text: open.opcode == TEXT,
                bytes: BytesMut::new(),
            }),
            _ => return Err(SocketError::Protocol("an unknown opcode")),
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
                return Err(SocketError::Protocol("a continuation of no message"));
            }
            (Some(_), Some(_)) => {
                return Err(SocketError::Protocol("a message begins within another"));
            }
        };
        // Parts may be empty, so their bytes alone are no bound.
        if self.parts > MAX_PARTS {
            return Err(SocketError::Protocol("a message in too many parts"));
        }
        let (why, before) = match &message {
            Message::Kept { bytes, .. } => (None, bytes.len() as u64),
            Message::Skipped(why, bytes) => (Some(*why), *bytes),
        };
        let bytes = before.saturating_add(open.left);
        if bytes > self.max_skipped {
            return Err(SocketError::TooLong(bytes));
        }
        let why = why.or_else(|| (bytes > self.max_bytes).then_some(Skipped::TooLarge));
        self.message = Some(match why {
            Some(why) => Message::Skipped(why, bytes),
            None => message,
        });
        Ok(())
    }

    fn control(&mut self, opcode: u8, payload: &[u8]) -> Result<Incoming, SocketError> {
        match opcode {
            PING => self.unsent.put_control(PONG, payload),
            CLOSE => {
                let said = match payload {
                    [high, low, reason @ ..] => {
                        let code = u16::from_be_bytes([*high, *low]);
                        let reason = short(&String::from_utf8_lossy(reason));
                        Some(format!(" with the code {code} {reason}"))
                    }
                    _ => None,
                };
                return Err(SocketError::Closed(said));
            }
            _ => {}
        }
        Ok(Incoming::Sign)
    }
}

impl std::fmt::Debug for Socket {
    /// Leaves out what has been read, which may be long.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket")
            .field("received", &self.received)
            .field("messages", &self.messages)
            .finish_non_exhaustive()
    }
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// How much is read at once if nothing else is asked for.
const READ_BYTES: usize = 64 << 10;
const LEAST_READ: usize = 1 << 10;
const MAX_CONTROL: u64 = 125;
const MAX_PARTS: u32 = 1 << 18;
/// A message that claims more is not waited for if nothing else is asked for.
const MAX_SKIPPED: u64 = 1 << 30;

#[cfg(test)]
mod tests;
