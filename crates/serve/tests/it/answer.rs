//! A client of events over plain HTTP, which speaks nothing but TCP.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::log::{World, soon};

pub(crate) const SSE: &str = "Accept: text/event-stream\r\n";

/// An answer whose body is read bit by bit.
pub(crate) struct Answer {
    stream: TcpStream,
    /// In lower case.
    pub(crate) head: String,
    raw: Vec<u8>,
    /// The part of the body that has been decoded, and not been taken.
    body: Vec<u8>,
    /// Whether the body is whole, once it has ended.
    is_whole: Option<bool>,
}

impl Answer {
    pub(crate) async fn get(address: SocketAddr, target: &str, headers: &str) -> Self {
        Self::get_on(TcpSocket::new_v4().unwrap(), address, target, headers).await
    }

    pub(crate) async fn get_on(
        socket: TcpSocket,
        address: SocketAddr,
        target: &str,
        headers: &str,
    ) -> Self {
        let stream = soon(socket.connect(address)).await.unwrap();
        Self::ask(stream, "GET", target, headers).await
    }

    /// Asks on a connection that is open already.
    pub(crate) async fn ask(
        mut stream: TcpStream,
        method: &str,
        target: &str,
        headers: &str,
    ) -> Self {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Self {
            stream,
            head: String::new(),
            raw: Vec::new(),
            body: Vec::new(),
            is_whole: None,
        };
        loop {
            let end = answer.raw.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head = answer.raw.drain(..end + 4).collect();
                answer.head = String::from_utf8(head).unwrap().to_ascii_lowercase();
                return answer;
            }
            let read = soon(answer.stream.read_buf(&mut answer.raw)).await.unwrap();
            assert!(read > 0, "the answer ends in its head");
        }
    }

    /// The connection, after an answer that is whole.
    pub(crate) fn into_stream(self) -> TcpStream {
        assert_eq!(self.is_whole, Some(true));
        assert!(self.raw.is_empty());
        self.stream
    }

    pub(crate) fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Decodes the chunks that have come.
    fn decode(&mut self) {
        while self.is_whole.is_none() {
            let Some(end) = self.raw.windows(2).position(|two| two == b"\r\n") else {
                return;
            };
            let size = std::str::from_utf8(&self.raw[..end]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            let start = end + 2;
            if self.raw.len() < start + size + 2 {
                return;
            }
            assert_eq!(&self.raw[start + size..start + size + 2], b"\r\n");
            self.body.extend(&self.raw[start..start + size]);
            self.raw.drain(..start + size + 2);
            if size == 0 {
                self.is_whole = Some(true);
            }
        }
    }

    /// Reads on; `false` at the end.
    async fn more(&mut self) -> bool {
        if self.is_whole.is_some() {
            return false;
        }
        // A connection that was reset has come to its end as well.
        let read = soon(self.stream.read_buf(&mut self.raw)).await;
        if read.unwrap_or(0) == 0 {
            self.is_whole = Some(false);
        }
        self.decode();
        true
    }

    /// The body up to a mark, and with it.
    async fn until(&mut self, mark: &[u8]) -> Option<String> {
        self.decode();
        loop {
            let found = self.body.windows(mark.len()).position(|some| some == mark);
            if let Some(start) = found {
                let piece = self.body.drain(..start + mark.len()).collect();
                return Some(String::from_utf8(piece).unwrap());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next line.
    pub(crate) async fn line(&mut self) -> Option<String> {
        let line = self.until(b"\n").await?;
        Some(line.trim_end_matches('\n').to_owned())
    }

    pub(crate) async fn lines(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::with_capacity(count);
        while lines.len() < count {
            lines.push(self.line().await.expect("there are more lines"));
        }
        lines
    }

    /// The text of the next event stream's block, with the empty line at its end.
    pub(crate) async fn block(&mut self) -> Option<String> {
        self.until(b"\n\n").await
    }

    /// The rest of the body, and whether it is whole.
    pub(crate) async fn rest(&mut self) -> (String, bool) {
        self.decode();
        while self.more().await {}
        let body = std::mem::take(&mut self.body);
        (String::from_utf8(body).unwrap(), self.is_whole.unwrap())
    }
}

/// An answer that has a length: its status and its body.
pub(crate) async fn refusal(address: SocketAddr, target: &str, headers: &str) -> (u16, Value) {
    let mut answer = Answer::get(address, target, headers).await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/json"),
        "{target}"
    );
    let length: usize = answer.header("content-length").unwrap().parse().unwrap();
    while answer.raw.len() < length {
        assert!(soon(answer.stream.read_buf(&mut answer.raw)).await.unwrap() > 0);
    }
    (
        answer.status(),
        serde_json::from_slice(&answer.raw).unwrap(),
    )
}

/// The lines of an answer that has to be whole.
pub(crate) async fn all_lines(world: &World, target: &str) -> Vec<String> {
    let mut answer = Answer::get(world.address, target, "").await;
    assert_eq!(answer.status(), 200, "{target}: {}", answer.head);
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let (body, is_whole) = answer.rest().await;
    assert!(is_whole, "{target} is cut off");
    assert!(body.is_empty() || body.ends_with('\n'));
    body.lines().map(str::to_owned).collect()
}

/// A browser's `EventSource`, by the standard (HTML, section 9.2.6).
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// Begun lines.
    rest: Vec<u8>,
    data: String,
    kind: String,
    id: String,
    /// The id that it would send when it comes back.
    pub(crate) last_id: String,
    pub(crate) retry: Option<u64>,
    /// The type and the data of each event.
    pub(crate) events: Vec<(String, String)>,
}

impl Source {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.rest.extend(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.line(std::str::from_utf8(&line[..end]).unwrap());
        }
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            self.last_id.clone_from(&self.id);
            let kind = std::mem::take(&mut self.kind);
            let data = std::mem::take(&mut self.data);
            if let Some(data) = data.strip_suffix('\n') {
                let kind = if kind.is_empty() {
                    "message".to_owned()
                } else {
                    kind
                };
                self.events.push((kind, data.to_owned()));
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => {}
            "data" => {
                self.data += value;
                self.data.push('\n');
            }
            "event" => value.clone_into(&mut self.kind),
            "id" => value.clone_into(&mut self.id),
            "retry" => self.retry = Some(value.parse().unwrap()),
            other => panic!("an unknown field: {other}"),
        }
    }

    /// Comes back: what it has begun is forgotten, and what it has seen is not.
    pub(crate) fn reconnect(&mut self) {
        *self = Self {
            id: self.last_id.clone(),
            last_id: self.last_id.clone(),
            events: std::mem::take(&mut self.events),
            ..Self::default()
        };
    }

    /// The headers of its next request.
    pub(crate) fn headers(&self) -> String {
        match &*self.last_id {
            "" => SSE.to_owned(),
            id => format!("{SSE}Last-Event-ID: {id}\r\n"),
        }
    }

    /// The data of those without a name.
    pub(crate) fn messages(&self) -> Vec<String> {
        let messages = self.events.iter().filter(|(kind, _)| kind == "message");
        messages.map(|(_, data)| data.clone()).collect()
    }

    /// Reads an answer to its end.
    pub(crate) async fn read_all(&mut self, world: &World, target: &str) {
        let mut answer = Answer::get(world.address, target, &self.headers()).await;
        if answer.status() == 204 {
            return;
        }
        assert_eq!(answer.status(), 200, "{target}: {}", answer.head);
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        let (body, is_whole) = answer.rest().await;
        assert!(is_whole, "{target} is cut off");
        self.feed(body.as_bytes());
    }
}
