//! A file that is loaded again whenever it changes.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::{DidFile, Fingerprint};

impl DidFile {
    /// Loads the file whenever it changes, until the future is dropped. It looks each second, or
    /// as often as `every` says, at the file's time, length and number, and loads a file that was
    /// the same at two looks: so one that is being written is not taken for the whole.
    ///
    /// A file that is gone or has anything wrong in it leaves the set as it was. That is told
    /// once, as a warning and in the [`status`](Self::status).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use jetwash::{DidFile, DidSet};
    ///
    /// # async fn example() {
    /// let file = DidFile::new("danes.txt", DidSet::new());
    /// let watch = tokio::spawn(file.clone().watch(Duration::from_secs(1)));
    /// # drop(watch);
    /// # }
    /// ```
    pub async fn watch(self, every: Duration) {
        let mut looks = interval(every.max(LEAST_WAIT));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = None;
        loop {
            looks.tick().await;
            let file = self.clone();
            let look = spawn_blocking(move || file.look(seen)).await;
            match look {
                Ok(fingerprint) => seen = Some(fingerprint),
                // The caller, who watches this task, sees why it ended.
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // The runtime is going away, and with it this task.
                Err(_) => return,
            }
        }
    }

    /// Loads the file if it is as it was at the last look and not what the set came from, and gives
    /// what it looks like.
    fn look(&self, seen: Option<Option<Fingerprint>>) -> Option<Fingerprint> {
        let now = Fingerprint::of(self.path());
        let is_known = *self.lock() == Some(now);
        if seen != Some(now) || is_known {
            return now;
        }
        let path = self.path().display();
        match self.load() {
            Ok(change) => info!(file = %path, accounts = change.count(), "accounts loaded"),
            Err(error) => warn!(error = %error, "the accounts stay as they were"),
        }
        now
    }
}

/// Looking more often than this would be work for nothing.
const LEAST_WAIT: Duration = Duration::from_millis(10);
