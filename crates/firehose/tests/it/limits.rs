//! Limits for strangers.

use jetwash_firehose::FirehoseOptions;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::client::{Client, ask, refused};
use crate::relay::Served;
use crate::scripted::Scripted;

#[tokio::test]
async fn readers_are_limited_in_all() {
    let options = FirehoseOptions::default().max_connections(2);
    let served = Served::start(Scripted::silent(), options).await;
    let first = served.connect("").await;
    let _second = served.connect("?cursor=0").await;
    let refusal = Client::connect(&served.url("")).await;
    assert!(matches!(refusal, Err(Error::Http(answer)) if answer.status() == 503));
    // A place that is free again can be taken.
    drop(first);
    served.readers(1).await;
    let _third = served.connect("").await;
    served.readers(2).await;
    assert_eq!(served.firehose.counts().refused, 1);
}

#[tokio::test]
async fn readers_are_limited_by_address() {
    let options = FirehoseOptions::default()
        .max_connections_per_address(Some(1))
        .trust_forwarded_for(true);
    let served = Served::start(Scripted::silent(), options).await;
    let _direct = served.connect("").await;
    let (status, answer) = refused(&served, "").await;
    assert_eq!(status, 429, "{answer}");
    assert!(
        answer.contains(r#"{"error":"RateLimitExceeded""#),
        "{answer}"
    );
    let forwarded = "X-Forwarded-For: 192.0.2.7\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let (status, answer) = ask(&served, "GET", "", forwarded).await;
    assert_eq!(status, 101, "{answer}");
}

#[tokio::test]
async fn requests_that_are_refused_take_no_place() {
    let options = FirehoseOptions::default().max_connections(1);
    let served = Served::start(Scripted::silent(), options).await;
    for _ in 0..5 {
        assert_eq!(refused(&served, "?cursor=x").await.0, 400);
        assert_eq!(ask(&served, "GET", "", "").await.0, 426);
    }
    let _client = served.connect("").await;
    served.readers(1).await;
}

#[tokio::test]
async fn messages_of_readers_are_ignored_up_to_a_size() {
    let options = FirehoseOptions::default().max_message_bytes(1000);
    let served = Served::start(Scripted::silent(), options).await;
    let mut client = served.connect("").await;
    client.send(Message::text("hello")).await;
    client.send(Message::binary(vec![0; 1000])).await;
    client
        .send(Message::Ping(Bytes::from_static(b"still there?")))
        .await;
    let pong = futures_util::StreamExt::next(&mut client.0).await;
    assert_eq!(
        pong.unwrap().unwrap(),
        Message::Pong(Bytes::from_static(b"still there?"))
    );
    client.send(Message::binary(vec![0; 1001])).await;
    assert_eq!(client.close().await.0, 1009);
    served.readers(0).await;

    // One that is far too large is not read at all.
    let mut client = served.connect("").await;
    let _ = futures_util::SinkExt::send(&mut client.0, Message::binary(vec![0; 100_000])).await;
    served.readers(0).await;
    assert_eq!(served.firehose.counts().misbehaved, 1);
}

#[tokio::test]
async fn a_reader_that_floods_is_closed() {
    let served = Served::start(Scripted::silent(), FirehoseOptions::default()).await;
    let mut client = served.connect("").await;
    for _ in 0..1001 {
        client.send(Message::text("")).await;
    }
    assert_eq!(client.close().await, (1008, "too many messages".to_owned()));
    assert_eq!(served.firehose.counts().misbehaved, 1);
}
