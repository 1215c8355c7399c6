//! A client that knows nothing of the firehose's own code.

use futures_util::{SinkExt, StreamExt};
use jetwash::frame::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async, connect_async};

use crate::relay::{Served, seq_of};

pub(crate) struct Client(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    pub(crate) async fn connect(url: &str) -> Result<Self, Error> {
        Ok(Self(connect_async(url).await?.0))
    }

    /// Connects with a socket that buffers next to nothing.
    pub(crate) async fn narrow(served: &Served, query: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(served.address).await.unwrap();
        let stream = MaybeTlsStream::Plain(stream);
        let (socket, _) = client_async(served.url(query), stream).await.unwrap();
        Self(socket)
    }

    /// The next message, which has to be binary.
    pub(crate) async fn next(&mut self) -> Vec<u8> {
        loop {
            match self.0.next().await.unwrap().unwrap() {
                Message::Binary(frame) => return frame.to_vec(),
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The frames that come next have to be these, to the byte.
    pub(crate) async fn expect(&mut self, frames: &[Vec<u8>]) {
        for expected in frames {
            let found = self.next().await;
            assert_eq!(seq_of(&found), seq_of(expected));
            assert!(found == *expected, "other bytes");
        }
    }

    /// The name of the `#info` that comes next.
    pub(crate) async fn info(&mut self) -> String {
        let frame = self.next().await;
        match Frame::decode(&frame) {
            Ok(Frame::Info(info)) => info.name.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// The name of the error that comes next.
    pub(crate) async fn error(&mut self) -> String {
        let frame = self.next().await;
        match Frame::decode(&frame) {
            Ok(Frame::Error(error)) => error.error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// Code and reason of the close that has to come next.
    pub(crate) async fn close(&mut self) -> (u16, String) {
        match self.0.next().await.unwrap().unwrap() {
            Message::Close(Some(close)) => (close.code.into(), close.reason.to_string()),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }
}

/// The status of a request that is not upgraded, and its head and body.
pub(crate) async fn refused(served: &Served, query: &str) -> (u16, String) {
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    ask(served, "GET", query, upgrade).await
}

pub(crate) async fn ask(
    served: &Served,
    method: &str,
    query: &str,
    headers: &str,
) -> (u16, String) {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let path = "/xrpc/com.atproto.sync.subscribeRepos";
    let connection = if headers.contains("Connection") {
        ""
    } else {
        "Connection: close\r\n"
    };
    let head = format!("{method} {path}{query} HTTP/1.1\r\nHost: x\r\n{headers}{connection}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    // A refused upgrade may keep the connection for another request.
    while !answer.ends_with(b"}") {
        let count = stream.read(&mut part).await.unwrap();
        if count == 0 {
            break;
        }
        answer.extend_from_slice(&part[..count]);
        if answer.starts_with(b"HTTP/1.1 101") {
            break;
        }
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}
