use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, BytesMut};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::io::AsyncRead;

use super::body::{BodyEnd, read_body};
use super::error::SocketError;

/// The head of an answer over HTTP/1.1.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use bytes::BytesMut;
/// use jetwash_websocket::Head;
///
/// let answer = "HTTP/1.1 429 Slow down\r\nRetry-After: 7\r\nServer: x\r\n\r\nafter it";
/// let head = Head::parse(&mut BytesMut::from(answer))?.expect("the head is complete");
/// assert_eq!((head.status, head.header("server")), (429, Some("x")));
/// assert_eq!(head.retry_after(), Some(Duration::from_secs(7)));
/// assert_eq!(head.rest, "after it");
/// # Ok::<(), jetwash_websocket::SocketError>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Bytes that were read beyond it: the beginning of the body, or of the websocket.
    pub rest: BytesMut,
    headers: Vec<(String, String)>,
}

impl Head {
    /// The longest time that a host may ask to be left alone.
    pub const LONGEST_RETRY: Duration = Duration::from_secs(15 * 60);

    /// Reads a head from the front of what has come; `None` if more is needed.
    ///
    /// # Errors
    ///
    /// [`SocketError::Handshake`] when it is not the head of an answer, or has more than 64 headers.
    pub fn parse(read: &mut BytesMut) -> Result<Option<Self>, SocketError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let fault = |_| SocketError::Handshake("it is not HTTP/1.1");
        let httparse::Status::Complete(length) = response.parse(read).map_err(fault)? else {
            return Ok(None);
        };
        let no_code = SocketError::Handshake("it has no status code");
        let status = response.code.ok_or(no_code)?;
        let headers = response.headers.iter().filter_map(|header| {
            let value = std::str::from_utf8(header.value).ok()?;
            Some((header.name.to_owned(), value.to_owned()))
        });
        let headers = headers.collect();
        read.advance(length);
        Ok(Some(Self {
            status,
            rest: std::mem::take(read),
            headers,
        }))
    }

    /// Returns the value of a header, if it is text. The case of names does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(listed, _)| listed.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    /// For how long the host does not want to be asked again, up to a quarter of an hour. A date is
    /// not read: it would depend on two clocks.
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.header("retry-after")?;
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // More seconds than can be counted are many.
        let wait = text
            .parse()
            .map_or(Self::LONGEST_RETRY, Duration::from_secs);
        Some(wait.min(Self::LONGEST_RETRY))
    }

    /// Reads the body, of up to `limit` bytes. A body that says no length ends with the connection.
    ///
    /// # Errors
    ///
    /// [`SocketError::Handshake`] when it is longer or malformed; [`SocketError::CutShort`] when the
    /// connection ends before it.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use jetwash_websocket::Head;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), jetwash_websocket::SocketError> {
    /// let answer = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf";
    /// let mut head = Head::parse(&mut BytesMut::from(answer))?.expect("the head is complete");
    /// let mut stream = &b" way"[..];
    /// assert_eq!(head.body(&mut stream, 100).await?, b"half way");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn body<S>(&mut self, stream: &mut S, limit: usize) -> Result<Vec<u8>, SocketError>
    where
        S: AsyncRead + Unpin,
    {
        let end = self.end_of_body()?;
        read_body(stream, std::mem::take(&mut self.rest), end, (limit, false)).await
    }

    /// Reads the first `limit` bytes of the body, or all if it is shorter: for a text that says why
    /// a request was refused.
    ///
    /// # Errors
    ///
    /// As [`body`](Self::body), but not because it is long.
    pub async fn start_of_body<S>(
        &mut self,
        stream: &mut S,
        limit: usize,
    ) -> Result<Vec<u8>, SocketError>
    where
        S: AsyncRead + Unpin,
    {
        let end = self.end_of_body()?;
        read_body(stream, std::mem::take(&mut self.rest), end, (limit, true)).await
    }

    fn end_of_body(&self) -> Result<BodyEnd, SocketError> {
        let coding = self.header("transfer-encoding");
        if coding.is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Ok(BodyEnd::Chunked);
        }
        match self.header("content-length").map(str::parse) {
            Some(Ok(length)) => Ok(BodyEnd::Length(length)),
            Some(Err(_)) => Err(SocketError::Handshake("its length is not a number")),
            None => Ok(BodyEnd::Close),
        }
    }

    /// Checks that the answer opens a websocket (RFC 6455, section 4.1).
    pub(crate) fn check(&self, key: &str, subprotocol: Option<&str>) -> Result<(), SocketError> {
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
        Err(SocketError::Handshake(fault))
    }
}

/// The answer to a key (RFC 6455, section 4.2.2).
fn accept_key(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

const MAX_HEADERS: usize = 64;

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn head(text: &str) -> Head {
        Head::parse(&mut BytesMut::from(text)).unwrap().unwrap()
    }

    #[test]
    fn the_answer_to_a_key_is_that_of_the_specification() {
        // The example of RFC 6455, section 1.3.
        let answer = accept_key("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn an_answer_that_does_not_open_a_websocket_is_refused_with_its_fault() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let right = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\
                     Connection: keep-alive, Upgrade\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        for (from, to, asked, fault) in [
            ("", "", None, None),
            ("Upgrade: WebSocket", "Upgrade: h2c", None, Some("`Upgrade")),
            ("keep-alive, Upgrade", "close", None, Some("`Upgrade")),
            ("+xOo=", "+xOO=", None, Some("`Sec-WebSocket-Accept`")),
            (
                "",
                "Sec-WebSocket-Extensions: x\r\n",
                None,
                Some("extension"),
            ),
            (
                "",
                "Sec-WebSocket-Protocol: a\r\n",
                None,
                Some("subprotocol"),
            ),
            (
                "",
                "Sec-WebSocket-Protocol: a\r\n",
                Some("b"),
                Some("subprotocol"),
            ),
            ("", "Sec-WebSocket-Protocol: a\r\n", Some("a"), None),
            ("", "", Some("a"), None),
        ] {
            let answer = match from {
                "" => format!("{right}{to}\r\n"),
                from => format!("{}\r\n", right.replace(from, to)),
            };
            let checked = head(&answer).check(key, asked);
            let told = checked.map_err(|error| error.to_string());
            match fault {
                None => assert_eq!(told, Ok(()), "{answer}"),
                Some(fault) => assert!(told.unwrap_err().contains(fault), "{answer}"),
            }
        }
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

    #[test]
    fn what_follows_the_head_is_kept() {
        let head =
            head("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\u{2}\u{1}a");
        assert_eq!((head.status, &head.rest[..]), (101, &b"\x02\x01a"[..]));
    }

    async fn body_of(answer: &str, limit: usize, cuts: bool) -> Result<Vec<u8>, SocketError> {
        let (text, rest) = answer.split_once("\r\n\r\n").unwrap();
        let mut head = head(&format!("{text}\r\n\r\n"));
        // One byte at a time shows that no piece may end where it likes.
        let (mut near, mut far) = tokio::io::duplex(1);
        let rest = rest.to_owned();
        tokio::spawn(async move { far.write_all(rest.as_bytes()).await });
        match cuts {
            true => head.start_of_body(&mut near, limit).await,
            false => head.body(&mut near, limit).await,
        }
    }

    #[tokio::test]
    async fn bodies_of_each_sort_are_read_and_bounded() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nhello",
        ] {
            assert_eq!(
                body_of(answer, 5, false).await.unwrap(),
                b"hello",
                "{answer}"
            );
            body_of(answer, 4, false).await.unwrap_err();
            assert_eq!(body_of(answer, 4, true).await.unwrap(), b"hell", "{answer}");
        }
        let short = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";
        let cut = body_of(short, 9, false).await;
        assert!(matches!(cut, Err(SocketError::CutShort)), "{cut:?}");
        let wrong = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
        body_of(wrong, 9, false).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_body_is_read_if_it_is_short_and_comes_whole() {
        for (length, sent, body) in [
            ("5", "hello and more", Ok("hello")),
            ("5", "hell", Err("it broke off within a message")),
            (
                "4097",
                "hello",
                Err("the answer is not a websocket's: its body is too long"),
            ),
            (
                "-1",
                "hello",
                Err("the answer is not a websocket's: its length is not a number"),
            ),
        ] {
            let answer = format!("HTTP/1.1 409 Conflict\r\nContent-Length: {length}\r\n\r\nhe");
            let mut head = head(&answer);
            let mut rest = &sent.as_bytes()[2..];
            let read = head.body(&mut rest, 4096).await;
            let read = read.map_err(|error| error.to_string());
            let expected = body.map(|text| text.as_bytes().to_vec());
            assert_eq!(read, expected.map_err(str::to_owned), "{length}");
        }
    }
}
