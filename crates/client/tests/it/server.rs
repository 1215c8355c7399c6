//! A server for tests: what it sends is up to the test.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;

use jetwash_client::{Client, ClientEvent, ClientItem};

/// The longest that a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An answer that opens no websocket: status, further headers, body.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: "",
            body: body.into(),
        }
    }
}

type Rule = dyn Fn(&Asked) -> Option<Answer> + Send + Sync;

/// The request of a client.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    /// In lower case.
    pub(crate) headers: HashMap<String, String>,
}

impl Asked {
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let pairs = self.query.iter().filter(|(key, _)| key == name);
        pairs.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub(crate) fn cursor(&self) -> Option<u64> {
        self.one("cursor").map(|cursor| cursor.parse().unwrap())
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    connections: mpsc::UnboundedReceiver<Connection>,
    refused: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An open websocket, from the server's side.
pub(crate) struct Connection {
    pub(crate) asked: Asked,
    pub(crate) socket: WebSocketStream<TcpStream>,
}

impl Server {
    /// A server of version 1 that knows no other path.
    pub(crate) async fn v1() -> Self {
        Self::with(|asked| (asked.path != "/subscribe").then(|| Answer::new(404, "Not Found")))
            .await
    }

    /// A server of version 2, without dictionaries.
    pub(crate) async fn v2() -> Self {
        Self::with(|asked| (asked.path != V2_PATH).then(|| Answer::new(404, "Not Found"))).await
    }

    /// A server that gives the answer of the rule, or else opens a websocket.
    pub(crate) async fn with(
        rule: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, connections) = mpsc::unbounded_channel();
        let refused = Arc::new(Mutex::new(Vec::new()));
        let rule: Arc<Rule> = Arc::new(rule);
        let log = Arc::clone(&refused);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (rule, sender, log) = (Arc::clone(&rule), sender.clone(), Arc::clone(&log));
                tokio::spawn(accept(stream, rule, sender, log));
            }
        });
        Self {
            address,
            connections,
            refused,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The next websocket that a client opens.
    pub(crate) async fn accept(&mut self) -> Connection {
        let next = timeout(PATIENCE, self.connections.recv()).await;
        next.expect("no client has connected").unwrap()
    }

    /// The requests that opened no websocket.
    pub(crate) fn refused(&self) -> Vec<Asked> {
        self.refused.lock().unwrap().clone()
    }
}

async fn accept(
    mut stream: TcpStream,
    rule: Arc<Rule>,
    sender: mpsc::UnboundedSender<Connection>,
    log: Arc<Mutex<Vec<Asked>>>,
) {
    let mut head = vec![0; 1 << 20];
    let asked = loop {
        let Ok(count) = stream.peek(&mut head).await else {
            return;
        };
        if count == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&head[..count]).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            break asked_of(head);
        }
        tokio::task::yield_now().await;
    };
    if let Some(answer) = rule(&asked) {
        log.lock().unwrap().push(asked);
        // What is not read would reset the connection.
        let count = stream.read(&mut head).await.unwrap();
        assert!(count > 0);
        let Answer {
            status,
            headers,
            body,
        } = answer;
        let length = body.len();
        let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{headers}\r\n");
        let _ = stream.write_all(text.as_bytes()).await;
        let _ = stream.write_all(&body).await;
        let _ = stream.shutdown().await;
        return;
    }
    #[allow(clippy::result_large_err, reason = "the type is given by the library")]
    let callback = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        if let Some(offered) = request.headers().get("sec-websocket-protocol") {
            response
                .headers_mut()
                .insert("sec-websocket-protocol", offered.clone());
        }
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        Ok(response)
    };
    if let Ok(socket) = tokio_tungstenite::accept_hdr_async(stream, callback).await {
        let _ = sender.send(Connection { asked, socket });
    }
}

fn asked_of(head: &str) -> Asked {
    let mut lines = head.split("\r\n");
    let target = lines.next().unwrap().split(' ').nth(1).unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (key, value) = pair.split_once('=').unwrap();
        (key.to_owned(), value.replace("%25", "%"))
    });
    let headers = lines.filter_map(|line| line.split_once(": "));
    Asked {
        path: path.to_owned(),
        query: pairs.collect(),
        headers: headers
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect(),
    }
}

impl Connection {
    pub(crate) async fn text(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    pub(crate) async fn binary(&mut self, bytes: impl Into<Vec<u8>>) {
        self.socket
            .send(Message::binary(bytes.into()))
            .await
            .unwrap();
    }

    /// Sends what it can, and says whether the client was still there.
    pub(crate) async fn try_text(&mut self, text: impl Into<String>) -> bool {
        self.socket.send(Message::text(text.into())).await.is_ok()
    }

    /// The next message of the client, pings and pongs left out.
    pub(crate) async fn message(&mut self) -> Option<String> {
        loop {
            let next = timeout(PATIENCE, self.socket.next()).await;
            match next.expect("the client sends nothing") {
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return None,
            }
        }
    }

    /// Waits until the client has closed.
    pub(crate) async fn closed(&mut self) {
        assert_eq!(self.message().await, None);
    }

    /// Ends without a word, as when a machine is switched off.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

pub(crate) const V2_PATH: &str = "/xrpc/network.bsky.jetstream.subscribeEvents";

/// A like of version 1, the `n`th of its account at this time.
pub(crate) fn line(n: u64, time_us: u64) -> String {
    format!(
        r#"{{"did":"did:web:a{n}.example","time_us":{time_us},"kind":"commit","commit":{{"rev":"{}","operation":"create","collection":"app.bsky.feed.like","rkey":"3l3qo2vuowo2b","record":{{"n":{n}}},"cid":"{CID}"}}}}"#,
        rev(n),
    )
}

/// The same event in version 2.
pub(crate) fn frame(n: u64, seq: u64, time_us: u64) -> String {
    format!(
        r#"{{"$type":"message","payload":{{"$type":"network.bsky.jetstream.subscribeEvents#commit","cid":"{CID}","collection":"app.bsky.feed.like","did":"did:web:a{n}.example","operation":"create","record":{{"n":{n}}},"rev":"{}","rkey":"3l3qo2vuowo2b","seq":{seq},"time":"{}"}}}}"#,
        rev(n),
        timestamp(time_us),
    )
}

/// A TID for a number.
fn rev(n: u64) -> String {
    const DIGITS: &[u8] = b"234567abcdefghijklmnopqrstuvwxyz";
    let digit = |place: u32| char::from(DIGITS[(n >> (5 * place)) as usize & 31]);
    format!("3l3qo2v{}{}{}{}22", digit(3), digit(2), digit(1), digit(0))
}

/// Times of one day only: 4 July 2026.
fn timestamp(time_us: u64) -> String {
    let us = time_us - MIDNIGHT;
    let (seconds, fraction) = (us / 1_000_000, us % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("2026-07-04T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

/// 4 July 2026, midnight: `date -u -d 2026-07-04 +%s`.
const MIDNIGHT: u64 = 1_783_123_200_000_000;
/// Noon of that day.
pub(crate) const DAY: u64 = MIDNIGHT + 43_200_000_000;
pub(crate) const CID: &str = "bafyreib25swk3a6waplk2ie75u4a3qfejnkoiezfowuz7sa74i7tief3di";

/// The number of the event that [`line`] or [`frame`] made.
pub(crate) fn number(event: &ClientEvent) -> u64 {
    let did = event.did().strip_prefix("did:web:a").unwrap();
    did.strip_suffix(".example").unwrap().parse().unwrap()
}

/// The next item.
pub(crate) async fn item(client: &mut Client) -> ClientItem {
    let next = timeout(PATIENCE, client.next()).await;
    next.expect("no item comes")
        .expect("the stream has ended")
        .unwrap()
}

/// The next event; what is not an event is passed over, but gaps and malformed messages fail.
pub(crate) async fn event(client: &mut Client) -> ClientEvent {
    loop {
        match item(client).await {
            ClientItem::Event(event) => return event,
            ClientItem::Connected(_) | ClientItem::Disconnected(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The numbers of the next events.
pub(crate) async fn numbers(client: &mut Client, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        numbers.push(number(&event(client).await));
    }
    numbers
}

/// The next item that is neither an event nor about connections.
pub(crate) async fn notice(client: &mut Client) -> ClientItem {
    loop {
        match item(client).await {
            ClientItem::Connected(_) | ClientItem::Disconnected(_) => {}
            other => return other,
        }
    }
}
