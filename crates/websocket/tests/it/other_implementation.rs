//! Against `tungstenite` as the server, over TCP.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use jetwash_websocket::{Incoming, Request, Skipped, Socket, SocketError, race};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

/// Both ends of a websocket, whose client takes up to `max_bytes`.
async fn ends(max_bytes: usize) -> (WebSocketStream<TcpStream>, Socket) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        accept_async(stream).await.unwrap()
    });
    let (mut stream, _) = race(&[address], LIMIT).await.unwrap();
    let request = Request::get(&address.to_string(), "/stream?cursor=7");
    let head = request.upgrade(&mut stream, None).await.unwrap();
    assert_eq!(head.status, 101);
    let socket = Socket::new(Box::new(stream), head.rest, max_bytes);
    (accepting.await.unwrap(), socket)
}

/// A text of `length` bytes, in which no two places look the same.
fn text(length: usize) -> String {
    let numbers = (0..).flat_map(|number: u32| number.to_string().into_bytes());
    String::from_utf8(numbers.take(length).collect()).unwrap()
}

#[tokio::test]
async fn messages_of_each_length_come_whole_in_both_directions() {
    let (mut server, mut client) = ends(1 << 20).await;
    let echo = tokio::spawn(async move {
        while let Some(Ok(message)) = server.next().await {
            if message.is_text() {
                let binary = Message::binary(message.clone().into_data());
                server.send(message).await.unwrap();
                server.send(binary).await.unwrap();
            }
        }
    });
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20] {
        let text = text(length);
        client.send_text(&text).unwrap();
        let back = [client.next().await.unwrap(), client.next().await.unwrap()];
        let expected = [
            Incoming::Text(text.as_str().into()),
            Incoming::Binary(text.as_str().into()),
        ];
        assert!(back == expected, "{length} bytes");
    }
    client.close(Some(1000)).await.unwrap();
    echo.await.unwrap();
}

#[tokio::test]
async fn a_message_that_is_too_long_does_not_hide_the_next() {
    let (mut server, mut client) = ends(100).await;
    let sending = tokio::spawn(async move {
        for length in [101, 1 << 20, 100] {
            server.send(Message::binary(text(length))).await.unwrap();
        }
        server
    });
    for length in [101, 1 << 20] {
        let skipped = Incoming::Skipped(Skipped::TooLarge, length);
        assert_eq!(client.next().await.unwrap(), skipped);
    }
    let taken = Incoming::Binary(text(100).as_str().into());
    assert_eq!(client.next().await.unwrap(), taken);
    assert_eq!(client.messages(), 3);
    drop(sending.await.unwrap());
}

#[tokio::test]
async fn pings_are_answered_and_a_goodbye_is_told() {
    let (mut server, mut client) = ends(100).await;
    client.ping();
    server.send(Message::Ping("hi".into())).await.unwrap();
    let reading = tokio::spawn(async move {
        assert_eq!(client.next().await.unwrap(), Incoming::Sign);
        // The other end answers the ping with the next message that it reads.
        while client.next().await.unwrap() == Incoming::Sign {}
        client.next().await.unwrap_err()
    });
    let (mut pinged, mut answered) = (false, false);
    while !(pinged && answered) {
        match server.next().await.unwrap().unwrap() {
            Message::Ping(payload) => pinged = payload.is_empty(),
            Message::Pong(payload) => {
                assert_eq!(payload, "hi");
                answered = true;
            }
            other => panic!("{other:?}"),
        }
    }
    server.send(Message::text("bye")).await.unwrap();
    server.close(None).await.unwrap();
    let end = reading.await.unwrap();
    assert!(matches!(end, SocketError::Closed(None)), "{end}");
}

const LIMIT: Duration = Duration::from_secs(10);
