use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::options::ServeOptions;
use crate::subscriber::addresses::{Bucket, Share};
use crate::subscriber::settings::Settings;
use crate::subscriber::update::{UpdateError, parse_update};

/// How much a subscriber may send: what it sends too early is left in its socket.
#[derive(Debug)]
pub(crate) struct Allowance {
    own: Bucket,
    share: Option<Arc<Share>>,
    options: Arc<ServeOptions>,
}

/// Reads large messages from subscribers, one at a time, where that keeps nobody waiting for events.
#[derive(Debug)]
pub(crate) struct Updates {
    turn: Arc<Semaphore>,
    options: Arc<ServeOptions>,
}

impl Allowance {
    pub(crate) fn new(options: Arc<ServeOptions>, share: Option<Arc<Share>>) -> Self {
        Self {
            own: Bucket::full(options.max_message_bytes as f64, Instant::now()),
            share,
            options,
        }
    }

    /// Takes note of so many bytes and messages. Gives how long to wait for more.
    pub(crate) fn take(&mut self, bytes: usize, messages: usize, now: Instant) -> Duration {
        let cost = bytes.saturating_add(messages.saturating_mul(MESSAGE)) as f64;
        let rate = f64::from(self.options.max_received_bytes.max(1));
        let own = self.own.take(cost, rate, now);
        let others = self.share.as_ref();
        own.max(others.map_or(Duration::ZERO, |share| share.receive(cost, rate, now)))
    }
}

impl Updates {
    pub(crate) fn new(options: Arc<ServeOptions>) -> Self {
        Self {
            turn: Arc::new(Semaphore::new(1)),
            options,
        }
    }

    /// Reads a message at once, if it is so small that nobody notices.
    pub(crate) fn read_now(&self, text: &str) -> Option<Result<Option<Settings>, UpdateError>> {
        (text.len() <= SMALL).then(|| parse_update(text, &self.options))
    }

    /// Reads a message when it is its turn.
    pub(crate) async fn read(
        self: Arc<Self>,
        text: String,
    ) -> Result<Option<Settings>, UpdateError> {
        // It is never closed; if it were, this would go on without it.
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let read = spawn_blocking(move || {
            let settings = parse_update(&text, &self.options);
            drop(turn);
            settings
        });
        read.await
            .unwrap_or_else(|_| Err(UpdateError::Message("it could not be read".to_owned())))
    }
}

/// What a message costs besides its bytes.
const MESSAGE: usize = 256;
/// Such a message takes some tens of microseconds.
const SMALL: usize = 8 * 1024;
