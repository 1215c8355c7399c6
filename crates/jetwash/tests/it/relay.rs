//! A real websocket to a relay on loopback.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use jetwash::{Filter, Jetstream, Micros, StartFrom};
use jetwash_sim::{Network, NetworkConfig, Rate, RelayConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::{lines, take};

fn frames(count: usize) -> Vec<Vec<u8>> {
    let config = NetworkConfig {
        accounts: 10,
        records: 100,
        ..NetworkConfig::default()
    };
    Network::new(config)
        .unwrap()
        .take(count)
        .map(|frame| frame.bytes)
        .collect()
}

/// A relay whose connections a test plays by hand: each gives the query it was asked with.
async fn accept(listener: &TcpListener) -> (String, tokio_tungstenite::WebSocketStream<TcpStream>) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut query = String::new();
    #[allow(clippy::result_large_err, reason = "the signature is the library's")]
    let look = |request: &Request, response: Response| {
        query = request.uri().query().unwrap_or_default().to_owned();
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, look)
        .await
        .unwrap();
    (query, socket)
}

#[tokio::test]
async fn a_simulated_relay_is_followed_from_its_first_frame() {
    let config = NetworkConfig {
        accounts: 10,
        records: 100,
        ..NetworkConfig::default()
    };
    let network = || Network::new(config.clone()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_stop, stopped) = oneshot::channel::<()>();
    let rate = RelayConfig {
        rate: Rate::Max,
        wait_for_reader: true,
        ..RelayConfig::default()
    };
    let relay = jetwash_sim::serve(listener, network(), rate, async { drop(stopped.await) });
    tokio::spawn(relay);
    let (jetstream, ingest) = Jetstream::builder()
        .relay(format!("ws://{address}"))
        .build()
        .unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    let events = take(&jetstream, StartFrom::Oldest, Filter::new(), 300).await;
    assert_eq!(events.len(), 300);
    assert_eq!(events[0].did(), network().next().unwrap().did.as_ref());
    assert!(
        jetstream.snapshot().dropped.is_empty(),
        "{:?}",
        jetstream.snapshot().dropped
    );
}

#[tokio::test]
async fn after_a_cut_the_relay_is_asked_to_go_on_from_the_cursor() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (jetstream, ingest) = Jetstream::builder()
        .relay(format!("ws://{address}/path"))
        .build()
        .unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    let frames = frames(100);

    let (query, mut first) = accept(&listener).await;
    assert_eq!(query, "", "a first connection has no cursor");
    for frame in &frames[..50] {
        first.send(Message::binary(frame.clone())).await.unwrap();
    }
    // The cut comes only when all of it is in the log, so that the cursor is known.
    let seq = jetwash::frame::peek(&frames[49]).unwrap().seq.unwrap();
    while jetstream.source_cursor(&format!("ws://{address}/path")) != Some(seq) {
        tokio::task::yield_now().await;
    }
    drop(first);

    let (query, mut second) = accept(&listener).await;
    assert_eq!(query, format!("cursor={seq}"));
    // Some relays send the frame of the cursor again.
    for frame in &frames[49..] {
        second.send(Message::binary(frame.clone())).await.unwrap();
    }
    let seq = jetwash::frame::peek(&frames[99]).unwrap().seq.unwrap();
    while jetstream.source_cursor(&format!("ws://{address}/path")) != Some(seq) {
        tokio::task::yield_now().await;
    }
    let through_a_relay = lines(jetstream.store()).len();
    let (mut pipeline, log) = crate::pipeline();
    for frame in &frames {
        pipeline
            .frame("direct", frame, Micros::new(crate::NOW_US))
            .unwrap();
    }
    pipeline.commit().unwrap();
    assert_eq!(through_a_relay, lines(&log).len());
    assert_eq!(jetstream.snapshot().repeated, 1);
    assert!(jetstream.snapshot().dropped.is_empty());
}

#[tokio::test]
async fn an_error_frame_ends_the_connection_and_is_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (jetstream, ingest) = Jetstream::builder()
        .relay(format!("ws://{address}"))
        .build()
        .unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    let (_, mut socket) = accept(&listener).await;
    let error: &[u8] = b"\xa1\x62op\x20\xa1\x65error\x6fConsumerTooSlow";
    socket.send(Message::binary(error)).await.unwrap();
    // The client hangs up by itself and comes back.
    while let Some(Ok(_)) = socket.next().await {}
    let (_, _again) = accept(&listener).await;
    assert_eq!(jetstream.snapshot().reconnects["error_frame"], 1);
}

#[tokio::test]
async fn two_relays_with_the_same_network_give_each_event_once() {
    let frames = Arc::new(frames(100));
    let mut builder = Jetstream::builder();
    let mut names = Vec::new();
    for _ in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let name = format!("ws://{}/relay", listener.local_addr().unwrap());
        builder = builder.relay(&name);
        names.push(name);
        let frames = Arc::clone(&frames);
        tokio::spawn(async move {
            let (_, mut socket) = accept(&listener).await;
            for frame in frames.iter() {
                socket.send(Message::binary(frame.clone())).await.unwrap();
            }
            while let Some(Ok(_)) = socket.next().await {}
        });
    }
    let (jetstream, ingest) = builder.build().unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    let last = jetwash::frame::peek(&frames[99]).unwrap().seq;
    while names
        .iter()
        .any(|name| jetstream.source_cursor(name) != last)
    {
        tokio::task::yield_now().await;
    }
    let mut lines = lines(jetstream.store());
    let count = lines.len();
    for line in &mut lines {
        *line = crate::without_time(line).0;
    }
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), count);
    let snapshot = jetstream.snapshot();
    assert!(snapshot.dropped.is_empty() && snapshot.repeated > 0);
    assert_eq!(snapshot.frames, 200);
}
