//! The little of HTTP/1.1 that a websocket and a dictionary need.

use std::fmt::Write;
use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, BytesMut};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::error::ConnectionError;

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    /// Bytes that were read beyond it.
    pub(super) rest: BytesMut,
}

impl Head {
    /// Returns a header's value, if it is text.
    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(listed, _)| listed.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    /// For how long the host does not want to be asked again, up to a quarter of an hour. A date
    /// is not read: it would depend on two clocks.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let text = self.header("retry-after")?;
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let wait = text.parse().map_or(LONGEST_RETRY, Duration::from_secs);
        Some(wait.min(LONGEST_RETRY))
    }

    /// Checks that the answer opens a websocket (RFC 6455, section 4.1).
    fn check(&self, key: &str, subprotocol: Option<&str>) -> Result<(), ConnectionError> {
        let has = |name: &str, token: &str| {
            let mut tokens = self.header(name).unwrap_or_default().split(',');
            tokens.any(|listed| listed.trim().eq_ignore_ascii_case(token))
        };
        let fault = if !has("upgrade", "websocket") || !has("connection", "upgrade") {
            "it does not say `Upgrade: websocket`"
        } else if self.header("sec-websocket-accept") != Some(&accept_key(key)) {
            "its `Sec-WebSocket-Accept` is wrong"
        } else if self.header("sec-websocket-extensions").is_some() {
            "it uses an extension not asked for"
        } else if self
            .header("sec-websocket-protocol")
            .is_some_and(|it| Some(it) != subprotocol)
        {
            "it uses a subprotocol not asked for"
        } else {
            return Ok(());
        };
        Err(ConnectionError::Handshake(fault))
    }
}

/// A request for a path at a host.
pub(super) struct Request<'a> {
    pub(super) authority: &'a str,
    pub(super) path: &'a str,
    /// Further headers.
    pub(super) headers: &'a [(String, String)],
}

impl Request<'_> {
    fn start(&self) -> String {
        let slash = if self.path.starts_with('/') { "" } else { "/" };
        let (path, host) = (self.path, self.authority);
        let mut text = format!("GET {slash}{path} HTTP/1.1\r\nHost: {host}\r\n");
        for (name, value) in self.headers {
            // Writing to a string cannot fail.
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text
    }

    /// Asks for a websocket. An answer other than 101 is returned as it is; 101 has been checked.
    pub(super) async fn upgrade<S>(
        &self,
        stream: &mut S,
        subprotocol: Option<&str>,
    ) -> Result<Head, ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut nonce = [0; 16];
        let drawn = SystemRandom::new().fill(&mut nonce);
        drawn.map_err(|_| io::Error::other("the system has no randomness"))?;
        let key = STANDARD.encode(nonce);
        let mut text = self.start();
        let _ = write!(
            text,
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {key}\r\n"
        );
        if let Some(subprotocol) = subprotocol {
            let _ = write!(text, "Sec-WebSocket-Protocol: {subprotocol}\r\n");
        }
        text.push_str("\r\n");
        let head = exchange(stream, &text).await?;
        if head.status == 101 {
            head.check(&key, subprotocol)?;
        }
        Ok(head)
    }

    /// Asks for a file. Its content is read with [`body`].
    pub(super) async fn get<S>(&self, stream: &mut S) -> Result<Head, ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut text = self.start();
        text.push_str("Connection: close\r\n\r\n");
        exchange(stream, &text).await
    }
}

/// Reads the body of an answer, up to `limit` bytes; a longer one is cut there if `cuts` says so,
/// and otherwise an error.
pub(super) async fn body<S>(
    stream: &mut S,
    head: &mut Head,
    limit: usize,
    cuts: bool,
) -> Result<Vec<u8>, ConnectionError>
where
    S: AsyncRead + Unpin,
{
    let is_chunked = head
        .header("transfer-encoding")
        .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    let length = head.header("content-length").map(str::parse::<usize>);
    let length = match length {
        _ if is_chunked => None,
        Some(Ok(length)) => Some(length),
        Some(Err(_)) => return Err(ConnectionError::Handshake("its length is not a number")),
        None => None,
    };
    let too_long = Err(ConnectionError::Handshake("its body is too long"));
    let mut read = std::mem::take(&mut head.rest);
    let mut content = Vec::new();
    let mut chunks = Chunks::default();
    loop {
        let is_complete = if is_chunked {
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
        if read.len() > MAX_HEAD {
            return Err(ConnectionError::Handshake("its chunks are malformed"));
        }
        if stream.read_buf(&mut read).await? == 0 {
            return match length {
                None if !is_chunked => Ok(content),
                _ => Err(ConnectionError::CutShort),
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
    fn take(
        &mut self,
        read: &mut BytesMut,
        content: &mut Vec<u8>,
    ) -> Result<bool, ConnectionError> {
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
            let fault = |_| ConnectionError::Handshake("its chunks are malformed");
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

async fn exchange<S>(stream: &mut S, request: &str) -> Result<Head, ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut read = BytesMut::with_capacity(4096);
    loop {
        if let Some(head) = parse(&mut read)? {
            return Ok(head);
        }
        if read.len() > MAX_HEAD {
            return Err(ConnectionError::Handshake("its head is too long"));
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

fn parse(read: &mut BytesMut) -> Result<Option<Head>, ConnectionError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let fault = |_| ConnectionError::Handshake("it is not HTTP/1.1");
    let httparse::Status::Complete(length) = response.parse(read).map_err(fault)? else {
        return Ok(None);
    };
    let no_code = ConnectionError::Handshake("it has no status code");
    let status = response.code.ok_or(no_code)?;
    let headers = response.headers.iter().filter_map(|header| {
        let value = std::str::from_utf8(header.value).ok()?;
        Some((header.name.to_owned(), value.to_owned()))
    });
    let headers = headers.collect();
    read.advance(length);
    Ok(Some(Head {
        status,
        headers,
        rest: std::mem::take(read),
    }))
}

/// The answer to a key (RFC 6455, section 4.2.2).
fn accept_key(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 64;
const LONGEST_RETRY: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        parse(&mut BytesMut::from(text)).unwrap().unwrap()
    }

    #[test]
    fn the_answer_to_a_key_is_that_of_the_specification() {
        // The example of RFC 6455, section 1.3.
        let answer = accept_key("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn retry_after_is_seconds_and_bounded() {
        for (text, seconds) in [
            ("7", Some(7)),
            ("99999999", Some(900)),
            ("99999999999999999999999999", Some(900)),
            ("-5", None),
            ("", None),
            ("soon", None),
        ] {
            let answer = format!("HTTP/1.1 429 Slow down\r\nRetry-After: {text}\r\n\r\n");
            let wait = head(&answer).retry_after();
            assert_eq!(wait, seconds.map(Duration::from_secs), "{text}");
        }
    }

    async fn body_of(answer: &str, limit: usize) -> Result<Vec<u8>, ConnectionError> {
        let (text, rest) = answer.split_once("\r\n\r\n").unwrap();
        let mut head = head(&format!("{text}\r\n\r\n"));
        // One byte at a time shows that no piece may end where it likes.
        let (mut near, mut far) = tokio::io::duplex(1);
        let rest = rest.to_owned();
        tokio::spawn(async move { far.write_all(rest.as_bytes()).await });
        body(&mut near, &mut head, limit, false).await
    }

    #[tokio::test]
    async fn bodies_of_each_sort_are_read_and_bounded() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nhello",
        ] {
            assert_eq!(body_of(answer, 5).await.unwrap(), b"hello", "{answer}");
            body_of(answer, 4).await.unwrap_err();
        }
        let short = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";
        assert!(matches!(
            body_of(short, 9).await,
            Err(ConnectionError::CutShort)
        ));
        let wrong = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
        body_of(wrong, 9).await.unwrap_err();
    }
}
