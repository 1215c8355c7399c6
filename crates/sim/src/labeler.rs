use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::WebSocketUpgrade;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::datetime;
use crate::keys::{Curve, Key};
use crate::label::SimLabel;
use crate::relay::{Feed, History, Params, follow};

/// A labeler on loopback that serves `com.atproto.label.subscribeLabels` until it is dropped.
///
/// It keeps the latest 100,000 frames, numbered from 1. A cursor asks for frames with a greater
/// number, 0 for all that are kept, and a client without one gets what comes. A cursor beyond the last
/// frame gets the error frame `FutureCursor`. Labels are signed; each is made a millisecond after the
/// one before it.
///
/// For a labeler that misbehaves, send [frames of labels](SimLabel::frame) with a
/// [`ScriptedRelay`](crate::ScriptedRelay).
///
/// # Examples
///
/// ```
/// use futures_util::StreamExt;
/// use jetwash_frame::LabelFrame;
/// use jetwash_sim::{SimLabeler, did};
/// use tokio_tungstenite::connect_async;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let mut labeler = SimLabeler::start(did(0)).await?;
/// labeler.label(did(1), "spam");
/// let (mut socket, _) = connect_async(format!("{}?cursor=0", labeler.url())).await?;
/// let frame = socket.next().await.ok_or("no frame came")??.into_data();
/// let LabelFrame::Labels(message) = LabelFrame::decode(&frame)? else { panic!("other frame") };
/// assert_eq!((message.seq, message.labels()[0].val), (1, "spam"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SimLabeler {
    did: String,
    address: SocketAddr,
    feed: Arc<Feed>,
    key: Key,
    next_seq: u64,
    now: u64,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl SimLabeler {
    /// Listens on a free port of the loopback address, as the labeler with this DID.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub async fn start(did: impl Into<String>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (stop, mut stopping) = watch::channel(false);
        let history = History::new(1, HISTORY_FRAMES, HISTORY_BYTES);
        let feed = Arc::new(Feed::new(history, SEND_TIMEOUT, stopping.clone()));
        let of_route = Arc::clone(&feed);
        let subscribe = async move |params: Params, upgrade: WebSocketUpgrade| {
            follow(of_route, &params, upgrade)
        };
        let router = Router::new().route(SUBSCRIBE_LABELS, get(subscribe));
        let until = async move {
            // A labeler that is gone stops as well.
            let _ = stopping.changed().await;
        };
        let serving = axum::serve(listener, router).with_graceful_shutdown(until);
        let task = tokio::spawn(async move {
            // A listener on loopback fails only with the process.
            let _ = serving.await;
        });
        Ok(Self {
            did: did.into(),
            address,
            feed,
            key: Key::derive(Curve::K256, LABELER_SEED, 0),
            next_seq: 1,
            now: LABELER_START,
            stop,
            task,
        })
    }

    /// Where clients connect: a websocket URL with the path of `subscribeLabels`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}{SUBSCRIBE_LABELS}", self.address)
    }

    /// The DID of the labeler.
    #[must_use]
    pub fn did(&self) -> &str {
        &self.did
    }

    /// The key that its labels are signed with, as a DID document has it (`publicKeyMultibase`).
    #[must_use]
    pub fn multikey(&self) -> String {
        self.key.multikey()
    }

    /// Gives a label to a subject, the DID of an account or the URI of a record. Returns the number of
    /// its frame.
    pub fn label(&mut self, uri: impl Into<String>, val: impl Into<String>) -> u64 {
        let label = self.made_now(uri.into(), val.into());
        self.publish([label])
    }

    /// Takes a label back. Returns the number of its frame.
    pub fn negate(&mut self, uri: impl Into<String>, val: impl Into<String>) -> u64 {
        let label = self.made_now(uri.into(), val.into()).negated();
        self.publish([label])
    }

    /// Signs labels and sends them in one frame, whatever they are. Returns its number.
    pub fn publish(&mut self, labels: impl IntoIterator<Item = SimLabel>) -> u64 {
        let mut labels: Vec<SimLabel> = labels.into_iter().collect();
        for label in &mut labels {
            label.sign(&self.key);
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        self.feed.push(SimLabel::frame(seq, &labels).into());
        seq
    }

    fn made_now(&mut self, uri: String, val: String) -> SimLabel {
        self.now += 1_000;
        SimLabel::new(&self.did, uri, val).at(datetime(self.now))
    }
}

impl fmt::Debug for SimLabeler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimLabeler")
            .field("did", &self.did)
            .field("address", &self.address)
            .field("next_seq", &self.next_seq)
            .finish_non_exhaustive()
    }
}

impl Drop for SimLabeler {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.task.abort();
    }
}

const SUBSCRIBE_LABELS: &str = "/xrpc/com.atproto.label.subscribeLabels";
const HISTORY_FRAMES: usize = 100_000;
const HISTORY_BYTES: usize = 64 << 20;
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
const LABELER_SEED: u64 = 1;
/// The start of 2026.
const LABELER_START: u64 = 1_767_225_600_000_000;
