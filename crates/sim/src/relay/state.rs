use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::{Notify, watch};

use super::config::RelayConfig;
use super::history::History;
use crate::network::Network;

/// The state that producer, readers and routes share.
pub(super) struct Relay {
    pub(super) config: RelayConfig,
    network: Mutex<Network>,
    pub(super) feed: Arc<Feed>,
}

impl Relay {
    pub(super) fn new(
        network: Network,
        config: RelayConfig,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let history = History::new(
            network.next_seq(),
            config.history_frames,
            config.history_bytes,
        );
        Self {
            feed: Arc::new(Feed::new(history, config.send_timeout, stopping)),
            network: Mutex::new(network),
            config,
        }
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.feed.history()
    }

    pub(super) fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Numbered frames and those who read them.
pub(crate) struct Feed {
    history: Mutex<History>,
    /// How long a reader may take no bytes before it counts as too slow.
    pub(super) send_timeout: Duration,
    /// The sequence number of the last frame; readers wait for it to change.
    pub(super) head: watch::Sender<u64>,
    /// Told when a reader has come, moved on or left.
    pub(super) progress: Notify,
    pub(super) stopping: watch::Receiver<bool>,
}

impl Feed {
    pub(crate) fn new(
        history: History,
        send_timeout: Duration,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            head: watch::Sender::new(history.last_seq()),
            history: Mutex::new(history),
            send_timeout,
            progress: Notify::new(),
            stopping,
        }
    }

    /// Adds the frame that comes next, and tells the readers.
    pub(crate) fn push(&self, frame: Bytes) {
        let mut history = self.history();
        history.push(frame);
        self.head.send_replace(history.last_seq());
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
