use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use jetwash::StartFrom;
use percent_encoding::percent_decode;
use thiserror::Error;

use crate::form::format::{Compression, Format, Shape};
use crate::options::ServeOptions;
use crate::subscriber::settings::{Settings, SettingsError};

/// The parameters of a subscriber's request.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) start: StartFrom,
    pub(crate) settings: Arc<Settings>,
    pub(crate) format: Format,
    /// The number of the dictionary that events have to be compressed with, if it matters.
    pub(crate) dictionary: Option<u32>,
    pub(crate) require_hello: bool,
    /// How often to say where the stream is, if at all.
    pub(crate) progress: Option<Duration>,
    /// Whether to say when playback has met the live end.
    pub(crate) caught_up: bool,
    /// Whether to say where events are missing.
    pub(crate) gaps: bool,
}

impl Query {
    /// Reads the query string as Jetstream does. Parameters that it does not know are ignored, and
    /// so are pieces that are not well formed.
    pub(crate) fn parse(
        query: &str,
        headers: &HeaderMap,
        options: &ServeOptions,
        now: SystemTime,
    ) -> Result<Self, QueryError> {
        let pairs = parse_pairs(query);
        let first = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| key == name)
                .map_or("", |(_, value)| value.as_str())
        };
        let all = |name: &str| -> Vec<&str> {
            pairs
                .iter()
                .filter(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
                .collect()
        };
        let start = parse_cursor(first("cursor"), now)?;
        // Jetstream takes anything that is not a number for no limit.
        let size = first("maxMessageSizeBytes").parse().unwrap_or_default();
        let settings = Settings::new(&all("wantedCollections"), &all("wantedDids"), size, options)?;
        let mut format = parse_format(first("compress"), first("format"), headers)?;
        if first("verdict") == "true" {
            if format.shape != Shape::V1 {
                return Err(QueryError::Verdict);
            }
            format.verdicts = true;
        }
        Ok(Self {
            start,
            settings: Arc::new(settings),
            format,
            dictionary: parse_dictionary(first("zstdDictionary"))?,
            require_hello: first("requireHello") == "true",
            progress: parse_progress(first("progress"))?,
            caught_up: first("caughtUp") == "true",
            gaps: first("gaps") == "true",
        })
    }
}

/// Why a query is refused, before the connection becomes a websocket. The text is the body of the
/// answer, in the words that Jetstream uses.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum QueryError {
    #[error("invalid cursor: {0}")]
    Cursor(String),
    #[error("invalid zstdDictionary: {0} (it is the number of a dictionary)")]
    Dictionary(String),
    #[error("invalid format: {0} (it is v1, binary or v0, and v0 is not served compressed)")]
    Format(String),
    #[error("invalid progress: {0} (it is a number of seconds from 1 to 3600)")]
    Progress(String),
    #[error("invalid verdict: true (only events of the format v1 have a verdict)")]
    Verdict,
    #[error("{}", settings_text(.0))]
    Settings(#[from] SettingsError),
}

fn settings_text(error: &SettingsError) -> String {
    match error {
        SettingsError::Did => "invalid subscriber options".to_owned(),
        error => format!("invalid subscriber options: {error}"),
    }
}

/// Splits a query string as Go's `net/url` does: a piece with a semicolon or a bad escape is left
/// out, a plus sign is a space.
fn parse_pairs(query: &str) -> Vec<(String, String)> {
    let pieces = query
        .split('&')
        .filter(|piece| !piece.is_empty() && !piece.contains(';'));
    pieces
        .filter_map(|piece| {
            let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
            Some((unescape(key)?, unescape(value)?))
        })
        .collect()
}

fn unescape(text: &str) -> Option<String> {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        if !is_hex(rest.get(at + 1)) || !is_hex(rest.get(at + 2)) {
            return None;
        }
        rest = &rest[at + 3..];
    }
    let text = text.replace('+', " ");
    Some(
        percent_decode(text.as_bytes())
            .decode_utf8_lossy()
            .into_owned(),
    )
}

/// Cursors are times in microseconds. Seconds and milliseconds are taken for what they are: no
/// time that a log can hold is so small in microseconds.
fn parse_cursor(text: &str, now: SystemTime) -> Result<StartFrom, QueryError> {
    if text.is_empty() {
        return Ok(StartFrom::Live);
    }
    let number: i64 = text
        .parse()
        .map_err(|_| QueryError::Cursor(text.to_owned()))?;
    let since_1970 = match u64::try_from(number) {
        Err(_) | Ok(0) => return Ok(StartFrom::Oldest),
        Ok(number) => match number {
            ..SECONDS => Duration::from_micros(number),
            SECONDS..MILLISECONDS => Duration::from_secs(number),
            MILLISECONDS..MICROSECONDS => Duration::from_millis(number),
            MICROSECONDS.. => Duration::from_micros(number),
        },
    };
    let time = SystemTime::UNIX_EPOCH + since_1970;
    Ok(if time > now {
        StartFrom::Live
    } else {
        StartFrom::Time(time)
    })
}

fn parse_format(compress: &str, format: &str, headers: &HeaderMap) -> Result<Format, QueryError> {
    let encodings = headers.get_all("socket-encoding").iter();
    let asks_for_zstd = || {
        encodings
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.contains("zstd"))
    };
    let compression = match compress {
        "batch" => Compression::Batch,
        "stream" => Compression::Stream,
        "true" => Compression::Event,
        _ if asks_for_zstd() => Compression::Event,
        // What Jetstream does not know it takes for no.
        _ => Compression::None,
    };
    let shape = match (format, compression) {
        ("" | "v1", _) => Shape::V1,
        ("binary", _) => Shape::Binary,
        ("v0", Compression::None) => Shape::V0,
        (other, _) => return Err(QueryError::Format(other.to_owned())),
    };
    Ok(Format {
        shape,
        compression,
        verdicts: false,
    })
}

fn parse_dictionary(text: &str) -> Result<Option<u32>, QueryError> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(id @ 1..) => Ok(Some(id)),
        _ => Err(QueryError::Dictionary(text.to_owned())),
    }
}

fn parse_progress(text: &str) -> Result<Option<Duration>, QueryError> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(seconds @ 1..=3600) => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(QueryError::Progress(text.to_owned())),
    }
}

/// March 1973 in seconds, and as much in milliseconds and microseconds.
const SECONDS: u64 = 100_000_000;
const MILLISECONDS: u64 = SECONDS * 1_000;
const MICROSECONDS: u64 = SECONDS * 1_000_000;
