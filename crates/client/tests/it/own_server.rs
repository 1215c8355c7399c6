//! The client before the server of this project, through a proxy that cuts connections.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use jetwash::{Dictionary, Filter, Jetstream, StartFrom};
use jetwash_client::{
    Client, ClientBody, ClientFilter, ClientKind, Micros, Protocol, UpstreamCursor,
};
use jetwash_serve::{ServeOptions, Server};
use jetwash_sim::{Network, NetworkConfig};
use serde_json::Value;
use tokio::io::{AsyncReadExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::server::event;

const FRAMES: usize = 2000;

/// A server with a log of simulated events, and the lines of that log.
async fn server(dictionary: Option<Dictionary>) -> (SocketAddr, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut builder = Jetstream::builder();
    if let Some(dictionary) = dictionary {
        builder = builder.dictionary(dictionary);
    }
    let (jetstream, ingest) = builder.build().unwrap();
    let server = Server::new(jetstream.clone(), ServeOptions::default());
    tokio::spawn(server.serve(listener, std::future::pending()));
    let filter = Filter::new();
    let mut events = jetstream
        .subscribe(StartFrom::Oldest, filter)
        .await
        .unwrap();
    let pusher = jetstream.pusher("test");
    tokio::spawn(ingest.run(std::future::pending()));
    let config = NetworkConfig {
        // Some of everything, syncs among it.
        rare_per_million: 50_000,
        ..NetworkConfig::default()
    };
    let network = Network::new(config).unwrap();
    tokio::spawn(async move {
        for frame in network.take(FRAMES) {
            pusher.push(frame.bytes).await.unwrap();
        }
    });
    let mut lines = Vec::new();
    while let Ok(Some(event)) = timeout(Duration::from_secs(2), events.next()).await {
        lines.push(event.unwrap().json().to_owned());
    }
    assert!(lines.len() > FRAMES / 2, "{}", lines.len());
    (address, lines)
}

/// The cursor of the first event: the log has nothing before it, and the server would say so.
fn first(lines: &[String]) -> UpstreamCursor {
    let value: Value = serde_json::from_str(&lines[0]).unwrap();
    UpstreamCursor::at_time(Micros::new(value["time_us"].as_u64().unwrap()))
}

/// A proxy that cuts each connection after a number of the server's bytes, each later than the
/// one before.
async fn cutting(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for limit in (1..).map(|connection| connection * 20_011) {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(to).await.unwrap();
            tokio::spawn(async move {
                let (mut near_in, mut near_out) = near.split();
                let (far_in, mut far_out) = far.split();
                let mut answer = far_in.take(limit);
                tokio::select! {
                    _ = copy(&mut near_in, &mut far_out) => {}
                    _ = copy(&mut answer, &mut near_out) => {}
                }
            });
        }
    });
    address
}

/// Follows the second version, which has the same events at the positions of the log.
async fn sees_positions(dictionary: Option<Dictionary>) {
    let (server, lines) = server(dictionary).await;
    let proxy = cutting(server).await;
    // Recognised without being told.
    let mut client = Client::builder([format!("ws://{proxy}")])
        .cursor(UpstreamCursor::at_seq(0))
        .build()
        .unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut syncs = 0;
    for (seq, line) in (1..).zip(&lines) {
        let line: Value = serde_json::from_str(line).unwrap();
        let event = event(&mut client).await;
        assert_eq!(
            (event.seq(), event.did()),
            (Some(seq), line["did"].as_str().unwrap())
        );
        assert_eq!(event.kind().as_str(), line["kind"]);
        if let ClientBody::Sync(sync) = event.body() {
            let expected = &line["sync"];
            assert_eq!((*sync.rev).to_owned(), text(&expected["rev"]));
            assert_eq!((*sync.time).to_owned(), text(&expected["time"]));
            assert_eq!(*sync.blocks, *text(&expected["blocks"]["$bytes"]));
            assert_eq!(expected["seq"], sync.seq);
            syncs += 1;
        }
        let Some(commit) = event.commit() else {
            assert!(line["commit"].is_null());
            continue;
        };
        assert_eq!(commit.rkey, line["commit"]["rkey"]);
        assert_eq!(commit.cid, line["commit"]["cid"].as_str());
        let record = commit
            .record
            .map(|record| serde_json::from_str::<Value>(record).unwrap());
        assert_eq!(record.unwrap_or_default(), line["commit"]["record"]);
    }
    assert!(syncs > 0);
    let snapshot = client.snapshot();
    assert_eq!(snapshot.protocol, Some(Protocol::V2));
    assert!(snapshot.connections > 3, "{snapshot:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_second_version_is_recognised_and_followed_exactly_through_cuts() {
    sees_positions(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_second_version_is_followed_compressed() {
    let samples = (0..2000).map(|n| crate::server::line(n, 1_783_175_887_517_000 + 977 * n));
    sees_positions(Some(Dictionary::train(samples, 2048, 77).unwrap())).await;
}

async fn sees_the_log(dictionary: Option<Dictionary>) -> Client {
    let (server, mut lines) = server(dictionary).await;
    // Version 1 has no syncs.
    lines.retain(|line| !line.contains(r#","kind":"sync","#));
    let proxy = cutting(server).await;
    let mut client = Client::builder([format!("ws://{proxy}")])
        .protocol(Protocol::V1)
        .cursor(first(&lines))
        .build()
        .unwrap();
    for line in &lines[1..] {
        assert_eq!(event(&mut client).await.text(), line.as_bytes());
    }
    let snapshot = client.snapshot();
    assert!(snapshot.connections > 3, "{snapshot:?}");
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_our_server_is_followed_exactly_through_cuts() {
    let client = sees_the_log(None).await;
    assert_eq!(client.snapshot().malformed_total(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_dictionary_is_fetched_by_the_number() {
    let samples = (0..2000).map(|n| crate::server::line(n, 1_783_175_887_517_000 + 977 * n));
    let dictionary = Dictionary::train(samples, 2048, 77).unwrap();
    let client = sees_the_log(Some(dictionary)).await;
    let snapshot = client.snapshot();
    assert_eq!(snapshot.dictionaries_fetched, 1, "{snapshot:?}");
    assert!(
        snapshot.bytes_decompressed > snapshot.bytes_received,
        "{snapshot:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_events_are_filtered_at_both_ends() {
    let (server, lines) = server(None).await;
    let filter = ClientFilter::new()
        .collections(["app.bsky.feed.like"])
        .unwrap();
    let mut client = Client::builder([format!("ws://{server}")])
        .protocol(Protocol::V1)
        .filter(filter.kinds([ClientKind::Commit]))
        .cursor(first(&lines))
        .build()
        .unwrap();
    let likes = lines
        .iter()
        .skip(1)
        .filter(|line| line.contains(r#""collection":"app.bsky.feed.like""#));
    let likes: Vec<&String> = likes.collect();
    assert!(likes.len() > 100);
    for line in likes {
        assert_eq!(event(&mut client).await.text(), line.as_bytes());
    }
}
