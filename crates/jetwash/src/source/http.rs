//! The little of HTTP/1.1 that comes before a websocket: a request, and the head of its answer.

use std::fmt::Write;
use std::io;
use std::time::{Duration, SystemTime};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use url::Url;

use super::endpoint::{host_of, port_of};
use super::error::RelayError;

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    /// Bytes that were read beyond it.
    pub(super) rest: BytesMut,
}

impl Head {
    /// A header's value, if it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(listed, _)| listed.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// For how long the server does not want to be asked again, at most a quarter of an hour.
    pub(super) fn retry_after(&self, now: SystemTime) -> Option<Duration> {
        let text = self.header("retry-after")?.trim();
        if text.is_empty() {
            return None;
        }
        let wait = match text.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            // More seconds than can be counted.
            Err(_) if text.bytes().all(|byte| byte.is_ascii_digit()) => LONGEST_RETRY,
            Err(_) => {
                let date = httpdate::parse_http_date(text).ok()?;
                date.duration_since(now).unwrap_or_default()
            }
        };
        Some(wait.min(LONGEST_RETRY))
    }

    /// Reads a body that says how long it is, if it is short and of text.
    pub(super) async fn read_body<S>(&mut self, stream: &mut S) -> Option<String>
    where
        S: AsyncRead + Unpin,
    {
        let length: usize = self.header("content-length")?.trim().parse().ok()?;
        if length > MAX_BODY {
            return None;
        }
        while self.rest.len() < length {
            if stream.read_buf(&mut self.rest).await.ok()? == 0 {
                return None;
            }
        }
        String::from_utf8(self.rest.split_to(length).to_vec()).ok()
    }

    /// Checks that the answer opens a websocket (RFC 6455, section 4.1).
    fn check(&self, key: &str) -> Result<(), RelayError> {
        let has = |name: &str, token: &str| {
            let mut tokens = self.header(name).unwrap_or_default().split(',');
            tokens.any(|listed| listed.trim().eq_ignore_ascii_case(token))
        };
        let accept = derive_accept_key(key.as_bytes());
        if !has("upgrade", "websocket") || !has("connection", "upgrade") {
            return Err(RelayError::Handshake(
                "it does not say `Upgrade: websocket`",
            ));
        }
        if self.header("sec-websocket-accept").map(str::trim) != Some(accept.as_str()) {
            return Err(RelayError::Handshake("its `Sec-WebSocket-Accept` is wrong"));
        }
        if self.header("sec-websocket-extensions").is_some() {
            return Err(RelayError::Handshake("it uses an extension not asked for"));
        }
        if self.header("sec-websocket-protocol").is_some() {
            return Err(RelayError::Handshake("it uses a protocol not asked for"));
        }
        Ok(())
    }
}

/// Asks for a websocket. An answer other than 101 is given as it is; 101 has been checked.
pub(super) async fn upgrade<S>(
    stream: &mut S,
    url: &Url,
    headers: impl Iterator<Item = (&str, &str)>,
) -> Result<Head, RelayError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let key = generate_key();
    let path = url.path();
    let mark = if url.query().is_some() { "?" } else { "" };
    let query = url.query().unwrap_or_default();
    let mut request = format!(
        "GET {path}{mark}{query} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n",
        authority(url, false),
    );
    for (name, value) in headers {
        // Writing to a string cannot fail.
        let _ = write!(request, "{name}: {value}\r\n");
    }
    request.push_str("\r\n");
    let head = exchange(stream, &request).await?;
    if head.status == 101 {
        head.check(&key)?;
    }
    Ok(head)
}

/// Asks a proxy for a connection to the host of `url`.
pub(super) async fn tunnel<S>(
    stream: &mut S,
    url: &Url,
    agent: &str,
    authorization: Option<&str>,
) -> Result<Head, RelayError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let host = authority(url, true);
    let mut request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\n");
    if let Some(authorization) = authorization {
        let _ = write!(request, "Proxy-Authorization: {authorization}\r\n");
    }
    request.push_str("\r\n");
    exchange(stream, &request).await
}

/// Host and port; the usual port only if it has to be there.
fn authority(url: &Url, with_port: bool) -> String {
    let host = host_of(url);
    let port = if with_port {
        Some(port_of(url))
    } else {
        url.port()
    };
    port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

async fn exchange<S>(stream: &mut S, request: &str) -> Result<Head, RelayError>
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
            return Err(RelayError::Handshake("its head is too long"));
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

fn parse(read: &mut BytesMut) -> Result<Option<Head>, RelayError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let fault = |_| RelayError::Handshake("it is not HTTP/1.1");
    let httparse::Status::Complete(length) = response.parse(read).map_err(fault)? else {
        return Ok(None);
    };
    let no_code = RelayError::Handshake("it has no status code");
    let status = response.code.ok_or(no_code)?;
    let headers = response.headers.iter();
    let headers = headers
        .filter_map(|header| {
            let value = std::str::from_utf8(header.value).ok()?;
            Some((header.name.to_owned(), value.to_owned()))
        })
        .collect();
    read.advance(length);
    Ok(Some(Head {
        status,
        headers,
        rest: std::mem::take(read),
    }))
}

const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 64;
/// The longest refusal that is read.
const MAX_BODY: usize = 4 << 10;
const LONGEST_RETRY: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        parse(&mut BytesMut::from(text)).unwrap().unwrap()
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        // Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110, is 784,111,777 s after 1970.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        for (text, seconds) in [
            ("7", Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("99999999", Some(900)),
            ("99999999999999999999999999", Some(900)),
            ("-5", None),
            ("", None),
            ("Sun, 06 Nov 1983 08:49:37 GMT", Some(0)),
            ("soon", None),
        ] {
            let answer = format!("HTTP/1.1 429 Slow down\r\nRetry-After: {text}\r\n\r\n");
            let wait = head(&answer).retry_after(now);
            assert_eq!(wait, seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[tokio::test]
    async fn a_body_is_read_if_it_is_short_and_comes_whole() {
        for (length, sent, body) in [
            ("5", "hello and more", Some("hello")),
            ("5", "hell", None),
            ("4097", "hello", None),
            ("-1", "hello", None),
        ] {
            let answer = format!("HTTP/1.1 409 Conflict\r\nContent-Length: {length}\r\n\r\nhe");
            let mut head = head(&answer);
            let mut rest = &sent.as_bytes()[2..];
            assert_eq!(head.read_body(&mut rest).await.as_deref(), body, "{length}");
        }
    }

    #[test]
    fn what_follows_the_head_is_kept() {
        let head =
            head("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\u{2}\u{1}a");
        assert_eq!((head.status, &head.rest[..]), (101, &b"\x02\x01a"[..]));
    }
}
