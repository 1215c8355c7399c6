use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jetwash_event::Labels;
use jetwash_frame::{LabelFrame, LabelsMessage};
use jetwash_websocket::{Backoff, Incoming, Skipped};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::LabelerAddress;
use super::expiry::expire;
use crate::ingest::GREATEST_NUMBER;
use crate::labels::draft_of;
use crate::noise::Noise;
use crate::short::short;
use crate::source::dial::{Dialer, FIRST_WAIT};
use crate::source::error::{RelayError, check_error_frame};
use crate::source::liveness::Liveness;
use crate::source::{Prepared, Source, SourceHandle};

/// A labeler whose labels go into an index.
///
/// Nothing of it goes into the log, so each process reads it from its beginning, and each further
/// connection from where the last one was.
pub(crate) struct IndexFeed {
    address: LabelerAddress,
    labels: Labels,
    dialer: Dialer,
    noise: Noise,
    begun: Instant,
    /// The number at which it ends, if it does.
    end: Option<u64>,
    /// How long it may say nothing before its end.
    silence: Duration,
    /// The highest number that has come.
    cursor: u64,
    /// How many frames the connection has brought.
    frames: u64,
}

impl IndexFeed {
    pub(crate) fn new(address: LabelerAddress, labels: Labels, options: Arc<Prepared>) -> Self {
        Self {
            address,
            labels,
            silence: options.silence,
            end: None,
            dialer: Dialer::new(options),
            noise: Noise::default(),
            begun: Instant::now(),
            cursor: 0,
            frames: 0,
        }
    }

    /// Reads the labeler up to a number. If it does not come that far, as one that counts anew does, this
    /// is given up: the index may then lack what came before.
    pub(super) async fn read_to(&mut self, number: u64, handle: &SourceHandle) {
        self.end = Some(number);
        if self.cursor < number {
            self.follow(handle).await;
        }
    }

    /// Follows the labeler to the end that is wanted, and connects again whenever a connection ends.
    async fn follow(&mut self, handle: &SourceHandle) {
        let mut backoff = Backoff::new(FIRST_WAIT);
        loop {
            self.frames = 0;
            let Err(error) = self.connection(handle).await else {
                return;
            };
            handle.parts().stats.reconnect(error.reason());
            if matches!(error, RelayError::FutureCursor { .. }) {
                // It counts anew. What comes again changes nothing: the latest label counts.
                self.cursor = 0;
            }
            let wait = if self.frames > 0 {
                backoff.after_progress(self.frames)
            } else {
                backoff.after_failure()
            };
            let wait = wait.max(error.retry_after().unwrap_or_default());
            let why = error.chain();
            self.tell(error.reason(), &|labeler, held| {
                warn!(
                    labeler,
                    not_told = held,
                    "connection ended: {why}; the next attempt follows in {:.1} s",
                    wait.as_secs_f32(),
                );
            });
            handle.watch().ended(why, backoff.attempts(), None);
            if self.end.is_some() && backoff.attempts() >= MOST_ATTEMPTS {
                self.tell_missing();
                return;
            }
            sleep(wait).await;
        }
    }

    /// Reads what a connection brings. Returns `Ok` at the end that is wanted, or when it is out of reach.
    async fn connection(&mut self, handle: &SourceHandle) -> Result<(), RelayError> {
        let (url, cursor) = (self.address.endpoint.url(), self.cursor);
        let mut socket = self.dialer.dial(url, Some(cursor)).await?;
        let mut liveness = Liveness::new(Instant::now(), &socket);
        handle.watch().connected(Instant::now());
        self.tell("connected", &|labeler, held| {
            info!(labeler, cursor, not_told = held, "connected to a labeler");
        });
        let mut quiet = Instant::now() + self.silence;
        while self.end.is_none_or(|end| self.cursor < end) {
            tokio::select! {
                () = sleep_until(quiet), if self.end.is_some() => {
                    self.tell_missing();
                    break;
                }
                incoming = socket.next() => {
                    let now = Instant::now();
                    liveness.heard(now);
                    match incoming? {
                        Incoming::Binary(frame) => {
                            quiet = now + self.silence;
                            self.take(&frame, handle, now)?;
                        }
                        Incoming::Sign => liveness.sign()?,
                        Incoming::Text(_) => {
                            self.lose(handle, Skipped::Text.reason(), &"it is not a frame");
                        }
                        Incoming::Skipped(why, _) => {
                            self.lose(handle, why.reason(), &"it is not a frame");
                        }
                    }
                    handle.watch().message(now);
                }
                now = liveness.tick() => liveness.check(now, &mut socket)?,
            }
        }
        Ok(())
    }

    fn tell_missing(&mut self) {
        let (number, end) = (self.cursor, self.end);
        self.tell("index_incomplete", &|labeler, held| {
            warn!(
                labeler,
                number,
                end,
                not_told = held,
                "the index may lack labels: the labeler does not come to where the log ends"
            );
        });
    }

    fn take(
        &mut self,
        frame: &[u8],
        handle: &SourceHandle,
        now: Instant,
    ) -> Result<(), RelayError> {
        match LabelFrame::decode(frame) {
            Ok(LabelFrame::Labels(message)) => {
                self.frames += 1;
                handle.watch().event(now);
                self.apply(handle, &message);
            }
            Ok(LabelFrame::Error(_)) => check_error_frame(frame)?,
            Ok(LabelFrame::Info(notice)) => {
                let name = short(notice.name);
                self.tell("info", &|labeler, held| {
                    info!(labeler, not_told = held, "the labeler says {name}");
                });
            }
            Ok(LabelFrame::Unknown(_)) => handle.parts().stats.ignored(),
            Err(error) => self.lose(handle, error.reason(), &error),
        }
        Ok(())
    }

    /// Takes in labels. What is wrong with one costs only itself, and a number that no labeler may give
    /// only the number: a cursor beyond all others would lose what comes while there is no connection.
    fn apply(&mut self, handle: &SourceHandle, message: &LabelsMessage<'_>) {
        for label in message.labels() {
            let applied = draft_of(label, &self.address.did)
                .and_then(|draft| Ok(self.labels.apply(&draft)?));
            if let Err(fault) = applied {
                self.lose(handle, fault.reason(), &fault);
            }
        }
        if message.seq > GREATEST_NUMBER {
            self.lose(handle, "seq_invalid", &"its number is beyond 2^53 - 1");
        } else {
            self.cursor = self.cursor.max(message.seq);
        }
    }

    fn lose(&mut self, handle: &SourceHandle, reason: &'static str, detail: &dyn fmt::Display) {
        handle.parts().stats.dropped(reason);
        self.tell(reason, &|labeler, held| {
            warn!(
                labeler,
                reason,
                not_told = held,
                "a label or a frame of labels was dropped: {detail}"
            );
        });
    }

    /// Writes into the program's log, of each kind of news the first and then some.
    fn tell(&mut self, kind: &'static str, write: &dyn Fn(&str, u64)) {
        let name = self.address.name();
        if let Some(held) = self.noise.admit(name, kind, self.begun.elapsed()) {
            write(name, held);
        }
    }
}

impl Source for IndexFeed {
    fn name(&self) -> &str {
        self.address.name()
    }

    async fn run(&mut self, handle: SourceHandle) -> Result<(), Box<dyn Error + Send + Sync>> {
        let expiring = expire(self.labels.clone(), handle.parts().clock.clone());
        tokio::select! {
            () = self.follow(&handle) => Ok(()),
            never = expiring => match never {},
        }
    }
}

/// The end is out of reach after this many connections in a row that brought nothing.
const MOST_ATTEMPTS: u32 = 3;
