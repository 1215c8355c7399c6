//! Many readers, and how they end.

use std::time::Duration;

use futures_util::future::join_all;
use jetwash_firehose::FirehoseOptions;

use crate::client::refused;
use crate::relay::{Relay, network};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sockets_get_every_frame_and_a_goodbye() {
    let options = FirehoseOptions::default().max_connections_per_address(None);
    let relay = Relay::start(1 << 30, options).await;
    let frames = network(150);
    relay.take_in(&frames[..50]).await;
    let mut clients = Vec::new();
    for number in 0..1000 {
        let query = if number % 2 == 0 { "?cursor=0" } else { "" };
        clients.push(relay.served.connect(query).await);
    }
    assert_eq!(relay.served.firehose.readers(), 1000);
    relay.take_in(&frames[50..]).await;
    let reading = clients
        .iter_mut()
        .enumerate()
        .map(async |(number, client)| {
            let from = if number % 2 == 0 { 0 } else { 50 };
            client.expect(&frames[from..]).await;
        });
    join_all(reading).await;

    let closing = relay.served.firehose.close(Duration::from_secs(20));
    let leaving = join_all(clients.iter_mut().map(|client| client.close()));
    let ((), codes) = tokio::join!(closing, leaving);
    assert!(codes.iter().all(|(code, _)| *code == 1001));
    assert_eq!(relay.served.firehose.readers(), 0);
    let (status, _) = refused(&relay.served, "").await;
    assert_eq!(status, 503);
}

#[tokio::test]
async fn closing_does_not_wait_for_one_that_takes_nothing() {
    let relay = Relay::start(1 << 30, FirehoseOptions::default()).await;
    relay.take_in(&network(6000)).await;
    let _stuck = crate::client::Client::narrow(&relay.served, "?cursor=0").await;
    relay.served.readers(1).await;
    // Its sending waits up to 30 s; closing ends it within two.
    let closing = relay.served.firehose.close(Duration::from_secs(20));
    tokio::time::timeout(Duration::from_secs(10), closing)
        .await
        .unwrap();
    assert_eq!(relay.served.firehose.readers(), 0);
}

#[tokio::test]
async fn readers_end_with_the_log() {
    let relay = Relay::start(1 << 20, FirehoseOptions::default()).await;
    let frames = network(10);
    relay.take_in(&frames).await;
    let mut client = relay.served.connect("?cursor=0").await;
    client.expect(&frames).await;
    drop(relay.stop);
    relay.running.await.unwrap();
    assert_eq!(client.close().await, (1001, String::new()));
}
