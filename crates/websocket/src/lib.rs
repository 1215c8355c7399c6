//! The client's end of a websocket (RFC 6455), bounded in all that a host sends.
//!
//! A program that follows a stream for months meets hosts that send too much, too little, or
//! something else. Here, each of that has a limit and an error:
//!
//! - A [`Socket`] reads messages without copying them. One that is longer than its limit is read
//!   past as it comes, told as [`Incoming::Skipped`], and the next is read.
//! - A [`Request`] asks for the websocket over HTTP/1.1, and a [`Head`] is what the host answers.
//! - [`interleave`] and [`race`] connect to the first of a host's addresses that answers.
//! - [`Backoff`] says how long to wait before the next attempt.
//!
//! A socket works over any [`Stream`] of bytes: TLS and proxies are the caller's. Extensions, such
//! as compression of messages, are not asked for, and refused.
//!
//! # Examples
//!
//! ```
//! use jetwash_websocket::{Incoming, Request, Socket};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # async fn serve(mut server: tokio::io::DuplexStream) -> std::io::Result<()> {
//! #     let mut request = Vec::new();
//! #     while !request.ends_with(b"\r\n\r\n") {
//! #         request.push(server.read_u8().await?);
//! #     }
//! #     let request = String::from_utf8(request).unwrap();
//! #     let (_, key) = request.split_once("Sec-WebSocket-Key: ").unwrap();
//! #     let (key, _) = key.split_once("\r\n").unwrap();
//! #     use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
//! #     let accept = derive_accept_key(key.as_bytes());
//! #     let head = format!(
//! #         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
//! #          Sec-WebSocket-Accept: {accept}\r\n\r\n"
//! #     );
//! #     server.write_all(head.as_bytes()).await?;
//! #     server.write_all(b"\x81\x05hello\x82\x7e\x20\x00").await?;
//! #     server.write_all(&[0; 8192]).await?;
//! #     server.write_all(b"\x82\x02ok\x88\x00").await
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (server, mut stream) = tokio::io::duplex(1 << 16);
//! # tokio::spawn(serve(server));
//! // `stream` is connected to a host, with or without TLS.
//! let request = Request::get("host.example", "/subscribe").header("User-Agent", "reader/1");
//! let head = request.upgrade(&mut stream, None).await?;
//! assert_eq!(head.status, 101);
//!
//! // Messages of up to 4 KiB are taken. The host sends three, the second of 8 KiB.
//! let mut socket = Socket::new(Box::new(stream), head.rest, 4096);
//! assert_eq!(socket.next().await?, Incoming::Text("hello".into()));
//! assert!(matches!(socket.next().await?, Incoming::Skipped(_, 8192)));
//! assert_eq!(socket.next().await?, Incoming::Binary("ok".into()));
//! let end = socket.next().await.unwrap_err();
//! assert_eq!(end.to_string(), "the host closed it");
//! # Ok(())
//! # }
//! ```

mod address;
mod backoff;
mod body;
mod error;
mod head;
mod incoming;
mod request;
mod socket;
mod unsent;

pub use address::{interleave, race};
pub use backoff::Backoff;
pub use error::{SocketError, short};
pub use head::Head;
pub use incoming::{Incoming, Skipped};
pub use request::Request;
pub use socket::{Socket, Stream};
