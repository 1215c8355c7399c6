//! A log of labels at `/labels`, beside one of events.

use std::net::SocketAddr;

use jetwash::{Jetstream, RelayOptions};
use jetwash_serve::{ServeOptions, Server};
use jetwash_sim::{ManualNetwork, SimChange, SimLabeler, did};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::client::Client;
use crate::log::soon;

const ONE: &str = "did:web:one.example";
const TWO: &str = "did:web:two.example";
const ACCOUNT: &str = "did:web:a.example";

/// Two labelers, a server with the log of their labels, and the handle of its other log.
async fn start() -> ([SimLabeler; 2], Jetstream, SocketAddr) {
    let one = SimLabeler::start(ONE).await.unwrap();
    let two = SimLabeler::start(TWO).await.unwrap();
    let labels = Jetstream::builder()
        .labeler(one.url(), ONE)
        .labeler(two.url(), TWO)
        .labeler_options(RelayOptions::new().no_proxy());
    let (labels, ingest) = labels.build().unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    let (jetstream, ingest) = Jetstream::builder().build().unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    let labels = Server::new(labels, ServeOptions::default());
    let server = Server::new(jetstream.clone(), ServeOptions::default()).labels(&labels);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server.serve(listener, std::future::pending()));
    ([one, two], jetstream, address)
}

async fn connect(address: SocketAddr, query: &str) -> Client {
    let connected = Client::try_connect_to(address, "/labels", query, &[]).await;
    connected.unwrap().0
}

fn value(line: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap();
    line["label"]["val"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn labels_have_a_route_and_cursors_of_their_own() {
    let ([mut one, mut two], jetstream, address) = start().await;
    let mut all = connect(address, "cursor=0").await;
    let mut second = connect(address, &format!("wantedDids={TWO}&cursor=0")).await;
    let mut main = Client::connect(address, "cursor=0", &[]).await;
    one.label(ACCOUNT, "a");
    let first = all.text().await;
    assert!(first.contains(r#""kind":"label","label":{"ver":1,"src":"did:web:one.example""#));
    two.label(ACCOUNT, "b");
    one.label(ACCOUNT, "c");
    let rest = all.texts(2).await;
    let mut values: Vec<_> = rest.iter().map(|line| value(line)).collect();
    values.sort();
    assert_eq!(values, ["b", "c"]);
    assert_eq!(value(&second.text().await), "b");

    // From a cursor on, which is a time of this log.
    let line: Value = serde_json::from_str(&first).unwrap();
    let mut later = connect(address, &format!("cursor={}", line["time_us"])).await;
    let again = later.texts(3).await;
    assert_eq!(again[1..], rest[..]);

    // Readers of the other log meet none of them.
    let change = SimChange::account(did(0), true, None);
    let frame = ManualNetwork::new().apply(&change).unwrap();
    jetstream.pusher("test").push(frame.bytes).await.unwrap();
    assert!(soon(main.text()).await.contains(r#""kind":"account""#));
    let v2 = "/xrpc/network.bsky.jetstream.subscribeEvents";
    let refused = Client::try_connect_to(address, v2, "kinds=label", &[]).await;
    let refusal = refused.err().unwrap();
    assert_eq!(refusal.status, 400);
    assert!(refusal.body.contains("unknown kind"), "{}", refusal.body);
}

#[tokio::test]
async fn without_labelers_there_is_no_such_route() {
    let (jetstream, ingest) = Jetstream::builder().build().unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::new(jetstream, ServeOptions::default());
    tokio::spawn(server.serve(listener, std::future::pending()));
    let refused = Client::try_connect_to(address, "/labels", "", &[]).await;
    assert_eq!(refused.err().unwrap().status, 404);
}
