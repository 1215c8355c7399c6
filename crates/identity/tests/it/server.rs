//! Servers on loopback that answer as a test says, well or badly.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The behaviour of a server towards a request.
pub(crate) enum Reply {
    /// Sends these bytes and waits for the next request.
    Send(Vec<u8>),
    /// Sends these bytes and closes the connection.
    Close(Vec<u8>),
    /// Sends the first bytes, and then the second without end.
    Endless(Vec<u8>, Vec<u8>),
    /// Sends the first bytes, and then one more byte every 20 ms.
    Drip(Vec<u8>, u8),
    /// Says nothing and keeps the connection.
    Silent,
    /// Opens a websocket, sends these texts, and then closes it for this reason, or keeps it open.
    Stream(Vec<String>, Option<&'static str>),
    /// Waits until the gate is open, and then does this.
    After(watch::Receiver<bool>, Box<Self>),
}

/// A server, and the paths that it was asked for.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a server that is told the path of each request and its number, from 0.
    pub(crate) async fn start(
        answer: impl Fn(&str, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (answer, log) = (Arc::new(answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                tokio::spawn(async move { serve(stream, &*answer, &log).await });
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

/// An answer with this status, these header lines and this body.
pub(crate) fn response(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

pub(crate) fn ok(body: &str) -> Reply {
    Reply::Send(response(200, "", body))
}

pub(crate) fn status(status: u16) -> Reply {
    Reply::Send(response(status, "", ""))
}

async fn serve(
    mut stream: TcpStream,
    answer: &(impl Fn(&str, usize) -> Reply + Send + Sync),
    log: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    loop {
        let mut byte = [0];
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
        let path = text.split(' ').nth(1).unwrap().to_owned();
        let number = {
            let mut log = log.lock().unwrap();
            log.push(path.clone());
            log.len() - 1
        };
        let mut reply = answer(&path, number);
        if let Reply::After(mut gate, then) = reply {
            if gate.wait_for(|is_open| *is_open).await.is_err() {
                return;
            }
            reply = *then;
        }
        if !send(&mut stream, reply, &text).await {
            return;
        }
    }
}

/// Writes the reply. Returns `true` if the connection stays open.
async fn send(stream: &mut TcpStream, reply: Reply, head: &str) -> bool {
    match reply {
        Reply::Stream(texts, reason) => {
            let _ = stream.write_all(&websocket(head, &texts, reason)).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
            false
        }
        Reply::Send(bytes) => stream.write_all(&bytes).await.is_ok(),
        Reply::Close(bytes) => {
            let _ = stream.write_all(&bytes).await;
            false
        }
        Reply::Endless(first, again) => {
            let _ = stream.write_all(&first).await;
            while stream.write_all(&again).await.is_ok() {}
            false
        }
        Reply::Drip(first, byte) => {
            let _ = stream.write_all(&first).await;
            while stream.write_all(&[byte]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            false
        }
        Reply::Silent => {
            let _ = stream.read(&mut [0]).await;
            false
        }
        Reply::After(..) => panic!("one gate is enough"),
    }
}

/// All that is sent on a websocket after this request.
fn websocket(head: &str, texts: &[String], reason: Option<&str>) -> Vec<u8> {
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then_some(value)
    });
    let accept = derive_accept_key(key.unwrap().as_bytes());
    let upgrade = "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    let mut bytes = format!("{upgrade}Sec-WebSocket-Accept: {accept}\r\n\r\n").into_bytes();
    for text in texts {
        bytes.extend([0x81, 126]);
        bytes.extend((text.len() as u16).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    if let Some(reason) = reason {
        bytes.extend([0x88, reason.len() as u8 + 2]);
        bytes.extend(1008_u16.to_be_bytes());
        bytes.extend(reason.as_bytes());
    }
    bytes
}
