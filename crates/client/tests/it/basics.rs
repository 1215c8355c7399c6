use jetwash_client::{Client, ClientItem, Protocol};

use crate::server::{DAY, Server, V2_PATH, event, frame, item, line, numbers};

#[tokio::test]
async fn a_host_of_version_1_is_recognised_and_followed() {
    let mut server = Server::v1().await;
    let mut client = Client::builder([server.url()])
        .compress(false)
        .build()
        .unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.path, "/subscribe");
    assert_eq!(connection.asked.cursor(), None);
    assert_eq!(server.refused()[0].path, V2_PATH);
    for n in 0..3 {
        connection.text(line(n, DAY + n)).await;
    }
    assert_eq!(numbers(&mut client, 3).await, [0, 1, 2]);
    let cursor = client.cursor().unwrap();
    assert_eq!(
        cursor.to_string(),
        format!("time={};host=ws://{}", DAY + 2, server.address)
    );
    let snapshot = client.snapshot();
    assert_eq!(snapshot.protocol, Some(Protocol::V1));
    assert_eq!(
        (snapshot.received, snapshot.delivered, snapshot.connections),
        (3, 3, 1)
    );
    assert!(snapshot.bytes_received > 600, "{snapshot:?}");
    // What was found out is remembered.
    connection.kill();
    let connection = server.accept().await;
    assert_eq!(connection.asked.path, "/subscribe");
    assert_eq!(server.refused().len(), 1);
}

#[tokio::test]
async fn a_host_of_version_2_is_followed_with_its_subprotocol() {
    let mut server = Server::v2().await;
    let mut client = Client::builder([server.url()])
        .compress(false)
        .build()
        .unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.path, V2_PATH);
    assert_eq!(
        connection.asked.headers["sec-websocket-protocol"],
        "xrpc.v1.json"
    );
    assert!(connection.asked.headers["user-agent"].starts_with("jetwash-client/"));
    connection.text(frame(0, 40, DAY + 5)).await;
    let ClientItem::Disconnected(_) = item(&mut client).await else {
        // Nothing has ended yet, so the first item is the connection.
        let first = event(&mut client).await;
        assert_eq!((first.seq(), first.time().get()), (Some(40), DAY + 5));
        let cursor = client.cursor().unwrap();
        assert_eq!(
            (cursor.seq(), cursor.host()),
            (Some(40), Some(&*server.url()))
        );
        return;
    };
    panic!("the connection has ended");
}

#[tokio::test]
async fn a_version_that_was_told_is_not_guessed() {
    let mut server = Server::v1().await;
    let url = format!("{}/subscribe", server.url());
    let told = Client::builder([server.url()])
        .protocol(Protocol::V1)
        .build()
        .unwrap();
    let named = Client::builder([url]).build().unwrap();
    server.accept().await;
    server.accept().await;
    assert!(server.refused().is_empty());
    drop((told, named));
}

#[tokio::test]
async fn a_client_that_is_dropped_says_goodbye() {
    let mut server = Server::v2().await;
    let client = Client::builder([server.url()])
        .compress(false)
        .build()
        .unwrap();
    let mut connection = server.accept().await;
    drop(client);
    connection.closed().await;
}

#[tokio::test]
async fn pings_are_answered() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;

    let mut server = Server::v2().await;
    let client = Client::builder([server.url()])
        .compress(false)
        .build()
        .unwrap();
    let mut connection = server.accept().await;
    connection
        .socket
        .send(Message::Ping("are you there".into()))
        .await
        .unwrap();
    let answer = connection.socket.next().await.unwrap().unwrap();
    assert_eq!(answer, Message::Pong("are you there".into()));
    drop(client);
}

#[tokio::test]
async fn a_reader_that_takes_nothing_holds_the_server_up_and_loses_nothing() {
    const EVENTS: u64 = 10_000;
    let mut server = Server::v1().await;
    let url = format!("{}/subscribe", server.url());
    let mut client = Client::builder([url]).build().unwrap();
    let mut connection = server.accept().await;
    let long = format!(r#""record":{{"text":"{}","#, "x".repeat(8000));
    let mut sending = tokio::spawn(async move {
        for n in 0..EVENTS {
            connection
                .text(line(n, DAY + n).replace(r#""record":{"#, &long))
                .await;
        }
        connection
    });
    // Neither the sockets nor the batches have room for 80 MB.
    let early = tokio::time::timeout(std::time::Duration::from_millis(500), &mut sending).await;
    assert!(early.is_err(), "nothing holds the server up");
    let before = client.snapshot().delivered;
    assert!(before < EVENTS / 10, "{before} events were read ahead");
    let seen = numbers(&mut client, EVENTS as usize).await;
    assert!(seen.into_iter().eq(0..EVENTS));
    sending.await.unwrap();
}
