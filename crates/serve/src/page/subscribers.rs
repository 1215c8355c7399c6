use std::cmp::Reverse;
use std::net::IpAddr;

use jetwash::store::Bounds;
use jetwash::{Filter, Kind, Seq};
use serde::Serialize;

use crate::form::format::{Compression, Shape};
use crate::page::numbers::{cut, seconds};
use crate::subscriber::events_query::KINDS;
use crate::subscriber::register::{Register, Report};
use crate::subscriber::settings::Settings;

/// The subscribers, those that are furthest behind first.
#[derive(Debug, Serialize)]
pub(crate) struct SubscriberViews {
    count: usize,
    /// Up to 100 of them.
    listed: Vec<SubscriberView>,
}

/// A subscriber or mirror as the page shows it.
#[derive(Debug, Serialize)]
struct SubscriberView {
    /// Counted from 1, in the order of coming.
    number: u64,
    /// `null` if it is unknown or hidden.
    address: Option<IpAddr>,
    connected_s: f64,
    /// `v0`, `v1`, `v2`, `binary` or `mirror`.
    format: &'static str,
    /// `none`, `event`, `batch` or `stream`.
    compression: &'static str,
    filter: FilterView,
    /// The position of the next event.
    seq: u64,
    /// How many events of the log it has yet to pass, wanted or not.
    lag_events: u64,
    /// How much older the last event that it has passed is than the newest; `null` if unknown.
    lag_s: Option<f64>,
    events: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct FilterView {
    /// Up to 10 of them.
    collections: Vec<String>,
    collection_count: usize,
    did_count: usize,
    kinds: Vec<&'static str>,
    /// 0 for any size.
    max_message_bytes: u32,
}

impl SubscriberViews {
    pub(crate) fn new(register: &Register, bounds: &Bounds, shows_addresses: bool) -> Self {
        let lag = |report: &Report| lag_of(report.next_seq(), bounds);
        let mut reports = register.all();
        let count = reports.len();
        reports.sort_by_cached_key(|report| Reverse(lag(report)));
        let listed = reports.iter().take(MOST_LISTED).map(|report| {
            let mut view = SubscriberView::new(report, bounds);
            view.address = report.address.filter(|_| shows_addresses);
            view
        });
        Self {
            count,
            listed: listed.collect(),
        }
    }
}

impl SubscriberView {
    /// The view without the address.
    fn new(report: &Report, bounds: &Bounds) -> Self {
        let (shape, compression) = report.format.map_or(("mirror", "event"), |format| {
            let shape = match format.shape {
                Shape::V0 => "v0",
                Shape::V1 | Shape::V1WithCursor => "v1",
                Shape::V2 => "v2",
                Shape::Binary => "binary",
            };
            let compression = match format.compression {
                Compression::None => "none",
                Compression::Event => "event",
                Compression::Batch => "batch",
                Compression::Stream => "stream",
            };
            (shape, compression)
        });
        let (lag_events, passed) = (lag_of(report.next_seq(), bounds), report.time_us());
        let lag = bounds.newest_time_us.map(|newest| newest.since(passed));
        let lag = lag.filter(|_| passed.get() > 0);
        let delivered = report.delivered();
        Self {
            number: report.number,
            address: None,
            connected_s: seconds(report.since.elapsed()),
            format: shape,
            compression,
            filter: FilterView::new(&report.settings()),
            seq: report.next_seq().get(),
            lag_events,
            lag_s: if lag_events == 0 {
                Some(0.0)
            } else {
                lag.map(seconds)
            },
            events: delivered.events,
            bytes: delivered.bytes,
        }
    }
}

impl FilterView {
    fn new(settings: &Settings) -> Self {
        let filter: &Filter = &settings.filter;
        let collections = filter.named_collections().take(MOST_COLLECTIONS);
        let kinds = KINDS.into_iter();
        let kinds = kinds.filter(|kind| filter.matches_kind(*kind));
        Self {
            collections: collections.map(|name| cut(&name)).collect(),
            collection_count: filter.collection_count(),
            did_count: filter.did_count(),
            kinds: kinds.map(Kind::as_str).collect(),
            max_message_bytes: settings.max_message_size,
        }
    }
}

/// How many events there are from a position on; all of them where it is not known yet.
fn lag_of(next_seq: Seq, bounds: &Bounds) -> u64 {
    bounds.next_seq.since(next_seq.max(bounds.oldest_seq))
}

const MOST_LISTED: usize = 100;
const MOST_COLLECTIONS: usize = 10;
