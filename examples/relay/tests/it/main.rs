//! Both streams, over real sockets.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::net::SocketAddr;

use futures_util::StreamExt;
use jetwash::frame::Frame;
use jetwash::{Jetstream, NetworkConfig};
use jetwash_serve::{HttpLimits, serve_http};
use jetwash_sim::{Network, ScriptedConnection, ScriptedRelay};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A relay behind a scripted one.
struct Relay {
    address: SocketAddr,
    jetstream: Jetstream,
    source: String,
    stop: oneshot::Sender<()>,
    upstream: ScriptedConnection,
}

impl Relay {
    async fn start() -> Self {
        let mut upstream = ScriptedRelay::start().await.unwrap();
        let source = upstream.url();
        let (jetstream, ingest) = Jetstream::builder()
            .relay(&source)
            .keep_frames(1 << 20)
            .build()
            .unwrap();
        let router = relay::Relay::new(jetstream.clone(), &source)
            .unwrap()
            .router();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = serve_http(
            listener,
            router,
            HttpLimits::default(),
            std::future::pending(),
        );
        tokio::spawn(serving);
        let (stop, stopped) = oneshot::channel::<()>();
        let run = ingest.run(async { drop(stopped.await) });
        tokio::spawn(async { run.await.unwrap() });
        Self {
            address,
            jetstream,
            source,
            stop,
            upstream: upstream.accept().await.unwrap(),
        }
    }

    /// Has upstream send frames, and waits until they are kept.
    async fn take_in(&mut self, frames: &[Vec<u8>]) {
        self.upstream.send(frames.to_vec()).await.unwrap();
        let last = jetwash::frame::peek(frames.last().unwrap()).unwrap().seq;
        while self.jetstream.source_cursor(&self.source) != last {
            tokio::task::yield_now().await;
        }
    }

    async fn connect(&self, path: &str) -> Result<Client, Error> {
        let url = format!("ws://{}{path}", self.address);
        Ok(Client(connect_async(url).await?.0))
    }

    async fn frames(&self, query: &str) -> Client {
        let path = format!("/xrpc/com.atproto.sync.subscribeRepos{query}");
        self.connect(&path).await.unwrap()
    }
}

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    /// The frames that come next have to be these.
    async fn expect(&mut self, frames: &[Vec<u8>]) {
        for (found, expected) in self.take(frames.len()).await.iter().zip(frames) {
            let seq = |frame: &[u8]| jetwash::frame::peek(frame).unwrap().seq;
            assert_eq!(seq(found), seq(expected));
            assert!(found == expected, "other bytes");
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while frames.len() < count {
            match self.0.next().await.unwrap().unwrap() {
                Message::Binary(frame) => frames.push(frame.to_vec()),
                other => panic!("{other:?}"),
            }
        }
        frames
    }

    /// Code and reason of the close that is to come next.
    async fn close(&mut self) -> (u16, String) {
        match self.0.next().await.unwrap().unwrap() {
            Message::Close(Some(close)) => (close.code.into(), close.reason.to_string()),
            other => panic!("{other:?}"),
        }
    }
}

fn network(count: usize) -> Vec<Vec<u8>> {
    let config = NetworkConfig {
        accounts: 10,
        records: 300,
        first_seq: 1000,
        ..NetworkConfig::default()
    };
    let frames = Network::new(config).unwrap().take(count);
    frames.map(|frame| frame.bytes).collect()
}

#[tokio::test]
async fn frames_are_sent_on_byte_for_byte_kept_ones_and_new_ones() {
    let mut relay = Relay::start().await;
    let frames = network(100);
    relay.take_in(&frames[..60]).await;
    let mut all = relay.frames("?cursor=0").await;
    all.expect(&frames[..60]).await;
    let mut some = relay.frames("?cursor=1049").await;
    some.expect(&frames[49..60]).await;
    let mut live = relay.frames("").await;
    let mut events = relay.connect("/subscribe").await.unwrap();
    relay.take_in(&frames[60..]).await;
    all.expect(&frames[60..]).await;
    some.expect(&frames[60..]).await;
    live.expect(&frames[60..]).await;
    let event = events.0.next().await.unwrap().unwrap();
    assert!(event.to_text().unwrap().starts_with(r#"{"did":"did:plc:"#));

    drop(relay.stop);
    assert_eq!(all.close().await, (1001, String::new()));
}

#[tokio::test]
async fn cursors_that_are_too_old_or_of_the_future_are_told_so() {
    let mut relay = Relay::start().await;
    // Some three megabytes, of which one is kept.
    let frames = network(1500);
    relay.take_in(&frames).await;
    let mut outdated = relay.frames("?cursor=1").await.take(2).await;
    let first = outdated.remove(1);
    assert!(
        frames[1..].contains(&first),
        "the first is not among the frames"
    );
    let Ok(Frame::Info(info)) = Frame::decode(&outdated[0]) else {
        panic!("no info");
    };
    assert_eq!(info.name, "OutdatedCursor");

    let mut future = relay.frames("?cursor=2500").await;
    let frame = future.take(1).await.remove(0);
    let Ok(Frame::Error(error)) = Frame::decode(&frame) else {
        panic!("no error");
    };
    assert_eq!(error.error, "FutureCursor");
    assert_eq!(future.close().await, (1008, "FutureCursor".to_owned()));
    let mut newest = relay.frames("?cursor=2499").await;
    newest.expect(&frames[1499..]).await;

    let path = "/xrpc/com.atproto.sync.subscribeRepos?cursor=-1";
    let refused = relay.connect(path).await;
    assert!(matches!(refused, Err(Error::Http(answer)) if answer.status() == 400));
}
