use std::sync::Arc;
use std::time::Duration;

use jetwash_websocket::{Backoff, SocketError};
use tokio::sync::watch;
use tokio::time::sleep;

use super::dictionaries::Dictionaries;
use super::hosts::Hosts;
use super::output::{Output, Stopped};
use super::pace::Pace;
use super::settings::Settings;
use crate::connection::{ConnectionError, Dialer, Refusal};
use crate::error::ClientError;
use crate::filter::ClientFilter;
use crate::item::{ClientItem, Disconnected};
use crate::resume::Resume;
use crate::snapshot::{Count, Counters, Tally};

/// The task behind a client: one connection after the other.
pub(crate) struct Runner {
    pub(super) settings: Settings,
    pub(super) hosts: Hosts,
    pub(super) dialer: Dialer,
    pub(super) dictionaries: Dictionaries,
    pub(super) resume: Resume,
    pub(super) pace: Pace,
    pub(super) filter: Arc<ClientFilter>,
    pub(super) filters: watch::Receiver<Arc<ClientFilter>>,
    pub(super) output: Output,
    pub(super) counters: Arc<Counters>,
    pub(super) tally: Tally,
    pub(super) hashes: foldhash::fast::RandomState,
    /// Decompressed text.
    pub(super) scratch: Vec<u8>,
    /// New events of this connection.
    pub(super) new_events: u64,
    backoff: Backoff,
    /// The host of the connection, also when another is next.
    ended: usize,
    /// How many attempts in a row brought nothing.
    failures: usize,
    /// How many connections in a row were made anew at once, without a new event.
    repeated: u32,
}

/// The end of a connection, or of an attempt.
pub(super) enum End {
    /// The reader is gone.
    Stopped,
    /// The same host is to be asked again in another way, at once.
    Again(&'static str),
    /// Version 2 has to be asked anew for another filter.
    Refilter,
    Failed(ConnectionError),
    Fatal(ClientError),
}

impl From<Stopped> for End {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<SocketError> for End {
    fn from(error: SocketError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<ConnectionError> for End {
    fn from(error: ConnectionError) -> Self {
        Self::Failed(error)
    }
}

impl Runner {
    pub(crate) fn new(
        mut settings: Settings,
        filters: watch::Receiver<Arc<ClientFilter>>,
        output: Output,
        counters: Arc<Counters>,
    ) -> Self {
        let dictionaries = std::mem::take(&mut settings.dictionaries);
        let filter = Arc::clone(&filters.borrow());
        Self {
            hosts: Hosts::new(&settings.hosts),
            dialer: Dialer::new(settings.dialer.clone()),
            dictionaries: Dictionaries::new(dictionaries),
            resume: Resume::new(settings.cursor.clone(), settings.overlap, WINDOW),
            pace: Pace::default(),
            filter,
            filters,
            output,
            counters,
            tally: Tally::default(),
            hashes: foldhash::fast::RandomState::default(),
            scratch: Vec::new(),
            new_events: 0,
            backoff: Backoff::new(FIRST_WAIT),
            ended: 0,
            failures: 0,
            repeated: 0,
            settings,
        }
    }

    /// Runs until the reader is gone, or no host can be asked any more.
    pub(crate) async fn run(mut self) {
        loop {
            self.new_events = 0;
            self.ended = self.hosts.current();
            let end = match self.connection().await {
                Ok(never) => match never {},
                Err(end) => end,
            };
            let has_progressed = self.new_events > 0;
            if has_progressed {
                self.repeated = 0;
            }
            let (reason, wait) = match end {
                End::Stopped => return,
                End::Fatal(error) => return self.output.fail(error).await,
                End::Refilter => ("the filter has changed".to_owned(), self.backoff.short()),
                End::Again(reason) if self.repeated < MAX_REPEATED => {
                    self.repeated += 1;
                    (reason.to_owned(), Duration::ZERO)
                }
                End::Again(reason) => (reason.to_owned(), self.backoff.after_failure()),
                End::Failed(error) => match self.failed(&error, has_progressed) {
                    Ok(wait) => (error.to_string(), wait),
                    Err(error) => return self.output.fail(error).await,
                },
            };
            if self.rest(reason, wait).await.is_err() {
                return;
            }
        }
    }

    /// Chooses the host to ask next, and how long to wait before.
    ///
    /// A host that has just sent something is asked again, because only there the stream continues
    /// exactly; for one that is silent, refuses or breaks the protocol the next is
    /// asked.
    fn failed(
        &mut self,
        error: &ConnectionError,
        has_progressed: bool,
    ) -> Result<Duration, ClientError> {
        if let Some(refusal) = error.refusal() {
            let is_transient = refusal.is_absent() && self.hosts.state().has_worked;
            if refusal.is_permanent() && !is_transient {
                return self.refused(refusal);
            }
            let wait = refusal.retry_after.unwrap_or_default();
            self.hosts.state().rest(wait);
        }
        let stays = matches!(
            error,
            ConnectionError::Frame { .. }
                | ConnectionError::Socket(
                    SocketError::Closed(_) | SocketError::Connect(_) | SocketError::CutShort
                )
        );
        if has_progressed {
            self.failures = 0;
            let resting = if stays {
                self.hosts.resting()
            } else {
                self.hosts.advance()
            };
            return Ok(self.backoff.after_progress(self.new_events).max(resting));
        }
        self.failures += 1;
        let resting = self.hosts.advance();
        // Only when all hosts have failed there is reason to wait longer.
        let is_round = self.failures.is_multiple_of(self.hosts.len());
        let wait = if is_round {
            self.backoff.after_failure()
        } else {
            self.backoff.short()
        };
        Ok(wait.max(resting))
    }

    /// The host refuses for good, so that the others are asked; an error if all do.
    fn refused(&mut self, refusal: &Refusal) -> Result<Duration, ClientError> {
        if self.hosts.refuse(refusal.clone()) {
            return Err(ClientError::Refused {
                host: self.hosts.state().host.to_string(),
                status: refusal.status,
                name: refusal.name.clone(),
                message: refusal.message.clone(),
            });
        }
        Ok(self.hosts.advance().max(self.backoff.short()))
    }

    /// Says that a connection has ended, and waits.
    async fn rest(&mut self, reason: String, wait: Duration) -> Result<(), Stopped> {
        self.tally.add(Count::Disconnections, 1);
        self.counters.take(&mut self.tally);
        self.counters.disconnected(reason.clone());
        let host = Arc::clone(&self.settings.hosts[self.ended].name);
        self.output.push(ClientItem::Disconnected(Disconnected {
            host,
            reason,
            wait,
        }));
        self.output.flush().await?;
        tokio::select! {
            () = sleep(wait) => Ok(()),
            () = self.output.closed() => Err(Stopped),
        }
    }
}

/// New events of the last seconds of the whole network, several times over.
const WINDOW: usize = 1 << 15;
const MAX_REPEATED: u32 = 8;
const FIRST_WAIT: Duration = Duration::from_millis(250);
