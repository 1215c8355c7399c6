//! Readers that do not keep up.

use std::time::Duration;

use futures_util::StreamExt;
use jetwash_firehose::FirehoseOptions;
use tokio_tungstenite::tungstenite::Message;

use crate::client::Client;
use crate::relay::{Relay, network, seq_of, until};

#[tokio::test]
async fn a_reader_that_the_ring_moves_past_is_told_and_closed() {
    let relay = Relay::start(1 << 20, FirehoseOptions::default()).await;
    // Far more than the ring and all buffers on the way hold together.
    let frames = network(6000);
    relay.take_in(&frames[..100]).await;
    let mut slow = Client::narrow(&relay.served, "?cursor=0").await;
    let mut fast = relay.served.connect("?cursor=0").await;
    fast.expect(&frames[..100]).await;
    // The fast one sees all of it while the slow one reads nothing.
    for part in frames[100..].chunks(100) {
        relay.take_in(part).await;
        fast.expect(part).await;
    }
    // What it gets is whole up to where it was left behind, and then it learns why.
    let mut expected = frames.iter();
    let error = loop {
        let found = slow.next().await;
        if found.starts_with(&[0xa1]) {
            break found;
        }
        assert!(
            Some(&found) == expected.next(),
            "a frame that is not the next"
        );
    };
    let text = String::from_utf8_lossy(&error);
    assert!(text.contains("ConsumerTooSlow"), "{text}");
    assert_eq!(slow.close().await, (1008, "ConsumerTooSlow".to_owned()));
    assert!(expected.next().is_some(), "it was not slow");
    assert_eq!(relay.served.firehose.counts().too_slow, 1);
    relay.served.readers(1).await;
    assert_eq!(seq_of(frames.last().unwrap()), 6999);
}

#[tokio::test]
async fn a_socket_that_takes_nothing_is_closed_in_time() {
    let options = FirehoseOptions::default().write_timeout(Duration::from_millis(100));
    let relay = Relay::start(1 << 30, options).await;
    relay.take_in(&network(6000)).await;
    let stuck = Client::narrow(&relay.served, "?cursor=0").await;
    let firehose = &relay.served.firehose;
    until(|| firehose.counts().too_slow == 1 && firehose.readers() == 0).await;
    drop(stuck);
}

#[tokio::test]
async fn a_reader_that_pauses_within_the_time_loses_nothing() {
    let relay = Relay::start(1 << 30, FirehoseOptions::default()).await;
    let frames = network(6000);
    relay.take_in(&frames).await;
    let mut client = Client::narrow(&relay.served, "?cursor=0").await;
    // Its socket is full when the server has stopped writing to it.
    let firehose = &relay.served.firehose;
    let mut sent = None;
    while sent.replace(firehose.counts().bytes_sent) != Some(firehose.counts().bytes_sent) {
        tokio::task::yield_now().await;
    }
    client.expect(&frames).await;
    assert_eq!(firehose.counts().too_slow, 0);
}

#[tokio::test]
async fn a_reader_without_frames_gets_pings_and_has_to_answer() {
    let options = FirehoseOptions::default()
        .ping_interval(Duration::from_millis(20))
        .pong_timeout(Duration::from_millis(200));
    let served = crate::relay::Served::start(crate::scripted::Scripted::silent(), options).await;
    let mut answering = served.connect("").await;
    // It reads nothing, so it answers nothing.
    let silent = served.connect("").await;
    served.readers(2).await;
    let firehose = served.firehose.clone();
    let mut pings = 0;
    while firehose.counts().silent == 0 || pings < 20 {
        match answering.0.next().await.unwrap().unwrap() {
            Message::Ping(_) => pings += 1,
            other => panic!("{other:?}"),
        }
    }
    served.readers(1).await;
    assert_eq!(firehose.counts().silent, 1);
    drop(silent);
}
