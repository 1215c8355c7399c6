use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use jetwash::event::Nsid;
use jetwash::{Cursor, Filter, Kind, Micros, Seq, StartFrom};
use thiserror::Error;

use crate::form::format::{Compression, Format, Shape};
use crate::form::framing::Framing;
use crate::options::ServeOptions;
use crate::subscriber::bound::Bound;
use crate::subscriber::cursor::{Extent, LEAST_TIME};
use crate::subscriber::pairs::Pairs;
use crate::subscriber::query::{Query, QueryError, asks_for_zstd, parse_progress};
use crate::subscriber::settings::Settings;

/// Reads the query string of `network.bsky.jetstream.subscribeEvents`. Unlike in version 1, a
/// mistake is refused wherever it can be recognised, so that a typing error does not turn into
/// silence or into everything.
///
/// `log` says what a cursor stands for.
pub(crate) fn parse_events(
    query: &str,
    headers: &HeaderMap,
    options: &ServeOptions,
    log: Extent,
    now: SystemTime,
) -> Result<Query, EventsQueryError> {
    let pairs = Pairs::parse(query);
    if !pairs.is_whole {
        return invalid("the query string is malformed");
    }
    refuse_version_1(&pairs, headers)?;
    let filter = parse_filter(&pairs, options)?;
    let settings = Settings::of(filter, parse_size(&pairs)?);
    let dictionary = parse_dictionary(pairs.first("zstdDictionary"))?;
    let (start, is_outdated, mode) = parse_cursor(pairs.first("cursor"), log, now)?;
    let progress = parse_progress(pairs.first("progress"));
    Ok(Query {
        start,
        is_outdated,
        cursor_mode: mode,
        settings: Arc::new(settings),
        format: Format {
            shape: Shape::V2,
            verdicts: false,
            compression: if dictionary.is_some() {
                Compression::Event
            } else {
                Compression::None
            },
        },
        dictionary,
        require_hello: false,
        progress: progress.or_else(|error: QueryError| invalid(error.to_string()))?,
        caught_up: pairs.first("caughtUp") == "true",
        gaps: pairs.first("gaps") == "true",
        framing: Framing::Websocket,
        bound: Bound::default(),
        log,
    })
}

/// Why a query is refused, before the connection becomes a websocket.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum EventsQueryError {
    #[error("{0}")]
    Invalid(String),
    #[error("cursor {requested} is older than the log, whose oldest event has seq {floor}")]
    CursorTooOld { requested: u64, floor: Seq },
}

fn invalid<T>(message: impl Into<String>) -> Result<T, EventsQueryError> {
    Err(EventsQueryError::Invalid(message.into()))
}

/// Refuses what a client of version 1 would ask for: it would get something else than it means.
fn refuse_version_1(pairs: &Pairs, headers: &HeaderMap) -> Result<(), EventsQueryError> {
    for (name, instead) in [
        ("wantedCollections", "use collections"),
        ("wantedDids", "use dids"),
        (
            "requireHello",
            "there is no hello: filters are in the query string",
        ),
    ] {
        if pairs.has(name) {
            return invalid(format!("{name} is a parameter of version 1: {instead}"));
        }
    }
    if pairs.first("compress") == "true" {
        return invalid("compress is a parameter of version 1: use zstdDictionary");
    }
    if asks_for_zstd(headers) {
        return invalid("Socket-Encoding is a header of version 1: use zstdDictionary");
    }
    Ok(())
}

fn parse_filter(pairs: &Pairs, options: &ServeOptions) -> Result<Filter, EventsQueryError> {
    let kinds = parse_kinds(&pairs.all("kinds"))?;
    let collections = pairs.all("collections");
    if collections.len() > options.max_collections {
        let (count, most) = (collections.len(), options.max_collections);
        return invalid(format!("too many collections: {count}, at most {most}"));
    }
    let mut filter = Filter::new();
    for pattern in collections {
        check_collection(pattern)?;
        let added = filter.collections([pattern]);
        filter = added.or_else(|error| invalid(error.to_string()))?;
    }
    let dids = pairs.all("dids");
    // Repetitions count: a client is to know beforehand whether its list is accepted.
    if dids.len() > options.max_dids {
        let (count, most) = (dids.len(), options.max_dids);
        return invalid(format!("too many dids: {count}, at most {most}"));
    }
    let filter = filter.dids(dids);
    let filter = filter.or_else(|error| invalid(error.to_string()))?;
    let Some(kinds) = kinds else {
        return Ok(filter);
    };
    if filter.has_collections() && !kinds.contains(&Kind::Commit) {
        return invalid("collections apply to commits, which kinds leaves out");
    }
    Ok(filter.kinds(kinds))
}

/// The kinds that clients may name. Labels are in a log of their own, where there is nothing else.
pub(crate) const KINDS: [Kind; 4] = [Kind::Commit, Kind::Identity, Kind::Account, Kind::Sync];

/// Returns the kinds that are named, if any are.
pub(crate) fn parse_kinds(names: &[&str]) -> Result<Option<Vec<Kind>>, EventsQueryError> {
    if names.len() > MOST_KINDS {
        let count = names.len();
        return invalid(format!("too many kinds: {count}, at most {MOST_KINDS}"));
    }
    let mut kinds = Vec::new();
    for &name in names {
        match KINDS.into_iter().find(|kind| kind.as_str() == name) {
            Some(kind) => kinds.push(kind),
            None => {
                return invalid(format!(
                    "unknown kind: {name:?} (it is commit, identity, account or sync)"
                ));
            }
        }
    }
    Ok((!names.is_empty()).then_some(kinds))
}

/// Checks that a pattern is a collection, or the start of one: with one more segment it is one.
fn check_collection(pattern: &str) -> Result<(), EventsQueryError> {
    let checked = match pattern.strip_suffix(".*") {
        Some(start) => format!("{start}.x").parse::<Nsid>(),
        None => pattern.parse::<Nsid>(),
    };
    match checked {
        Ok(_) => Ok(()),
        Err(error) => invalid(format!("invalid collection: {pattern:?}: {error}")),
    }
}

fn parse_size(pairs: &Pairs) -> Result<u32, EventsQueryError> {
    match pairs.all("maxMessageSizeBytes")[..] {
        [] => Ok(0),
        [text] => match number(text) {
            Some(size) => Ok(size),
            None => invalid(format!(
                "maxMessageSizeBytes {text:?}: it must be a whole number from 0 to {}",
                u32::MAX
            )),
        },
        _ => invalid("maxMessageSizeBytes is given more than once"),
    }
}

fn parse_dictionary(text: &str) -> Result<Option<u32>, EventsQueryError> {
    match number(text) {
        _ if text.is_empty() => Ok(None),
        Some(id @ 1..) => Ok(Some(id)),
        _ => invalid(format!(
            "zstdDictionary {text:?}: it must be a whole number from 1 to {}",
            u32::MAX
        )),
    }
}

/// A number in decimal digits alone.
fn number(text: &str) -> Option<u32> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
}

/// Returns where to start, whether that is later than the cursor said, and what sort of cursor it
/// is, for a metric.
fn parse_cursor(
    text: &str,
    log: Extent,
    now: SystemTime,
) -> Result<(StartFrom, bool, &'static str), EventsQueryError> {
    if text.is_empty() {
        return Ok((StartFrom::Live, false, "live"));
    }
    let Some(number) = text.parse().ok().filter(|number: &u64| *number <= MAX) else {
        return invalid(format!(
            "cursor {text:?}: it must be a whole number from 0 to {MAX}"
        ));
    };
    if number >= LEAST_TIME {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(number);
        if time > now {
            return Ok((StartFrom::Live, false, "time_us"));
        }
        // Without events, those of that time may have been forgotten, unless there never were any.
        let is_outdated = match log.oldest_time_us {
            Some(oldest) => Micros::new(number) < oldest,
            None => log.next_seq > Seq::FIRST,
        };
        return Ok(if is_outdated {
            (StartFrom::Oldest, true, "clamped")
        } else {
            (StartFrom::Time(time), false, "time_us")
        });
    }
    // The first event has position 1, so 0 asks for the same.
    let seq = Seq::new(number).max(Seq::FIRST);
    // Not the next one: it may come before the subscriber has its place.
    if seq > log.next_seq {
        return Ok((StartFrom::Live, false, "seq"));
    }
    if seq < log.oldest_seq {
        return Err(EventsQueryError::CursorTooOld {
            requested: number,
            floor: log.oldest_seq,
        });
    }
    Ok((StartFrom::Cursor(Cursor::before(seq)), false, "seq"))
}

const MAX: u64 = i64::MAX as u64;
const MOST_KINDS: usize = KINDS.len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_position_or_a_time_and_a_time_may_be_outdated() {
        const OLDEST: u64 = 1_700_000_000_000_000;
        let log = Extent {
            oldest_seq: Seq::new(100),
            next_seq: Seq::new(1000),
            oldest_time_us: Some(Micros::new(OLDEST)),
            newest_time_us: None,
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_micros(OLDEST + 1_000_000);
        let start = |cursor: u64| parse_cursor(&cursor.to_string(), log, now);
        let seq = |seq| StartFrom::Cursor(Cursor::before(Seq::new(seq)));
        let time = |micros| StartFrom::Time(SystemTime::UNIX_EPOCH + Duration::from_micros(micros));
        for (cursor, expected) in [
            (100, (seq(100), false, "seq")),
            (999, (seq(999), false, "seq")),
            // The next event may have come when the subscriber has its place, and is not left out.
            (1000, (seq(1000), false, "seq")),
            (1001, (StartFrom::Live, false, "seq")),
            (LEAST_TIME - 1, (StartFrom::Live, false, "seq")),
            (LEAST_TIME, (StartFrom::Oldest, true, "clamped")),
            (OLDEST - 1, (StartFrom::Oldest, true, "clamped")),
            (OLDEST, (time(OLDEST), false, "time_us")),
            (OLDEST + 1_000_001, (StartFrom::Live, false, "time_us")),
        ] {
            assert_eq!(start(cursor), Ok(expected), "{cursor}");
        }
        for requested in [0, 1, 99] {
            let floor = Seq::new(100);
            let too_old = EventsQueryError::CursorTooOld { requested, floor };
            assert_eq!(start(requested), Err(too_old));
        }
    }

    #[test]
    fn a_log_that_has_forgotten_everything_has_no_time_and_a_new_one_needs_none() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_micros(2 * LEAST_TIME);
        for (next_seq, is_outdated) in [(1, false), (1000, true)] {
            let log = Extent {
                oldest_seq: Seq::new(next_seq),
                next_seq: Seq::new(next_seq),
                oldest_time_us: None,
                newest_time_us: None,
            };
            let (_, found, _) = parse_cursor(&LEAST_TIME.to_string(), log, now).unwrap();
            assert_eq!(found, is_outdated);
        }
    }
}
