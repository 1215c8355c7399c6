use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::config::RelayConfig;
use super::history::History;
use crate::network::Network;

/// The state that producer, readers and routes share.
pub(super) struct Relay {
    pub(super) config: RelayConfig,
    network: Mutex<Network>,
    history: Mutex<History>,
    /// The sequence number of the last frame; readers wait for it to change.
    pub(super) head: watch::Sender<u64>,
    /// Told when a reader has come, moved on or left.
    pub(super) progress: Notify,
    pub(super) stopping: watch::Receiver<bool>,
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
            head: watch::Sender::new(history.last_seq()),
            history: Mutex::new(history),
            network: Mutex::new(network),
            progress: Notify::new(),
            stopping,
            config,
        }
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
