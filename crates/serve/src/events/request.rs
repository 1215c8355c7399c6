use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use jetwash::{Cursor, Filter, Kind, Micros, Seq, StartFrom};

use crate::form::format::{Compression, Shape};
use crate::form::framing::{Framing, Mark};
use crate::subscriber::bound::{Bound, Until};
use crate::subscriber::cursor::{Extent, LEAST_TIME, since_1970};
use crate::subscriber::events_query::{EventsQueryError, parse_kinds};
use crate::subscriber::pairs::Pairs;
use crate::subscriber::query::Query;
use crate::subscriber::settings::Settings;
use crate::subscriber::wire::Wire;

/// A request for events over plain HTTP.
pub(crate) struct Asked<'a> {
    pub(crate) pairs: Pairs,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) wire: Wire,
}

impl Asked<'_> {
    /// Adds to the query of a websocket what only plain HTTP has, and refuses what it has not.
    /// `None` if the answer has ended before: the client has seen its last event.
    pub(crate) fn over_http(&self, mut query: Query) -> Result<Option<Query>, EventsQueryError> {
        let log = query.log;
        self.refuse_what_needs_a_websocket(&query)?;
        if self.wire == Wire::V1
            && let Some(kinds) = parse_kinds(&self.pairs.all("kinds"))?
        {
            query.settings = Arc::new(of_kinds(&query.settings, kinds)?);
        }
        query.framing = framing(self.headers);
        if query.framing == Framing::EventStream {
            // Pages do not see those unless they listen.
            query.gaps = self.pairs.first("gaps") != "false";
        }
        query.bound = Bound {
            events: parse_limit(self.pairs.first("limit"))?,
            until: self.parse_until(query.format.shape, log)?,
        };
        let Some(last) = self.last_event_id()? else {
            return Ok(Some(query));
        };
        let next = self.resume(&mut query, last, log)?;
        let is_over = match query.bound.until {
            Some(Until::Seq(until)) => until <= next.seq,
            Some(Until::Time(until)) => until <= next.time_us,
            None => false,
        };
        let has_ended = is_over && query.framing == Framing::EventStream;
        Ok((!has_ended).then_some(query))
    }

    fn refuse_what_needs_a_websocket(&self, query: &Query) -> Result<(), EventsQueryError> {
        if query.require_hello {
            return invalid("invalid requireHello: true (clients send no messages over HTTP)");
        }
        let asks_for = match self.wire {
            Wire::V1 => "compress",
            Wire::V2 => "zstdDictionary",
        };
        if query.format.compression != Compression::None {
            return invalid(format!(
                "invalid {asks_for}: events are not compressed over HTTP"
            ));
        }
        if query.format.shape == Shape::Binary {
            return invalid("invalid format: binary (events are text over HTTP)");
        }
        Ok(())
    }

    /// Reads the cursor of the first event that is no longer wanted.
    fn parse_until(&self, shape: Shape, log: Extent) -> Result<Option<Until>, EventsQueryError> {
        let text = self.pairs.first("until");
        if text.is_empty() {
            return Ok(None);
        }
        if text == "live" {
            return Ok(Some(Until::Seq(log.next_seq)));
        }
        let Some(number) = number(text) else {
            return invalid(format!("invalid until: {text} (it is a cursor or live)"));
        };
        let has_positions = matches!(shape, Shape::V2 | Shape::V1WithCursor);
        if has_positions && number < LEAST_TIME {
            return Ok(Some(Until::Seq(Seq::new(number))));
        }
        let time = if has_positions {
            Micros::new(number)
        } else {
            Micros::from(SystemTime::UNIX_EPOCH + since_1970(number))
        };
        // Events to come are later than now, so nobody has to wait for them.
        let is_behind = log.newest_time_us.is_none_or(|newest| newest < time);
        if is_behind && time <= Micros::from(SystemTime::now()) {
            return Ok(Some(Until::Seq(log.next_seq)));
        }
        Ok(Some(Until::Time(time)))
    }

    /// The cursor of the last event that a browser has seen, when it comes back.
    fn last_event_id(&self) -> Result<Option<u64>, EventsQueryError> {
        let Some(value) = self.headers.get("last-event-id") else {
            return Ok(None);
        };
        let text = value.to_str().unwrap_or_default();
        if value.is_empty() {
            return Ok(None);
        }
        match number(text) {
            Some(number) => Ok(Some(number)),
            None => invalid(format!(
                "invalid Last-Event-ID: {text} (it is an event's id)"
            )),
        }
    }

    /// Starts after the event with this cursor, whatever the query says. Returns where that is; of
    /// position and time the one that is not known is the earliest.
    fn resume(&self, query: &mut Query, last: u64, log: Extent) -> Result<Mark, EventsQueryError> {
        let mut next = Mark {
            seq: Seq::FIRST,
            time_us: Micros::EPOCH,
        };
        (query.is_outdated, query.cursor_mode) = (false, "seq");
        if last < LEAST_TIME {
            next.seq = Seq::new(last).next();
            query.start = match next.seq {
                // Not the next one: it may come before the subscriber has its place.
                seq if seq > log.next_seq => StartFrom::Live,
                // Nothing was seen, and the log may have forgotten what came first.
                Seq::FIRST if self.wire == Wire::V1 => StartFrom::Oldest,
                seq if seq < log.oldest_seq && self.wire == Wire::V2 => {
                    return Err(EventsQueryError::CursorTooOld {
                        requested: last,
                        floor: log.oldest_seq,
                    });
                }
                seq => StartFrom::Cursor(Cursor::before(seq)),
            };
            return Ok(next);
        }
        query.cursor_mode = "time_us";
        next.time_us = Micros::new(last).next();
        let has_seen_all = log
            .newest_time_us
            .is_none_or(|newest| newest < next.time_us);
        let is_forgotten = log
            .oldest_time_us
            .is_some_and(|oldest| next.time_us < oldest);
        query.start = if has_seen_all {
            next.seq = log.next_seq;
            StartFrom::Cursor(Cursor::before(log.next_seq))
        } else if is_forgotten && self.wire == Wire::V2 {
            (query.is_outdated, query.cursor_mode) = (true, "clamped");
            StartFrom::Oldest
        } else {
            let since = Duration::from_micros(next.time_us.get());
            StartFrom::Time(SystemTime::UNIX_EPOCH + since)
        };
        Ok(next)
    }
}

/// The content type of an answer.
pub(crate) const fn content_type(framing: Framing) -> &'static str {
    match framing {
        Framing::EventStream => "text/event-stream",
        _ => "application/x-ndjson",
    }
}

fn invalid<T>(message: impl Into<String>) -> Result<T, EventsQueryError> {
    Err(EventsQueryError::Invalid(message.into()))
}

/// The same settings for fewer kinds. Version 1 has no syncs.
fn of_kinds(settings: &Settings, kinds: Vec<Kind>) -> Result<Settings, EventsQueryError> {
    if kinds.contains(&Kind::Sync) {
        return invalid("invalid kinds: sync (version 1 has none, /v2/events does)");
    }
    if settings.filter.has_collections() && !kinds.contains(&Kind::Commit) {
        return invalid(
            "invalid kinds: wantedCollections apply to commits, which kinds leaves out",
        );
    }
    let old = &settings.filter;
    let filter = Filter::new().kinds(kinds);
    let filter = filter.collections(old.named_collections());
    let filter = filter.and_then(|filter| filter.dids(old.named_dids()));
    match filter {
        Ok(filter) => Ok(Settings::of(filter, settings.max_message_size)),
        Err(error) => invalid(format!("invalid subscriber options: {error}")),
    }
}

fn parse_limit(text: &str) -> Result<Option<u64>, EventsQueryError> {
    match number(text) {
        _ if text.is_empty() => Ok(None),
        Some(limit @ 1..) => Ok(Some(limit)),
        _ => invalid(format!(
            "invalid limit: {text} (it is a number of events from 1 on)"
        )),
    }
}

/// A number in decimal digits alone, within those that the log can hold.
fn number(text: &str) -> Option<u64> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_digits);
    number.filter(|number| i64::try_from(*number).is_ok())
}

/// Browsers ask for an event stream by its name; everybody else gets lines.
fn framing(headers: &HeaderMap) -> Framing {
    let mut accepted = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim());
    if accepted.any(|range| range.eq_ignore_ascii_case("text/event-stream")) {
        Framing::EventStream
    } else {
        Framing::Lines
    }
}
