//! A websocket client, and another that speaks nothing but TCP.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::log::soon;

/// A subscriber.
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Messages that arrived while the client was waiting for something else.
    early: Vec<Message>,
}

impl Client {
    pub(crate) async fn connect(
        address: SocketAddr,
        query: &str,
        headers: &[(&'static str, &'static str)],
    ) -> Self {
        Self::try_connect(address, query, headers).await.unwrap()
    }

    /// Connects, or gives the status, the content type and the body of the refusal.
    pub(crate) async fn try_connect(
        address: SocketAddr,
        query: &str,
        headers: &[(&'static str, &'static str)],
    ) -> Result<Self, Refusal> {
        let connected = Self::try_connect_to(address, "/subscribe", query, headers).await;
        connected.map(|(client, _)| client)
    }

    /// Connects to a route, and gives the subprotocol that the server has chosen too.
    pub(crate) async fn try_connect_to(
        address: SocketAddr,
        route: &str,
        query: &str,
        headers: &[(&'static str, &'static str)],
    ) -> Result<(Self, Option<String>), Refusal> {
        let url = format!("ws://{address}{route}?{query}");
        let mut request = url.into_client_request().unwrap();
        for &(name, value) in headers {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let config = WebSocketConfig::default().max_message_size(None);
        let connect = tokio_tungstenite::connect_async_with_config(request, Some(config), true);
        match soon(connect).await {
            Ok((socket, response)) => {
                let protocol = response.headers().get("sec-websocket-protocol");
                let protocol = protocol.map(|name| name.to_str().unwrap().to_owned());
                let early = Vec::new();
                Ok((Self { socket, early }, protocol))
            }
            Err(tungstenite::Error::Http(response)) => {
                let kind = response.headers().get("content-type");
                let kind = kind.map_or("", |kind| kind.to_str().unwrap());
                Err(Refusal {
                    status: response.status().as_u16(),
                    content_type: kind.to_owned(),
                    body: String::from_utf8(response.body().clone().unwrap()).unwrap(),
                })
            }
            Err(error) => panic!("{query}: {error}"),
        }
    }

    pub(crate) async fn send(&mut self, message: Message) {
        soon(self.socket.send(message)).await.unwrap();
    }

    /// Sends an `options_update` with a payload.
    pub(crate) async fn update(&mut self, payload: &str) {
        let text = format!(r#"{{"type":"options_update","payload":{payload}}}"#);
        self.send(Message::text(text)).await;
    }

    /// Pings and waits for the answer: what was sent before has then been acted upon.
    pub(crate) async fn settle(&mut self) {
        self.send(Message::Ping("settle".into())).await;
        loop {
            match soon(self.socket.next()).await.unwrap().unwrap() {
                Message::Pong(payload) if payload == "settle" => return,
                Message::Close(frame) => panic!("closed: {frame:?}"),
                Message::Ping(_) => {}
                message => self.early.push(message),
            }
        }
    }

    /// The messages before the pong, which were kept back.
    pub(crate) fn take_early(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.early)
    }

    /// The next message that is not a ping or pong.
    pub(crate) async fn message(&mut self) -> Message {
        if !self.early.is_empty() {
            return self.early.remove(0);
        }
        loop {
            match soon(self.socket.next()).await.unwrap().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    /// The next message of any sort.
    pub(crate) async fn raw(&mut self) -> Message {
        soon(self.socket.next()).await.unwrap().unwrap()
    }

    /// The next message, which is text.
    pub(crate) async fn text(&mut self) -> String {
        match self.message().await {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("not text: {other:?}"),
        }
    }

    /// The next message, which is binary.
    pub(crate) async fn binary(&mut self) -> Vec<u8> {
        match self.message().await {
            Message::Binary(bytes) => bytes.to_vec(),
            other => panic!("not binary: {other:?}"),
        }
    }

    /// The next `count` messages, which are text.
    pub(crate) async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::with_capacity(count);
        while texts.len() < count {
            texts.push(self.text().await);
        }
        texts
    }

    /// The events of the playback: what comes before the notice that it has met the tip.
    pub(crate) async fn playback(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            let text = self.text().await;
            if text.starts_with(r#"{"kind":"caughtUp""#) {
                return texts;
            }
            texts.push(text);
        }
    }

    /// Reads until the server closes, and gives its code and reason.
    pub(crate) async fn closed(mut self) -> (u16, String) {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.as_str().to_owned());
                }
                Some(Ok(Message::Close(None))) => panic!("closed without a code"),
                Some(Ok(_)) => {}
                other => panic!("not closed but ended: {other:?}"),
            }
        }
    }

    /// Closes properly, and gives the server's answer.
    pub(crate) async fn close(mut self) -> (u16, String) {
        soon(self.socket.close(None)).await.unwrap();
        self.closed().await
    }
}

/// The answer that came instead of a websocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

/// A subscriber by hand, which does nothing unless told.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Raw {
    /// Connects with a small receive buffer, and shakes hands.
    pub(crate) async fn subscribe(address: SocketAddr, query: &str) -> Self {
        let mut raw = Self::connect_narrow(address).await;
        let head = raw.upgrade("/subscribe", query, "").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw
    }

    /// Connects a socket, and shakes hands.
    pub(crate) async fn subscribe_on(socket: TcpSocket, address: SocketAddr, query: &str) -> Self {
        let mut raw = Self::on(socket, address).await;
        let head = raw.upgrade("/subscribe", query, "").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw
    }

    /// Connects without a word.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::on(TcpSocket::new_v4().unwrap(), address).await
    }

    /// The same with a small receive buffer.
    pub(crate) async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        Self::on(socket, address).await
    }

    async fn on(socket: TcpSocket, address: SocketAddr) -> Self {
        Self {
            stream: soon(socket.connect(address)).await.unwrap(),
            buffer: Vec::new(),
        }
    }

    /// Asks for a websocket, and gives the head of the answer.
    pub(crate) async fn upgrade(&mut self, route: &str, query: &str, headers: &str) -> String {
        let request = format!(
            "GET {route}?{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: \
             websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \
             dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.head().await
    }

    /// The head of an HTTP answer.
    async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.buffer.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(self.more().await, "the answer ends in its head");
        }
    }

    /// Whether more bytes have come. A connection that was reset has come to its end as well.
    async fn more(&mut self) -> bool {
        soon(self.stream.read_buf(&mut self.buffer))
            .await
            .unwrap_or(0)
            > 0
    }

    /// The next frame: its first byte and its payload. `None` at the end of the stream, which must
    /// not be within a frame.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        self.try_frame().await.expect("the stream ends in a frame")
    }

    /// As [`frame`](Self::frame), but an error where the stream ends within a frame.
    pub(crate) async fn try_frame(&mut self) -> Result<Option<(u8, Vec<u8>)>, Cut> {
        loop {
            if let Some((first, start, length)) = frame_head(&self.buffer)
                && self.buffer.len() >= start + length
            {
                let payload = self.buffer[start..start + length].to_vec();
                self.buffer.drain(..start + length);
                return Ok(Some((first, payload)));
            }
            if !self.more().await {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(Cut)
                };
            }
        }
    }

    /// Sends one masked frame.
    pub(crate) async fn send(&mut self, first: u8, payload: &[u8]) {
        let mut bytes = vec![first];
        match payload.len() {
            length @ 0..=125 => bytes.push(0x80 | length as u8),
            length => {
                bytes.push(0xff);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        let mask = [7, 11, 13, 17];
        bytes.extend(mask);
        let masked = payload.iter().zip(mask.iter().cycle());
        bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
        soon(self.stream.write_all(&bytes)).await.unwrap();
    }
}

/// The stream ended within a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut;

/// A frame's first byte, where its payload starts, and how long that is.
fn frame_head(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let length = *bytes.get(1)?;
    assert!(length < 0x80, "a server's frame is not masked");
    Some(match length {
        126 => {
            let length = bytes.get(2..4)?.try_into().unwrap();
            (bytes[0], 4, u16::from_be_bytes(length).into())
        }
        127 => {
            let length = bytes.get(2..10)?.try_into().unwrap();
            (bytes[0], 10, u64::from_be_bytes(length) as usize)
        }
        length => (bytes[0], 2, length.into()),
    })
}

/// Sends bytes, and gives the whole answer of a server that is asked to close.
pub(crate) async fn http(address: SocketAddr, request: &str) -> (String, String) {
    let (head, body) = http_bytes(address, request).await;
    (head, String::from_utf8(body).unwrap())
}

/// The same for an answer whose body is not text.
pub(crate) async fn http_bytes(address: SocketAddr, request: &str) -> (String, Vec<u8>) {
    let mut stream = soon(TcpStream::connect(address)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let body = answer.split_off(end.unwrap() + 4);
    (
        String::from_utf8(answer).unwrap().to_ascii_lowercase(),
        body,
    )
}
