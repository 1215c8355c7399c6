//! A relay that does what a test says, as a client sees it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use ipld_core::ipld::Ipld;
use jetwash_sim::{ManualNetwork, ScriptError, ScriptedRelay, SimChange, did};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::oracle;

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A relay and a client of it that asked with this query.
async fn pair(query: &str) -> (jetwash_sim::ScriptedConnection, Client) {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let url = relay.url() + query;
    let (connection, client) = tokio::join!(relay.accept(), connect_async(url));
    (connection.unwrap(), client.unwrap().0)
}

#[tokio::test]
async fn clients_get_what_is_sent_as_often_as_it_is_sent() {
    let (mut connection, mut client) = pair("").await;
    let frame = ManualNetwork::new()
        .apply(&SimChange::account(did(0), true, None))
        .unwrap()
        .bytes;
    connection
        .send([frame.clone(), frame.clone()])
        .await
        .unwrap();
    connection.send([&b"garbage"[..]]).await.unwrap();
    connection.inform("OutdatedCursor", "old").await.unwrap();
    connection.fail("FutureCursor", "new").await.unwrap();
    connection.send_text("text").await.unwrap();
    connection.disconnect();
    let messages: Vec<_> = client.by_ref().collect().await;
    let expected = [Message::binary(frame.clone()), Message::binary(frame)];
    let data = |index: usize| messages[index].as_ref().unwrap().clone();
    assert_eq!([data(0), data(1)], expected);
    assert_eq!(data(2), Message::binary(&b"garbage"[..]));
    let (kind, info) = oracle::decode(&data(3).into_data());
    assert_eq!(
        (kind.as_str(), &info["name"]),
        ("#info", &text("OutdatedCursor"))
    );
    let (kind, error) = oracle::decode(&data(4).into_data());
    assert_eq!(
        (kind.as_str(), &error["error"]),
        ("error", &text("FutureCursor"))
    );
    assert_eq!(data(5), Message::text("text"));
    assert!(messages[6].is_err(), "the end is a break, not a close");
    assert_eq!(messages.len(), 7);
}

#[tokio::test]
async fn what_clients_ask_for_is_recorded_and_held_against_the_script() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let url = relay.url();
    let ask = async |relay: &mut ScriptedRelay, query: &str, expected| {
        let connect = connect_async(format!("{url}{query}"));
        tokio::join!(relay.accept_at(expected), connect).0
    };
    ask(&mut relay, "", None).await.unwrap();
    ask(&mut relay, "?cursor=7", Some(7)).await.unwrap();
    let other = ask(&mut relay, "?cursor=8", Some(9)).await.unwrap_err();
    let message = "the client asked for the cursor Some(8) instead of Some(9)";
    assert_eq!(other.to_string(), message);
    let none = ask(&mut relay, "?cursor=x", None).await.unwrap_err();
    assert!(matches!(none, ScriptError::Cursor(text) if text == "x"));
    assert_eq!(relay.cursors(), [None, Some(7), Some(8)]);
}

#[tokio::test(start_paused = true)]
async fn silence_answers_pings_and_ends_with_the_client() {
    let (mut connection, mut client) = pair("").await;
    client
        .send(Message::Ping("still there?".into()))
        .await
        .unwrap();
    let hour = Duration::from_secs(3600);
    let (silence, pong) = tokio::join!(connection.stay_silent(hour), client.next());
    silence.unwrap();
    assert_eq!(pong.unwrap().unwrap(), Message::Pong("still there?".into()));
    drop(client);
    connection.stay_silent(Duration::MAX).await.unwrap_err();
}

#[tokio::test]
async fn connections_end_in_every_way() {
    let (connection, mut client) = pair("").await;
    let close = tokio::spawn(connection.close(1001, "going away"));
    let Some(Ok(Message::Close(Some(frame)))) = client.next().await else {
        panic!("no close");
    };
    assert_eq!(
        (u16::from(frame.code), frame.reason.as_str()),
        (1001, "going away")
    );
    while client.next().await.is_some() {}
    close.await.unwrap().unwrap();

    let (mut connection, mut client) = pair("").await;
    connection.send_raw(b"\xff\x00").await.unwrap();
    assert!(matches!(client.next().await, Some(Err(Error::Protocol(_)))));
    drop(client);
    connection.until_closed().await;

    let mut relay = ScriptedRelay::start().await.unwrap();
    let url = relay.url();
    let (refused, client) = tokio::join!(relay.refuse(), connect_async(url));
    refused.unwrap();
    assert!(client.is_err());
}

fn text(text: &str) -> Ipld {
    Ipld::String(text.to_owned())
}
