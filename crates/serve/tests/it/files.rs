//! A process that may open few files.

use std::io::Read;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use jetwash::Jetstream;
use jetwash_serve::{HttpLimits, ServeOptions, Server, serve_http};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::client::{Client, http};
use crate::log::{network, soon};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// A server in a process of its own that may open 256 files. It ends when this is dropped.
struct Limited {
    _process: Child,
    server: SocketAddr,
    health: SocketAddr,
}

#[tokio::test]
async fn eleven_hundred_silent_connections_leave_256_files_to_the_log_readers_and_healthz() {
    jetwash_serve::raise_file_limit().unwrap();
    let limited = Limited::start().await;
    let mut reader = Client::connect(limited.server, "", &[]).await;
    reader.texts(3).await;
    let mut silent = Vec::new();
    for _ in 0..1100 {
        silent.push(soon(TcpStream::connect(limited.server)).await.unwrap());
    }
    goes_on(&limited, &mut reader).await;
}

#[tokio::test]
async fn two_hundred_and_forty_readers_leave_256_files_to_the_log_and_healthz() {
    let limited = Limited::start().await;
    let mut reader = Client::connect(limited.server, "", &[]).await;
    reader.texts(3).await;
    let mut readers = Vec::new();
    for _ in 0..240 {
        // Above the limit they are refused, or just closed.
        let url = format!("ws://{}/subscribe", limited.server);
        readers.extend(soon(tokio_tungstenite::connect_async(url)).await.ok());
    }
    assert!((100..240).contains(&readers.len()), "{}", readers.len());
    goes_on(&limited, &mut reader).await;
}

/// Waits for events that came into the log after all else.
async fn goes_on(limited: &Limited, reader: &mut Client) {
    assert_eq!(http(limited.health, HEALTH).await.1, "ok\n");
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let later = async {
        loop {
            let event = crate::log::Entry::parse(reader.text().await);
            if u128::from(event.time_us) > now.as_micros() {
                return;
            }
        }
    };
    soon(later).await;
}

impl Limited {
    async fn start() -> Self {
        // The shell sets what this process cannot set for a child.
        let mut process = Command::new("sh")
            .args(["-c", r#"ulimit -n 256 && exec "$0" "$@""#])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "files::the_limited_process", "--ignored"])
            .arg("--nocapture")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        loop {
            let line = soon(lines.next_line()).await.unwrap().unwrap();
            // The name of the test may stand before it.
            if let Some((_, addresses)) = line.split_once("listening ") {
                let (server, health) = addresses.split_once(' ').unwrap();
                return Self {
                    _process: process,
                    server: server.parse().unwrap(),
                    health: health.parse().unwrap(),
                };
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it is the server that the other tests here start"]
async fn the_limited_process() {
    let folder = tempfile::tempdir().unwrap();
    let (jetstream, ingest) = Jetstream::builder().folder(folder.path()).build().unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    let server = Server::new(jetstream.clone(), ServeOptions::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let health = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!(
        "listening {} {}",
        listener.local_addr().unwrap(),
        health.local_addr().unwrap()
    );
    tokio::spawn(server.serve(listener, std::future::pending()));
    let router = Router::new().route("/healthz", get(|| async { "ok\n" }));
    let limits = HttpLimits::default().max_connections(16);
    tokio::spawn(serve_http(health, router, limits, std::future::pending()));
    let pusher = jetstream.pusher("test");
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        for frame in network() {
            tick.tick().await;
            pusher.push(frame.bytes).await.unwrap();
        }
    });
    // It ends with the process that started it, whatever becomes of that.
    let read = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
    let _ = read.await.unwrap();
}
