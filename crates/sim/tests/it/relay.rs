//! The relay on loopback: cursors, slow readers, documents and repositories.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use ipld_core::ipld::Ipld;
use jetwash_sim::{Network, NetworkConfig, Rate, RelayConfig, SimEvent, SimFrame, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::{config, oracle};

/// A relay of its own, stopped when dropped.
struct Relay {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Relay {
    async fn start(network: NetworkConfig, relay: RelayConfig) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // So small that a reader that does not read is noticed soon.
        socket.set_send_buffer_size(8 * 1024).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener: TcpListener = socket.listen(16).unwrap();
        let address = listener.local_addr().unwrap();
        let network = Network::new(network).unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { _ = stopped.await };
        Self {
            address,
            stop,
            task: tokio::spawn(serve(listener, network, relay, shutdown)),
        }
    }

    async fn subscribe(&self, query: &str) -> Reader {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let url = format!(
            "ws://{}/xrpc/com.atproto.sync.subscribeRepos{query}",
            self.address
        );
        Reader(client_async(url, stream).await.unwrap().0)
    }

    /// Status and body of an answer.
    async fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let body = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap()
            + 4;
        let status = str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
        (status, answer.split_off(body))
    }

    async fn get_json(&self, path: &str) -> (u16, serde_json::Value) {
        let (status, body) = self.get(path).await;
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// Asks again and again until the relay has come that far.
    async fn until_seq(&self, seq: u64) {
        while self.get_json("/_health").await.1["seq"].as_u64().unwrap() < seq {}
    }
}

struct Reader(WebSocketStream<TcpStream>);

impl Reader {
    /// The next frame, or `None` when the relay has closed the stream.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Binary(frame))) => return Some(frame.to_vec()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while frames.len() < count {
            frames.push(self.next().await.unwrap());
        }
        frames
    }
}

fn truth(count: usize) -> Vec<SimFrame> {
    Network::new(config(31, 20)).unwrap().take(count).collect()
}

fn max(frames: u64) -> RelayConfig {
    RelayConfig {
        rate: Rate::Max,
        frames: Some(frames),
        ..RelayConfig::default()
    }
}

fn endless(history_frames: usize) -> RelayConfig {
    RelayConfig {
        rate: Rate::Max,
        history_frames,
        ..RelayConfig::default()
    }
}

fn seq(frame: &[u8]) -> u64 {
    match oracle::decode(frame).1["seq"] {
        Ipld::Integer(seq) => seq.try_into().unwrap(),
        ref other => panic!("seq: {other:?}"),
    }
}

#[tokio::test]
async fn readers_get_the_frames_of_the_network() {
    let relay = Relay::start(config(31, 20), max(300)).await;
    let mut readers = [
        relay.subscribe("?cursor=0").await,
        relay.subscribe("?cursor=0").await,
    ];
    let truth = truth(300);
    for reader in &mut readers {
        for (got, expected) in reader.take(300).await.iter().zip(&truth) {
            assert_eq!(*got, expected.bytes);
        }
    }
}

#[tokio::test]
async fn a_relay_that_waits_for_its_first_reader_gives_it_all() {
    for rate in ["max", "200"] {
        let config_of_relay = RelayConfig {
            rate: rate.parse().unwrap(),
            wait_for_reader: true,
            ..max(100)
        };
        let relay = Relay::start(config(31, 20), config_of_relay).await;
        let mut reader = relay.subscribe("").await;
        let expected: Vec<_> = truth(100).into_iter().map(|frame| frame.bytes).collect();
        assert_eq!(reader.take(100).await, expected, "{rate}");
    }
}

#[tokio::test]
async fn a_paced_relay_sends_on_its_own() {
    let rate = "200".parse().unwrap();
    let relay = RelayConfig {
        rate,
        ..RelayConfig::default()
    };
    let relay = Relay::start(config(31, 20), relay).await;
    let mut reader = relay.subscribe("").await;
    let frames = reader.take(30).await;
    let first = seq(&frames[0]);
    assert!(frames.iter().map(|frame| seq(frame)).eq(first..first + 30));
}

#[tokio::test]
async fn a_cursor_replays_what_is_behind_it() {
    let relay = Relay::start(config(31, 20), max(100)).await;
    relay.until_seq(100).await;
    let truth = truth(100);
    for (query, first) in [("?cursor=0", 1), ("?cursor=40", 41), ("?cursor=99", 100)] {
        let frames = relay.subscribe(query).await.take(101 - first).await;
        let expected = truth[first - 1..].iter().map(|frame| &frame.bytes);
        assert!(frames.iter().eq(expected), "{query}");
    }
}

#[tokio::test]
async fn a_cursor_before_what_is_kept_is_told_so() {
    let config_of_relay = RelayConfig {
        history_frames: 10,
        ..max(100)
    };
    let relay = Relay::start(config(31, 20), config_of_relay).await;
    relay.until_seq(100).await;
    let mut reader = relay.subscribe("?cursor=5").await;
    let (kind, info) = oracle::decode(&reader.next().await.unwrap());
    assert_eq!(kind, "#info");
    assert_eq!(oracle::text(&info, "name"), "OutdatedCursor");
    let seqs: Vec<u64> = reader
        .take(10)
        .await
        .iter()
        .map(|frame| seq(frame))
        .collect();
    assert!(seqs.into_iter().eq(91..=100));
}

#[tokio::test]
async fn a_cursor_in_the_future_is_an_error() {
    let relay = Relay::start(config(31, 20), max(10)).await;
    relay.until_seq(10).await;
    let mut reader = relay.subscribe("?cursor=11").await;
    let (kind, error) = oracle::decode(&reader.next().await.unwrap());
    assert_eq!(kind, "error");
    assert_eq!(oracle::text(&error, "error"), "FutureCursor");
    assert_eq!(reader.next().await, None);
    // The last one there is is not in the future.
    let mut reader = relay.subscribe("?cursor=9").await;
    assert_eq!(seq(&reader.next().await.unwrap()), 10);
}

#[tokio::test]
async fn a_cursor_that_is_no_number_is_refused() {
    let relay = Relay::start(config(31, 20), max(0)).await;
    let stream = TcpStream::connect(relay.address).await.unwrap();
    let url = format!(
        "ws://{}/xrpc/com.atproto.sync.subscribeRepos?cursor=-1",
        relay.address
    );
    let error = client_async(url, stream).await.unwrap_err().to_string();
    assert!(error.contains("400"), "{error}");
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_told_so() {
    let relay = RelayConfig {
        rate: "1000000".parse().unwrap(),
        history_frames: 50,
        ..RelayConfig::default()
    };
    let relay = Relay::start(config(31, 20), relay).await;
    let mut reader = relay.subscribe("").await;
    let first = seq(&reader.next().await.unwrap());
    relay.until_seq(first + 1000).await;
    let mut received = 1;
    let last = loop {
        let frame = reader.next().await.unwrap();
        let (kind, message) = oracle::decode(&frame);
        if kind == "error" {
            break message;
        }
        received += 1;
    };
    assert_eq!(oracle::text(&last, "error"), "ConsumerTooSlow");
    assert!(received < 1000, "{received}");
    assert_eq!(reader.next().await, None);
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_dropped_after_the_timeout() {
    let relay = RelayConfig {
        send_timeout: Duration::from_millis(500),
        ..endless(20)
    };
    let relay = Relay::start(config(31, 20), relay).await;
    let mut stuck = relay.subscribe("").await;
    let mut reader = relay.subscribe("").await;
    // Far more than is kept and what the sockets hold: the stuck one is no longer waited for.
    let frames = reader.take(1500).await;
    let first = seq(&frames[0]);
    assert!(
        frames
            .iter()
            .map(|frame| seq(frame))
            .eq(first..first + 1500)
    );
    let mut received = 0;
    while stuck.next().await.is_some() {
        received += 1;
    }
    assert!(received < 1000, "{received}");
}

#[tokio::test]
async fn at_the_greatest_rate_the_slowest_reader_sets_the_pace() {
    let relay = Relay::start(config(31, 20), endless(20)).await;
    let mut slow = relay.subscribe("").await;
    let first = seq(&slow.next().await.unwrap());
    // It reads on only after many other things were asked and answered.
    for _ in 0..50 {
        assert_eq!(relay.get("/_health").await.0, 200);
    }
    let frames = slow.take(500).await;
    assert!(
        frames
            .iter()
            .map(|frame| seq(frame))
            .eq(first + 1..first + 501)
    );
}

#[tokio::test]
async fn what_readers_say_is_ignored_and_pings_are_answered() {
    let relay = Relay::start(config(31, 20), max(10)).await;
    let mut reader = relay.subscribe("?cursor=0").await;
    reader.take(10).await;
    reader.0.send(Message::text("hello")).await.unwrap();
    reader.0.send(Message::Ping(vec![7].into())).await.unwrap();
    let answer = reader.0.next().await.unwrap().unwrap();
    assert_eq!(answer, Message::Pong(vec![7].into()));
}

#[tokio::test]
async fn documents_are_those_of_the_network() {
    let relay = Relay::start(config(31, 20), max(0)).await;
    let network = Network::new(config(31, 20)).unwrap();
    let did = network.dids().next().unwrap();
    let (status, document) = relay.get_json(&format!("/{did}")).await;
    assert_eq!(status, 200);
    let expected: serde_json::Value =
        serde_json::from_str(&network.did_document(did).unwrap()).unwrap();
    assert_eq!(document, expected);
    assert_eq!(document["id"], did);

    let (status, error) = relay.get_json("/did:plc:aaaaaaaaaaaaaaaaaaaaaaaa").await;
    assert_eq!(status, 404);
    assert_eq!(
        error["message"],
        "DID not registered: did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
    );
}

#[tokio::test]
async fn repositories_are_those_of_the_network() {
    let relay = Relay::start(config(31, 20), max(60)).await;
    relay.until_seq(60).await;
    let mut network = Network::new(config(31, 20)).unwrap();
    let author = network
        .by_ref()
        .take(60)
        .filter(|frame| matches!(frame.event, SimEvent::Commit(_)))
        .last()
        .unwrap()
        .did;
    let path = format!("/xrpc/com.atproto.sync.getRepo?did={author}");
    let (status, car) = relay.get(&path).await;
    assert_eq!(status, 200);
    assert_eq!(car, network.repo_car(&author).unwrap());

    let (status, error) = relay
        .get_json("/xrpc/com.atproto.sync.getRepo?did=did:plc:a")
        .await;
    assert_eq!((status, &error["error"]), (400, &"RepoNotFound".into()));
    let (status, error) = relay.get_json("/xrpc/com.atproto.sync.getRepo").await;
    assert_eq!((status, &error["error"]), (400, &"InvalidRequest".into()));
}

#[tokio::test]
async fn a_relay_stops_when_told_to() {
    let relay = Relay::start(config(31, 20), max(10)).await;
    let mut reader = relay.subscribe("?cursor=0").await;
    reader.take(10).await;
    relay.stop.send(()).unwrap();
    relay.task.await.unwrap().unwrap();
    assert_eq!(reader.next().await, None);
}

#[test]
fn rates_are_read_from_text() {
    assert_eq!("max".parse(), Ok(Rate::Max));
    assert_eq!("343".parse(), Ok(Rate::default()));
    for text in ["0", "-1", "1.5", "", "Max", "4294967296"] {
        assert!(text.parse::<Rate>().is_err(), "{text}");
    }
}
