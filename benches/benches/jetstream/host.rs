//! A host of a Jetstream that sends bytes it has made before.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use jetwash::Dictionary;

/// A host on loopback, for one client. Its thread's own processor time is known, so that it can be
/// left out.
pub(crate) struct Host {
    pub(crate) url: String,
    used: Arc<AtomicU64>,
}

impl Host {
    /// Serves the dictionary and, to each websocket, all messages.
    pub(crate) fn start(messages: Arc<Vec<u8>>, dictionary: Dictionary) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let used = Arc::new(AtomicU64::new(0));
        let shared = Arc::clone(&used);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                // A client that has gone has all that it wanted.
                let _ = serve(stream, &messages, &dictionary, &shared);
            }
        });
        Self { url, used }
    }

    /// The nanoseconds that its thread has used.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

fn serve(
    mut stream: TcpStream,
    mut messages: &[u8],
    dictionary: &Dictionary,
    used: &AtomicU64,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then_some(value)
    });
    let Some(key) = key else {
        let length = dictionary.bytes().len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(answer.as_bytes())?;
        return stream.write_all(dictionary.bytes());
    };
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes())?;
    while !messages.is_empty() {
        let (now, later) = messages.split_at(messages.len().min(CHUNK));
        stream.write_all(now)?;
        messages = later;
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        used.store(
            time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64,
            Ordering::Relaxed,
        );
    }
    // The connection stays until the client has gone.
    stream.read_to_end(&mut Vec::new()).map(drop)
}

/// Messages as a server sends them.
pub(crate) fn websocket_frames(first: u8, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        bytes.push(first);
        if message.len() < 126 {
            bytes.push(message.len() as u8);
        } else {
            bytes.push(126);
            bytes.extend((message.len() as u16).to_be_bytes());
        }
        bytes.extend_from_slice(message);
    }
    bytes
}

const CHUNK: usize = 256 << 10;
