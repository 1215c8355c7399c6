use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use jetwash::store::{Bounds, Retention};
use jetwash::{Jetstream, Micros, Snapshot, Upstream, UpstreamState};
use serde::Serialize;

use crate::page::collections::CollectionRates;
use crate::page::consumers::{ConsumerView, ConsumerViews};
use crate::page::numbers::{cut, hours, now_ms, seconds};
use crate::page::options::StatusPageOptions;
use crate::page::subscribers::SubscriberViews;
use crate::subscriber::register::Register;

/// The status at one moment. `docs/page.md` of the repository lists its fields.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    version: &'static str,
    at_ms: u64,
    ready: bool,
    /// Why it is not ready.
    not_ready: Option<String>,
    totals: Totals,
    log: LogView,
    upstreams: Vec<UpstreamView>,
    subscribers: SubscriberViews,
    consumer_count: usize,
    consumers: Vec<ConsumerView>,
    losses: Losses,
    collections: CollectionRates,
    verdicts: Counted,
    viewers: Viewers,
}

type Counted = BTreeMap<&'static str, u64>;

/// Counts since the start of what is no loss.
#[derive(Debug, Serialize)]
struct Totals {
    frames: u64,
    frame_bytes: u64,
    events: u64,
    json_bytes: u64,
    compressed_bytes: u64,
    delivered_events: u64,
    delivered_bytes: u64,
    rejected: u64,
    ignored: u64,
    repeated: u64,
    late: u64,
    held: u64,
    reconnects: Counted,
}

#[derive(Debug, Serialize)]
struct LogView {
    id: String,
    oldest_seq: u64,
    next_seq: u64,
    oldest_time_us: Option<u64>,
    newest_time_us: Option<u64>,
    events: u64,
    bytes: u64,
    /// How old the oldest event is.
    hours_held: Option<f64>,
    /// How long it takes until the oldest event is forgotten; `null` if that is not known.
    hours_left: Option<f64>,
    /// Why it cannot be written.
    stalled: Option<String>,
}

#[derive(Debug, Serialize)]
struct UpstreamView {
    name: String,
    state: &'static str,
    /// Why it does not continue.
    reason: Option<String>,
    /// How many attempts in a row have brought nothing.
    attempt: Option<u32>,
    connected_s: Option<f64>,
    last_event_s: Option<f64>,
    last_message_s: Option<f64>,
    lag_s: Option<f64>,
    rate: Option<f64>,
    last_end: Option<String>,
}

/// Counts that should be zero.
#[derive(Debug, Serialize)]
struct Losses {
    dropped: Counted,
    invalid: Counted,
    gaps: Counted,
    panics: Counted,
    clock_jumps: u64,
    /// Positions of the log without an event, as a power failure took it.
    lost_positions: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Viewers {
    pub(crate) count: usize,
    pub(crate) most: usize,
    pub(crate) refused: u64,
}

/// The sources of a status.
pub(crate) struct Parts<'a> {
    pub(crate) jetstream: &'a Jetstream,
    pub(crate) register: &'a Register,
    pub(crate) options: &'a StatusPageOptions,
    pub(crate) consumers: ConsumerViews,
    pub(crate) collections: CollectionRates,
    pub(crate) viewers: Viewers,
}

impl Status {
    pub(crate) fn new(parts: Parts<'_>) -> Self {
        let Parts {
            jetstream,
            register,
            options,
            consumers,
            collections,
            viewers,
        } = parts;
        let (snapshot, bounds) = (jetstream.snapshot(), jetstream.bounds());
        let not_ready = jetstream.readiness().err();
        let upstreams = jetstream.upstreams().into_iter().take(MOST_UPSTREAMS);
        let delivered = register.delivered();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            at_ms: now_ms(),
            ready: not_ready.is_none(),
            not_ready: not_ready.map(|why| cut(&why.to_string())),
            log: LogView {
                id: jetstream.log_id().to_string(),
                ..LogView::new(&bounds, &snapshot, jetstream.retention())
            },
            upstreams: upstreams.map(UpstreamView::new).collect(),
            subscribers: SubscriberViews::new(register, &bounds, options.show_addresses),
            consumer_count: consumers.count,
            consumers: consumers.listed,
            collections,
            verdicts: snapshot.verdicts,
            viewers,
            losses: Losses {
                dropped: snapshot.dropped,
                invalid: snapshot.invalid,
                gaps: snapshot.gaps,
                panics: snapshot.panics,
                clock_jumps: snapshot.clock_jumps,
                lost_positions: bounds.lost,
            },
            totals: Totals {
                frames: snapshot.frames,
                frame_bytes: snapshot.frame_bytes,
                events: snapshot.events,
                json_bytes: snapshot.json_bytes,
                compressed_bytes: snapshot.compressed_bytes,
                delivered_events: delivered.events,
                delivered_bytes: delivered.bytes,
                rejected: snapshot.rejected,
                ignored: snapshot.ignored,
                repeated: snapshot.repeated,
                late: snapshot.late,
                held: snapshot.held,
                reconnects: snapshot.reconnects,
            },
        }
    }
}

impl LogView {
    /// The view without the log's name.
    fn new(bounds: &Bounds, snapshot: &Snapshot, retention: Retention) -> Self {
        let now = Micros::from(SystemTime::now());
        let held = bounds.oldest_time_us.map(|oldest| now.since(oldest));
        let left = held.and_then(|held| time_left(held, bounds.bytes, retention));
        Self {
            id: String::new(),
            oldest_seq: bounds.oldest_seq.get(),
            next_seq: bounds.next_seq.get(),
            oldest_time_us: bounds.oldest_time_us.map(Micros::get),
            newest_time_us: bounds.newest_time_us.map(Micros::get),
            events: bounds.events(),
            bytes: bounds.bytes,
            hours_held: held.map(hours),
            hours_left: left.map(hours),
            stalled: snapshot.stalled.as_deref().map(cut),
        }
    }
}

/// How long it takes until the log forgets its oldest event, if it grows as it has grown so far.
fn time_left(held: Duration, bytes: u64, retention: Retention) -> Option<Duration> {
    let by_time = retention.max_age.map(|most| most.saturating_sub(held));
    let by_bytes = retention.max_bytes.filter(|_| bytes > 0).map(|most| {
        let share = most.saturating_sub(bytes) as f64 / bytes as f64;
        // A century is as good as for ever, and fits.
        let seconds = (held.as_secs_f64() * share).min(CENTURY);
        Duration::from_secs_f64(seconds)
    });
    match (by_time, by_bytes) {
        (Some(time), Some(bytes)) => Some(time.min(bytes)),
        (time, bytes) => time.or(bytes),
    }
}

impl UpstreamView {
    fn new(upstream: Upstream) -> Self {
        let (mut reason, mut attempt) = (None, None);
        match &upstream.state {
            UpstreamState::Connecting { attempt: number } => attempt = Some(*number),
            UpstreamState::Stalled { reason: why } => reason = Some(cut(why)),
            _ => {}
        }
        Self {
            name: cut(&upstream.name),
            state: upstream.state.name(),
            reason,
            attempt,
            connected_s: upstream.connected_for.map(seconds),
            last_event_s: upstream.last_event.map(seconds),
            last_message_s: upstream.last_message.map(seconds),
            lag_s: upstream.lag.map(seconds),
            rate: upstream.rate.filter(|rate| rate.is_finite()),
            last_end: upstream.last_end.as_deref().map(cut),
        }
    }
}

const MOST_UPSTREAMS: usize = 100;
/// In seconds.
const CENTURY: f64 = 100.0 * 365.25 * 24.0 * 3600.0;

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn the_log_forgets_by_time_or_by_bytes() {
        let left = |max_age, max_bytes| {
            let retention = Retention { max_age, max_bytes };
            time_left(6 * HOUR, 1_000, retention).map(hours)
        };
        assert_eq!(left(None, None), None);
        assert_eq!(left(Some(24 * HOUR), None), Some(18.0));
        assert_eq!(left(Some(HOUR), None), Some(0.0));
        assert_eq!(left(None, Some(1_500)), Some(3.0));
        assert_eq!(left(None, Some(900)), Some(0.0));
        assert_eq!(left(Some(24 * HOUR), Some(1_500)), Some(3.0));
        let most = left(None, Some(u64::MAX));
        assert_eq!(most, Some(876_600.0));
    }
}
