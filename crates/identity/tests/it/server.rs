//! Servers on loopback that answer as a test says, well or badly.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a server does with a request.
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
    /// Waits until the gate is open, and then does this.
    After(watch::Receiver<bool>, Box<Reply>),
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
        if !send(&mut stream, reply).await {
            return;
        }
    }
}

/// Whether the connection goes on.
async fn send(stream: &mut TcpStream, reply: Reply) -> bool {
    match reply {
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
