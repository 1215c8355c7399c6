//! A firehose on a real socket, of the frames that a Jetstream keeps.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use jetwash::{Jetstream, JetstreamBuilder};
use jetwash_firehose::{Firehose, FirehoseOptions, FrameSource, JetstreamFrames};
use jetwash_serve::{HttpLimits, serve_http};
use jetwash_sim::{Network, NetworkConfig};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::Client;

/// The name of the source that frames are pushed under.
pub(crate) const SOURCE: &str = "upstream";

/// Frames of a simulated network, numbered from 1000 on.
pub(crate) fn network(count: usize) -> Vec<Vec<u8>> {
    let config = NetworkConfig {
        accounts: 10,
        records: 300,
        first_seq: 1000,
        ..NetworkConfig::default()
    };
    let frames = Network::new(config).unwrap().take(count);
    frames.map(|frame| frame.bytes).collect()
}

pub(crate) fn seq_of(frame: &[u8]) -> u64 {
    let peeked = jetwash::frame::peek(frame).unwrap();
    peeked.seq.unwrap()
}

/// A firehose that is served.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) firehose: Firehose,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Served {
    pub(crate) async fn start(source: impl FrameSource, options: FirehoseOptions) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_at(any, source, options).await
    }

    pub(crate) async fn start_at(
        address: SocketAddr,
        source: impl FrameSource,
        options: FirehoseOptions,
    ) -> Self {
        let firehose = Firehose::new(source, options);
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let limits = HttpLimits::default().max_connections(4000);
        let until = async { drop(stopped.await) };
        let serve = serve_http(listener, firehose.router(), limits, until);
        let serving = tokio::spawn(async { serve.await.unwrap() });
        Self {
            address,
            firehose,
            stop,
            serving,
        }
    }

    /// Ends it, with a goodbye to its readers, so that it holds neither its address nor its source.
    pub(crate) async fn end(self) {
        self.firehose.close(Duration::from_secs(9)).await;
        drop(self.stop);
        self.serving.await.unwrap();
    }

    pub(crate) fn url(&self, query: &str) -> String {
        let address = self.address;
        format!("ws://{address}/xrpc/com.atproto.sync.subscribeRepos{query}")
    }

    pub(crate) async fn connect(&self, query: &str) -> Client {
        Client::connect(&self.url(query)).await.unwrap()
    }

    /// Waits until this number of readers is connected.
    pub(crate) async fn readers(&self, count: usize) {
        until(|| self.firehose.readers() == count).await;
    }
}

/// A firehose of a Jetstream that frames are pushed into by hand.
pub(crate) struct Relay {
    pub(crate) jetstream: Jetstream,
    pub(crate) served: Served,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) running: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn start(keep: u64, options: FirehoseOptions) -> Self {
        Self::build(Jetstream::builder().keep_frames(keep), options).await
    }

    pub(crate) async fn start_in(folder: &Path) -> Self {
        let builder = Jetstream::builder().keep_frames(1 << 30).folder(folder);
        Self::build(builder, FirehoseOptions::default()).await
    }

    async fn build(builder: JetstreamBuilder, options: FirehoseOptions) -> Self {
        let (jetstream, ingest) = builder.build().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = ingest.run(async { drop(stopped.await) });
        let running = tokio::spawn(async { run.await.unwrap() });
        let frames = JetstreamFrames::new(jetstream.clone(), SOURCE).unwrap();
        Self {
            served: Served::start(frames, options).await,
            jetstream,
            stop,
            running,
        }
    }

    /// Pushes frames, and waits until they are kept.
    pub(crate) async fn take_in(&self, frames: &[Vec<u8>]) {
        let pusher = self.jetstream.pusher(SOURCE);
        for frame in frames {
            pusher.push(frame.clone()).await.unwrap();
        }
        let last = seq_of(frames.last().unwrap());
        until(|| self.jetstream.source_cursor(SOURCE) == Some(last)).await;
    }
}

/// Waits until a condition holds.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}
