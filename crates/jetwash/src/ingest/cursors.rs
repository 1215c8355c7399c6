use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::ingest::pipeline::Pipeline;

/// How far each source has been read, as of the last commit: written by the writer, read by what
/// connects to relays.
#[derive(Debug)]
pub(crate) struct SourceCursors {
    known: Mutex<HashMap<Arc<str>, Known>>,
    /// By the names of the relays: a connection is of no use, and another is to be made.
    useless: HashMap<String, Notify>,
}

/// How far a source has been read, and what it is to be asked for next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) cursor: Option<u64>,
    pub(crate) resume: Option<u64>,
}

impl Known {
    pub(crate) fn of(pipeline: &Pipeline, source: &str) -> Self {
        Self {
            cursor: pipeline.cursor(source),
            resume: pipeline.resume_from(source),
        }
    }
}

impl SourceCursors {
    /// Starts with what is known of the sources. Only the connections to `relays` can be given up.
    pub(crate) fn new(
        known: impl Iterator<Item = (Arc<str>, Known)>,
        relays: impl Iterator<Item = String>,
    ) -> Self {
        Self {
            known: Mutex::new(known.collect()),
            useless: relays.map(|name| (name, Notify::new())).collect(),
        }
    }

    pub(crate) fn known(&self, source: &str) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(source).copied()
    }

    /// Notes how far sources are, all at one moment.
    pub(crate) fn update(&self, sources: impl Iterator<Item = (Arc<str>, Known)>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(sources);
    }

    /// Says that the connection to a relay is of no use.
    pub(crate) fn give_up(&self, relay: &str) {
        if let Some(useless) = self.useless.get(relay) {
            useless.notify_one();
        }
    }

    /// Waits until the connection to a relay is of no use.
    pub(crate) async fn given_up(&self, relay: &str) {
        match self.useless.get(relay) {
            Some(useless) => useless.notified().await,
            None => std::future::pending().await,
        }
    }
}
