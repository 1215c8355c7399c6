use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::error::SocketError;

/// Where a body ends (RFC 9112, section 6).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// After a number of bytes.
    Length(usize),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    Close,
}

/// Reads a body whose beginning has been `read`, up to `limit` bytes; a longer one is cut there if
/// `cuts` says so, and otherwise an error.
pub(crate) async fn read_body<S>(
    stream: &mut S,
    mut read: BytesMut,
    end: BodyEnd,
    (limit, cuts): (usize, bool),
) -> Result<Vec<u8>, SocketError>
where
    S: AsyncRead + Unpin,
{
    let length = match end {
        BodyEnd::Length(length) => Some(length),
        BodyEnd::Chunked | BodyEnd::Close => None,
    };
    let too_long = Err(SocketError::Handshake("its body is too long"));
    // What says that it is too long is not waited for.
    if !cuts && length.is_some_and(|length| length > limit) {
        return too_long;
    }
    let mut content = Vec::new();
    let mut chunks = Chunks::default();
    loop {
        let is_complete = if end == BodyEnd::Chunked {
            chunks.take(&mut read, &mut content)?
        } else {
            content.extend_from_slice(&read);
            read.clear();
            // What follows the body is not of this answer.
            content.truncate(length.unwrap_or(usize::MAX));
            length == Some(content.len())
        };
        if content.len() > limit {
            content.truncate(limit);
            return if cuts { Ok(content) } else { too_long };
        }
        if is_complete {
            return Ok(content);
        }
        if read.len() > MAX_CHUNK_HEAD {
            return Err(SocketError::Handshake("its chunks are malformed"));
        }
        if stream.read_buf(&mut read).await? == 0 {
            return match end {
                BodyEnd::Close => Ok(content),
                _ => Err(SocketError::CutShort),
            };
        }
    }
}

/// A body in chunks (RFC 9112, section 7.1).
#[derive(Default)]
struct Chunks {
    /// The rest of the chunk, and of the line end after it.
    left: u64,
    line_end: usize,
}

impl Chunks {
    /// Moves content from what was read; `true` after the last chunk. Trailers are not read.
    fn take(&mut self, read: &mut BytesMut, content: &mut Vec<u8>) -> Result<bool, SocketError> {
        loop {
            let count = self.left.min(read.len() as u64) as usize;
            content.extend_from_slice(&read[..count]);
            read.advance(count);
            self.left -= count as u64;
            let count = self.line_end.min(read.len());
            if self.left == 0 {
                read.advance(count);
                self.line_end -= count;
            }
            if self.left > 0 || self.line_end > 0 {
                return Ok(false);
            }
            let fault = |_| SocketError::Handshake("its chunks are malformed");
            match httparse::parse_chunk_size(read).map_err(fault)? {
                httparse::Status::Partial => return Ok(false),
                httparse::Status::Complete((_, 0)) => return Ok(true),
                httparse::Status::Complete((start, length)) => {
                    read.advance(start);
                    self.left = length;
                    self.line_end = 2;
                }
            }
        }
    }
}

/// The line before a chunk is no longer than that.
const MAX_CHUNK_HEAD: usize = 16 << 10;
