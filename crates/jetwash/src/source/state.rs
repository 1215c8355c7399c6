use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{describe_gauge, gauge};
use thiserror::Error;
use tokio::time::{Instant, interval};

use crate::stats::Stats;

/// A relay, a Jetstream or a mirrored log, and how the connection to it is: see
/// [`Jetstream::upstreams`](crate::Jetstream::upstreams).
///
/// # Examples
///
/// ```
/// use jetwash::{Jetstream};
///
/// let (jetstream, _ingest) = Jetstream::builder().relay("relay.example").build()?;
/// let upstream = &jetstream.upstreams()[0];
/// assert_eq!(upstream.connected_for, None);
/// println!("{}: {}, lag {:?}", upstream.name, upstream.state.name(), upstream.lag);
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Upstream {
    /// Its name, which is that of its cursor: the [`Endpoint`](crate::Endpoint) as text, or the first
    /// host of a Jetstream or of a mirrored log.
    pub name: Arc<str>,
    /// How the connection is.
    pub state: UpstreamState,
    /// How long the connection has lasted; `None` without a connection.
    pub connected_for: Option<Duration>,
    /// How long ago the last frame or event came, from any connection.
    pub last_event: Option<Duration>,
    /// How long ago anything came: a frame, a ping or a pong.
    pub last_message: Option<Duration>,
    /// How old the last commits were when they came, by their revisions: the median of a few.
    pub lag: Option<Duration>,
    /// How many frames a second it sends when it is not catching up, as far as is known.
    pub rate: Option<f64>,
    /// Why the last connection or attempt ended.
    pub last_end: Option<String>,
}

/// How the connection to a relay is.
///
/// # Examples
///
/// ```
/// use jetwash::{Jetstream, UpstreamState};
///
/// let (jetstream, _ingest) = Jetstream::builder().relay("relay.example").build()?;
/// match &jetstream.upstreams()[0].state {
///     UpstreamState::Connecting { attempt } => assert_eq!(*attempt, 0),
///     UpstreamState::Stalled { reason } => println!("{reason}"),
///     other => println!("{}", other.name()),
/// }
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpstreamState {
    /// Not connected: an attempt is under way or due.
    Connecting {
        /// How many attempts in a row have brought nothing so far.
        attempt: u32,
    },
    /// There is one, and it is heard: a quiet host sends nothing but pongs.
    Connected,
    /// There is one and it answers pings, but no event has come for longer than its rate explains.
    Silent,
    /// It does not continue.
    Stalled {
        /// Why: the log cannot be written, a message of the relay is in the way, or no host serves
        /// this mirror.
        reason: String,
    },
}

impl UpstreamState {
    /// A short name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Connected => "connected",
            Self::Silent => "silent",
            Self::Stalled { .. } => "stalled",
        }
    }
}

/// Why a Jetstream is not ready: see [`Jetstream::readiness`](crate::Jetstream::readiness).
///
/// # Examples
///
/// ```
/// use jetwash::{Jetstream, NotReady};
///
/// let (jetstream, _ingest) = Jetstream::builder().relay("relay.example").build()?;
/// // It has not been run.
/// assert_eq!(jetstream.readiness(), Err(NotReady::NotRunning));
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotReady {
    /// The [ingest](crate::Ingest) has not been run, has ended, or was dropped.
    #[error("it does not run")]
    NotRunning,
    /// The log cannot be written, the disk is full for example.
    #[error("the log cannot be written: {0}")]
    LogStalled(String),
    /// No relay is connected.
    #[error("no relay is connected: {0}")]
    NoUpstream(String),
}

/// The state of a relay, kept up by its task and read by anyone.
#[derive(Debug)]
pub(crate) struct Watch {
    name: Arc<str>,
    begun: Instant,
    /// Microseconds since `begun`; 0 for never.
    last_event: AtomicU64,
    last_message: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    attempt: u32,
    connected: Option<Instant>,
    is_silent: bool,
    stuck: Option<String>,
    last_end: Option<String>,
    rate: Option<f64>,
    lags: VecDeque<Duration>,
}

impl Watch {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            begun: Instant::now(),
            last_event: AtomicU64::new(0),
            last_message: AtomicU64::new(0),
            inner: Mutex::default(),
        }
    }

    pub(super) fn connected(&self, now: Instant) {
        let mut inner = self.inner();
        inner.connected = Some(now);
        inner.is_silent = false;
        drop(inner);
        self.message(now);
    }

    pub(crate) fn ended(&self, why: String, attempt: u32, stuck: Option<String>) {
        let mut inner = self.inner();
        inner.connected = None;
        inner.is_silent = false;
        inner.attempt = attempt;
        inner.last_end = Some(why);
        inner.stuck = stuck;
    }

    /// The place where it was stuck is behind.
    pub(super) fn is_past(&self) {
        self.inner().stuck = None;
    }

    pub(super) fn event(&self, now: Instant) {
        self.last_event.store(self.micros(now), Ordering::Relaxed);
        self.message(now);
    }

    pub(super) fn message(&self, now: Instant) {
        self.last_message.store(self.micros(now), Ordering::Relaxed);
    }

    pub(super) fn lag(&self, lag: Duration) {
        let lags = &mut self.inner().lags;
        if lags.len() == LAGS {
            lags.pop_front();
        }
        lags.push_back(lag);
    }

    pub(super) fn median_lag(&self) -> Option<Duration> {
        self.inner().median_lag()
    }

    pub(super) fn pulse(&self, is_silent: bool, rate: Option<f64>) {
        let mut inner = self.inner();
        inner.is_silent = is_silent;
        inner.rate = rate;
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.inner().connected.is_some()
    }

    /// Returns the public view. `stalled` is why the log cannot be written, if it cannot.
    pub(crate) fn view(&self, now: Instant, stalled: Option<&str>) -> Upstream {
        let inner = self.inner();
        let ago = |micros: &AtomicU64| match micros.load(Ordering::Relaxed) {
            0 => None,
            micros => {
                let at = self.begun + Duration::from_micros(micros);
                Some(now.saturating_duration_since(at))
            }
        };
        // Of several states the one that needs a person comes first: a log that cannot be written
        // stalls a connected relay, whatever else is true of it.
        let state = match (inner.connected, stalled, &inner.stuck) {
            (Some(_), Some(reason), _) => UpstreamState::Stalled {
                reason: format!("the log cannot be written: {reason}"),
            },
            (_, _, Some(reason)) => UpstreamState::Stalled {
                reason: reason.clone(),
            },
            (Some(_), None, None) if inner.is_silent => UpstreamState::Silent,
            (Some(_), None, None) => UpstreamState::Connected,
            (None, _, None) => UpstreamState::Connecting {
                attempt: inner.attempt,
            },
        };
        let connected = inner.connected;
        Upstream {
            name: Arc::clone(&self.name),
            state,
            connected_for: connected.map(|since| now.saturating_duration_since(since)),
            last_event: ago(&self.last_event),
            last_message: ago(&self.last_message),
            lag: inner.median_lag(),
            rate: inner.rate,
            last_end: inner.last_end.clone(),
        }
    }

    /// Hands all of it to the metrics.
    pub(crate) fn publish(&self, stalled: Option<&str>) {
        let view = self.view(Instant::now(), stalled);
        let label = [("relay", self.name.to_string())];
        let state = match view.state {
            UpstreamState::Connecting { .. } => 0.0,
            UpstreamState::Connected => 1.0,
            UpstreamState::Silent => 2.0,
            UpstreamState::Stalled { .. } => 3.0,
        };
        gauge!("jetwash_upstream_state", &label).set(state);
        if let Some(lag) = view.lag {
            gauge!("jetwash_upstream_lag_seconds", &label).set(lag.as_secs_f64());
        }
        if let Some(age) = view.last_event {
            gauge!("jetwash_upstream_last_event_age_seconds", &label).set(age.as_secs_f64());
        }
        if let Some(age) = view.last_message {
            gauge!("jetwash_upstream_last_message_age_seconds", &label).set(age.as_secs_f64());
        }
    }

    fn micros(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.begun).as_micros();
        u64::try_from(since).unwrap_or(u64::MAX).max(1)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn median_lag(&self) -> Option<Duration> {
        let mut lags: Vec<_> = self.lags.iter().copied().collect();
        lags.sort_unstable();
        lags.get(lags.len() / 2).copied()
    }
}

/// Says what the gauges of relays mean.
pub(crate) fn describe() {
    describe_gauge!(
        "jetwash_upstream_state",
        "How the connection to a relay is: 0 connecting, 1 connected, 2 silent, 3 stalled"
    );
    describe_gauge!(
        "jetwash_upstream_lag_seconds",
        "How old the last commits of a relay were when they came, the median of a few"
    );
    describe_gauge!(
        "jetwash_upstream_last_event_age_seconds",
        "How long ago the last frame of a relay came"
    );
    describe_gauge!(
        "jetwash_upstream_last_message_age_seconds",
        "How long ago a relay was heard: by a frame, a ping or a pong"
    );
}

const LAGS: usize = 9;

/// Keeps the metrics of the relays up to date, whatever their tasks wait for.
pub(crate) async fn publish(watches: Vec<Arc<Watch>>, stats: Arc<Stats>) {
    let mut tick = interval(PUBLISH);
    loop {
        tick.tick().await;
        let stalled = stats.stalled();
        for watch in &watches {
            watch.publish(stalled.as_deref());
        }
    }
}

const PUBLISH: Duration = Duration::from_secs(5);
