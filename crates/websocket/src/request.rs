use std::fmt::Write;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::error::SocketError;
use super::head::Head;

/// A request over HTTP/1.1: for a websocket, for a short file, or for a way through a proxy.
///
/// Control characters in what it is made of are left out, so that no text can end a header and begin
/// another.
///
/// # Examples
///
/// ```
/// use jetwash_websocket::Request;
/// use tokio::io::AsyncWriteExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), jetwash_websocket::SocketError> {
/// let (mut host, mut stream) = tokio::io::duplex(1024);
/// host.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await?;
///
/// let request = Request::get("host.example", "/file").header("Connection", "close");
/// let mut head = request.send(&mut stream).await?;
/// assert_eq!(head.status, 200);
/// assert_eq!(head.body(&mut stream, 100).await?, b"hi");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Request {
    /// All but the empty line.
    text: String,
}

impl Request {
    /// Asks a host for a path, with its query. `authority` is the host as its URL names it, with the
    /// port if it is not the usual one.
    pub fn get(authority: &str, path: &str) -> Self {
        let slash = if path.starts_with('/') { "" } else { "/" };
        Self::new("GET", &format!("{slash}{path}"), authority)
    }

    /// Asks a proxy for a connection to a host. `authority` is that host, always with its port.
    pub fn connect(authority: &str) -> Self {
        Self::new("CONNECT", authority, authority)
    }

    fn new(method: &str, target: &str, host: &str) -> Self {
        let target = printable(target);
        let text = format!("{method} {target} HTTP/1.1\r\n");
        Self { text }.header("Host", host)
    }

    /// Adds a header. Those of a websocket are added by [`upgrade`](Self::upgrade).
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let (name, value) = (printable(name), printable(value));
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{name}: {value}\r\n");
        self
    }

    /// Sends the request and reads the head of the answer. The body is read with [`Head::body`].
    ///
    /// # Errors
    ///
    /// When the connection fails, or the head is malformed or longer than 16 KiB.
    pub async fn send<S>(mut self, stream: &mut S) -> Result<Head, SocketError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.text.push_str("\r\n");
        stream.write_all(self.text.as_bytes()).await?;
        stream.flush().await?;
        let mut read = BytesMut::with_capacity(4096);
        loop {
            if let Some(head) = Head::parse(&mut read)? {
                return Ok(head);
            }
            if read.len() > MAX_HEAD {
                return Err(SocketError::Handshake("its head is too long"));
            }
            if stream.read_buf(&mut read).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// Asks for a websocket. An answer other than 101 is returned as it is; 101 has been checked.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and when an answer of 101 does not fit what was asked for: it has
    /// another key, an extension, or a subprotocol that is not `subprotocol`.
    pub async fn upgrade<S>(
        self,
        stream: &mut S,
        subprotocol: Option<&str>,
    ) -> Result<Head, SocketError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut nonce = [0; 16];
        let drawn = SystemRandom::new().fill(&mut nonce);
        drawn.map_err(|_| io::Error::other("the system has no randomness"))?;
        let key = STANDARD.encode(nonce);
        let mut request = self
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", &key);
        if let Some(subprotocol) = subprotocol {
            request = request.header("Sec-WebSocket-Protocol", subprotocol);
        }
        let head = request.send(stream).await?;
        if head.status == 101 {
            head.check(&key, subprotocol)?;
        }
        Ok(head)
    }
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

const MAX_HEAD: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_begins_another_header() {
        let request = Request::get("a.example\r\nX: 1", "p?q=\r\n\r\nGET / HTTP/1.1");
        let request = request
            .header("User-Agent", "a\nb\u{85}c")
            .header("N\r\nM", "v");
        let expected = "GET /p?q=GET / HTTP/1.1 HTTP/1.1\r\nHost: a.exampleX: 1\r\n\
                        User-Agent: abc\r\nNM: v\r\n";
        assert_eq!(request.text, expected);
        let request = Request::connect("relay.example:443");
        let expected = "CONNECT relay.example:443 HTTP/1.1\r\nHost: relay.example:443\r\n";
        assert_eq!(request.text, expected);
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_short_or_without_end_is_an_error() {
        for (answer, error) in [
            ("HTTP/1.1 200 OK\r\nServer:".to_owned(), "end of file"),
            (
                format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(40_000)),
                "its head is too long",
            ),
            ("SSH-2.0-x\r\n".to_owned(), "it is not HTTP/1.1"),
        ] {
            let (mut host, mut stream) = tokio::io::duplex(1024);
            let sending = tokio::spawn(async move { host.write_all(answer.as_bytes()).await });
            let outcome = Request::get("a.example", "/").send(&mut stream).await;
            let told = outcome.unwrap_err().to_string();
            assert!(told.contains(error), "{told}");
            drop(stream);
            let _ = sending.await.unwrap();
        }
    }
}
