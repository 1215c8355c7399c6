use std::sync::Arc;

#[cfg(test)]
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::options::ServeOptions;
use crate::subscriber::settings::Settings;
use crate::subscriber::update::{UpdateError, parse_update};

/// Parses messages from subscribers: large ones one at a time, on a thread where no event waits for
/// them.
#[derive(Debug)]
pub(crate) struct Updates {
    turn: Arc<Semaphore>,
    options: Arc<ServeOptions>,
}

impl Updates {
    pub(crate) fn new(options: Arc<ServeOptions>) -> Self {
        Self {
            turn: Arc::new(Semaphore::new(1)),
            options,
        }
    }

    /// Parses a message at once if it is small.
    pub(crate) fn read_now(&self, text: &str) -> Option<Result<Option<Settings>, UpdateError>> {
        (text.len() <= SMALL).then(|| parse_update(text, &self.options))
    }

    /// Parses a message when it is its turn.
    pub(crate) async fn read(
        self: Arc<Self>,
        text: String,
    ) -> Result<Option<Settings>, UpdateError> {
        // It is never closed; if it were, this would continue without it.
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let read = spawn_blocking(move || {
            let settings = parse_update(&text, &self.options);
            drop(turn);
            settings
        });
        read.await
            .unwrap_or_else(|_| Err(UpdateError::Message("it could not be read".to_owned())))
    }

    /// Has large messages wait until the turn is dropped.
    #[cfg(test)]
    pub(crate) async fn take_turn(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.turn).acquire_owned().await.unwrap()
    }
}

/// A message of this size takes some tens of microseconds.
const SMALL: usize = 8 * 1024;
