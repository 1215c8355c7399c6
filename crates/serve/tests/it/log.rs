//! A Jetstream that the test feeds, the server before it, and the log as the test sees it.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use jetwash::store::{Read, Store};
use jetwash::{Dictionary, Jetstream, JetstreamBuilder, Pusher, Seq};
use jetwash_serve::{ServeOptions, Server};
use jetwash_sim::{Network, NetworkConfig, SimEvent};
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::client::Client;

/// A server on loopback, and the network whose frames it gets when the test says so.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) server: Server,
    pub(crate) jetstream: Jetstream,
    pub(crate) dids: Vec<String>,
    network: Mutex<Network>,
    pusher: Pusher,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
    running: JoinHandle<()>,
}

impl World {
    /// With Jetstream's own settings and `frames` frames in the log.
    pub(crate) async fn with(frames: usize) -> Self {
        let world = Self::start(ServeOptions::default(), None).await;
        world.push(frames).await;
        world
    }

    pub(crate) async fn start(options: ServeOptions, dictionary: Option<Dictionary>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut builder = Jetstream::builder();
        if let Some(dictionary) = dictionary {
            builder = builder.dictionary(dictionary);
        }
        Self::start_on(listener, builder, options).await
    }

    /// With so little room in the server's sockets that a reader who takes nothing is noticed soon.
    pub(crate) async fn start_narrow(options: ServeOptions) -> Self {
        Self::start_narrow_with(Jetstream::builder(), options).await
    }

    /// The same with a Jetstream of the test's own.
    pub(crate) async fn start_narrow_with(
        builder: JetstreamBuilder,
        options: ServeOptions,
    ) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(8 * 1024).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self::start_on(socket.listen(16).unwrap(), builder, options).await
    }

    /// With a Jetstream of the test's own.
    pub(crate) async fn start_with(builder: JetstreamBuilder, options: ServeOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::start_on(listener, builder, options).await
    }

    async fn start_on(
        listener: TcpListener,
        builder: JetstreamBuilder,
        options: ServeOptions,
    ) -> Self {
        let (jetstream, ingest) = builder.build().unwrap();
        let network = network();
        let dids = network.dids().map(str::to_owned).collect();
        let address = listener.local_addr().unwrap();
        let server = Server::new(jetstream.clone(), options);
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = server
            .clone()
            .serve(listener, async { drop(stopped.await) });
        let serving = tokio::spawn(async { serve.await.unwrap() });
        let run = ingest.run(std::future::pending());
        let running = tokio::spawn(async { run.await.unwrap() });
        Self {
            address,
            server,
            dids,
            network: Mutex::new(network),
            pusher: jetstream.pusher("test"),
            jetstream,
            stop: Some(stop),
            serving: Some(serving),
            running,
        }
    }

    /// Puts in the next frames of the network, and waits until they are in the log.
    pub(crate) async fn push(&self, frames: usize) {
        let mut tip = self.jetstream.store().tip();
        let mut expected = self.jetstream.bounds().next_seq;
        let frames: Vec<_> = self.network.lock().unwrap().by_ref().take(frames).collect();
        for frame in frames {
            expected = expected.plus(match &frame.event {
                SimEvent::Commit(commit) => commit.ops.len() as u64,
                _ => 1,
            });
            self.pusher.push(frame.bytes).await.unwrap();
        }
        soon(tip.wait_for(|&next| next >= expected)).await.unwrap();
        assert_eq!(self.jetstream.bounds().next_seq, expected);
    }

    pub(crate) async fn push_frames(&self, frames: Vec<Vec<u8>>, events: u64) {
        let mut tip = self.jetstream.store().tip();
        let expected = self.jetstream.bounds().next_seq.get() + events;
        for frame in frames {
            self.pusher.push(frame).await.unwrap();
        }
        soon(tip.wait_for(|&next| next >= Seq::new(expected)))
            .await
            .unwrap();
    }

    /// The events of the log, oldest first.
    pub(crate) fn events(&self) -> Vec<Entry> {
        entries(self.jetstream.store())
    }

    /// Those of them that version 1 has: no syncs.
    pub(crate) fn log(&self) -> Vec<Entry> {
        let mut events = self.events();
        events.retain(|entry| !entry.is_sync());
        events
    }

    /// Connects, and waits until the server has found the place in the log.
    pub(crate) async fn subscribe(&self, query: &str) -> Client {
        let mut client = self.connect(query).await;
        client.settle().await;
        client
    }

    pub(crate) async fn connect(&self, query: &str) -> Client {
        Client::connect(self.address, query, &[]).await
    }

    /// Stops everything, and waits until the log is closed.
    pub(crate) async fn end(mut self) {
        self.stop();
        self.ended().await;
        self.running.abort();
        let _ = (&mut self.running).await;
    }

    /// Tells the server to stop. [`ended`](Self::ended) waits for it.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) async fn ended(&mut self) {
        soon(self.serving.take().unwrap()).await.unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// One event of the log.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its position; 0 for a line that is not from a log.
    pub(crate) seq: u64,
    pub(crate) json: String,
    pub(crate) time_us: u64,
    pub(crate) did: String,
    /// Empty for all but commits.
    pub(crate) collection: String,
}

impl Entry {
    pub(crate) fn parse(json: String) -> Self {
        let value: Value = serde_json::from_str(&json).unwrap();
        let collection = value["commit"]["collection"].as_str().unwrap_or_default();
        Self {
            seq: 0,
            time_us: value["time_us"].as_u64().unwrap(),
            did: value["did"].as_str().unwrap().to_owned(),
            collection: collection.to_owned(),
            json,
        }
    }

    pub(crate) const fn is_commit(&self) -> bool {
        !self.collection.is_empty()
    }

    pub(crate) fn is_sync(&self) -> bool {
        self.json.contains(r#","kind":"sync","sync":{"#)
    }
}

/// Every event of a log, oldest first.
fn entries(log: &Store) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut position = log.bounds().oldest_seq;
    while let Read::Events(run) = log.read(position).unwrap() {
        let page = run.block().json().unwrap();
        for index in run.indexes() {
            let line = page.get(index).unwrap().to_vec();
            entries.push(Entry {
                seq: run.block().first_seq().plus(index as u64).get(),
                ..Entry::parse(String::from_utf8(line).unwrap())
            });
        }
        position = run.next_seq();
    }
    entries
}

/// The lines of some entries.
pub(crate) fn lines<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<String> {
    entries
        .into_iter()
        .map(|entry| entry.json.clone())
        .collect()
}

/// A small network in which accounts and identities change often.
pub(crate) fn network() -> Network {
    Network::new(NetworkConfig {
        accounts: 10,
        records: 100,
        rare_per_million: 100_000,
        ..NetworkConfig::default()
    })
    .unwrap()
}

/// Nothing here takes long, so what does has failed.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future)
        .await
        .expect("it took too long")
}
