use std::time::Duration;

use futures_util::StreamExt;
use jetwash_client::{Client, ClientFilter, ClientItem, Protocol};

use crate::server::{Server, item, line, numbers};

/// A little after the connection: a stream that has had no event begins where it was connected.
fn now() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    now.as_micros() as u64
}

const SHORT: Duration = Duration::from_millis(400);

#[tokio::test]
async fn a_host_that_answers_no_ping_is_left_for_the_next() {
    let mut dead = Server::v1().await;
    let mut live = Server::v1().await;
    let hosts = [dead.url(), live.url()];
    let filter = ClientFilter::new().dids(["did:web:a1.example"]).unwrap();
    let builder = Client::builder(hosts)
        .compress(false)
        .protocol(Protocol::V1)
        .silence(SHORT)
        .filter(filter);
    let mut client = builder.build().unwrap();
    // Its socket is open, but nobody reads it.
    let _open = dead.accept().await;
    live.accept().await.text(line(1, now())).await;
    assert_eq!(numbers(&mut client, 1).await, [1]);
    let end = client.snapshot().last_end.unwrap();
    assert!(end.contains("not even an answer to a ping"), "{end}");
}

#[tokio::test]
async fn a_blind_host_that_answers_pings_but_has_no_events_is_left() {
    let mut blind = Server::v1().await;
    let mut live = Server::v1().await;
    let hosts = [blind.url(), live.url()];
    let mut client = Client::builder(hosts)
        .compress(false)
        .protocol(Protocol::V1)
        .silence(SHORT)
        .build()
        .unwrap();
    let mut connection = blind.accept().await;
    let answering = tokio::spawn(async move { while connection.socket.next().await.is_some() {} });
    live.accept().await.text(line(1, now())).await;
    assert_eq!(numbers(&mut client, 1).await, [1]);
    let end = client.snapshot().last_end.unwrap();
    assert!(end.contains("no event came"), "{end}");
    answering.abort();
}

#[tokio::test]
async fn a_filtered_stream_may_be_quiet_for_as_long_as_pings_are_answered() {
    let mut server = Server::v1().await;
    let filter = ClientFilter::new().dids(["did:web:a1.example"]).unwrap();
    let builder = Client::builder([server.url()])
        .compress(false)
        .protocol(Protocol::V1)
        .silence(SHORT)
        .filter(filter);
    let mut client = builder.build().unwrap();
    let mut connection = server.accept().await;
    // Each ping of the client takes a third of the limit; ten are well over it.
    for _ in 0..10 {
        let ping = connection.socket.next().await.unwrap().unwrap();
        assert!(ping.is_ping());
        // The answer is sent with the next read.
    }
    connection.text(line(1, now())).await;
    assert!(matches!(item(&mut client).await, ClientItem::Connected(_)));
    assert_eq!(numbers(&mut client, 1).await, [1]);
    assert_eq!(client.snapshot().connections, 1);
}
