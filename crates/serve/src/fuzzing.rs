//! The parsers of what strangers send. For the fuzz targets alone, not a part of the API.

use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use jetwash::{Micros, Seq};

use crate::options::ServeOptions;
use crate::subscriber::cursor::Extent;
use crate::subscriber::events_query::parse_events;
use crate::subscriber::query::Query;
use crate::subscriber::settings::Settings;
use crate::subscriber::update::parse_update;
use crate::websocket::Incoming;

/// Returns how many collections and DIDs a query string asks for.
///
/// # Errors
///
/// With the body of the answer, when it is refused.
pub fn query(text: &str) -> Result<(usize, usize), String> {
    let (log, now) = now();
    let query = Query::parse(text, &HeaderMap::new(), &ServeOptions::default(), log, now);
    let query = query.map_err(|error| error.to_string())?;
    Ok(counts(&query.settings))
}

/// Returns the same for a query string of version 2.
///
/// # Errors
///
/// With the message of the answer, when it is refused.
pub fn events_query(text: &str) -> Result<(usize, usize), String> {
    let (log, now) = now();
    let query = parse_events(text, &HeaderMap::new(), &ServeOptions::default(), log, now);
    let query = query.map_err(|error| error.to_string())?;
    Ok(counts(&query.settings))
}

/// Returns how many collections and DIDs a message sets; `None` if it is not `options_update`.
///
/// # Errors
///
/// With the reason that the connection is closed with, when it is refused.
pub fn options_update(text: &str) -> Result<Option<(usize, usize)>, String> {
    let settings = parse_update(text, &ServeOptions::default());
    let settings = settings.map_err(|error| error.to_string())?;
    Ok(settings.as_ref().map(counts))
}

/// Returns the messages in a client's bytes, which arrive in pieces of `piece` bytes, and then the
/// error if there is one.
#[must_use]
pub fn client_frames(bytes: &[u8], piece: usize, max_message: usize) -> Vec<String> {
    let mut incoming = Incoming::new(max_message);
    let mut found = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        incoming.buffer().extend_from_slice(piece);
        loop {
            match incoming.next() {
                Ok(Some(message)) => found.push(format!("{message:?}")),
                Ok(None) => break,
                Err(error) => {
                    found.push(error.to_string());
                    return found;
                }
            }
        }
    }
    found
}

/// A log of positions 100 to 999, and the time.
fn now() -> (Extent, SystemTime) {
    let log = Extent {
        oldest_seq: Seq::new(100),
        next_seq: Seq::new(1000),
        oldest_time_us: Some(Micros::new(1_700_000_000_000_000)),
        newest_time_us: None,
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    (log, now)
}

fn counts(settings: &Settings) -> (usize, usize) {
    let filter = &settings.filter;
    (filter.collection_count(), filter.did_count())
}
