use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, BytesMut};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::AsyncWrite;

use super::error::SocketError;

/// Websocket frames that wait to be sent.
#[derive(Default)]
pub(crate) struct Unsent {
    bytes: BytesMut,
    needs_flush: bool,
}

impl Unsent {
    /// Sends as much as the stream takes.
    pub(crate) fn poll_send<S>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        while !self.bytes.is_empty() {
            match Pin::new(&mut *stream).poll_write(context, &self.bytes) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.bytes.advance(count),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            self.needs_flush = true;
        }
        if self.needs_flush {
            match Pin::new(stream).poll_flush(context) {
                Poll::Ready(Ok(())) => self.needs_flush = false,
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Returns how many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets what cannot be sent any more.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Queues a control frame, unless the host does not read: it is not owed every answer then.
    pub(crate) fn put_control(&mut self, opcode: u8, payload: &[u8]) {
        if self.len() <= MAX_CONTROLS {
            self.put(opcode, payload);
        }
    }

    /// Queues a message, unless the host cannot be reading.
    pub(crate) fn put_message(&mut self, opcode: u8, payload: &[u8]) -> Result<(), SocketError> {
        if self.len() > MAX_MESSAGES {
            return Err(SocketError::Clogged(self.len()));
        }
        self.put(opcode, payload);
        Ok(())
    }

    fn put(&mut self, opcode: u8, payload: &[u8]) {
        // The mask keeps intermediaries from being led astray by bytes that somebody chose
        // (RFC 6455, section 10.3).
        let mut mask = [0; 4];
        let _ = SystemRandom::new().fill(&mut mask);
        self.bytes.put_u8(FINAL | opcode);
        match payload.len() {
            length @ 0..126 => self.bytes.put_u8(MASKED | length as u8),
            length @ 126..0x1_0000 => {
                self.bytes.put_u8(MASKED | 126);
                self.bytes.put_u16(length as u16);
            }
            length => {
                self.bytes.put_u8(MASKED | 127);
                self.bytes.put_u64(length as u64);
            }
        }
        self.bytes.put_slice(&mask);
        let masked = payload.iter().zip(mask.iter().cycle());
        self.bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    }
}

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// With more bytes than that unsent, no further control frame is queued.
const MAX_CONTROLS: usize = 4 << 10;
/// With more bytes than that unsent, no further message is queued.
const MAX_MESSAGES: usize = 1 << 20;
