use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use jetwash::StartFrom;
use thiserror::Error;

use crate::form::format::{Compression, Format, Shape};
use crate::form::framing::Framing;
use crate::options::ServeOptions;
use crate::subscriber::bound::Bound;
use crate::subscriber::cursor::{Extent, cursor_of_v1, cursor_or_seq};
use crate::subscriber::pairs::Pairs;
use crate::subscriber::settings::{Settings, SettingsError};

/// The parameters of a subscriber's request.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) start: StartFrom,
    /// Whether that is later than the cursor said, and the subscriber is to know.
    pub(crate) is_outdated: bool,
    /// The sort of cursor, for a metric of version 2.
    pub(crate) cursor_mode: &'static str,
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
    pub(crate) framing: Framing,
    pub(crate) bound: Bound,
    /// The log when the query came.
    pub(crate) log: Extent,
}

impl Query {
    /// Reads the query string of `/subscribe` as Jetstream does. Parameters that it does not know
    /// are ignored, and so are pieces that are not well formed.
    pub(crate) fn parse(
        query: &str,
        headers: &HeaderMap,
        options: &ServeOptions,
        log: Extent,
        now: SystemTime,
    ) -> Result<Self, QueryError> {
        let pairs = Pairs::parse(query);
        let (first, all) = (|name| pairs.first(name), |name| pairs.all(name));
        // No position is called `seq`, so the word may stand beside one.
        let (words, cursors): (Vec<&str>, Vec<&str>) =
            all("cursor").into_iter().partition(|value| *value == "seq");
        let cursor = cursors.first().copied().unwrap_or_default();
        let start = if words.is_empty() {
            cursor_of_v1(cursor, now)
        } else {
            cursor_or_seq(cursor, log, now)
        };
        let start = start.ok_or_else(|| QueryError::Cursor(cursor.to_owned()))?;
        // Jetstream takes anything that is not a number for no limit.
        let size = first("maxMessageSizeBytes").parse().unwrap_or_default();
        let settings = Settings::new(&all("wantedCollections"), &all("wantedDids"), size, options)?;
        let mut format = parse_format(first("compress"), first("format"), headers)?;
        if !words.is_empty() {
            if format.shape != Shape::V1 {
                return Err(QueryError::CursorField);
            }
            format.shape = Shape::V1WithCursor;
        }
        if first("verdict") == "true" {
            if !matches!(format.shape, Shape::V1 | Shape::V1WithCursor) {
                return Err(QueryError::Verdict);
            }
            format.verdicts = true;
        }
        Ok(Self {
            start,
            is_outdated: false,
            cursor_mode: "",
            settings: Arc::new(settings),
            format,
            dictionary: parse_dictionary(first("zstdDictionary"))?,
            require_hello: first("requireHello") == "true",
            progress: parse_progress(first("progress"))?,
            caught_up: first("caughtUp") == "true",
            gaps: first("gaps") == "true",
            framing: Framing::Websocket,
            bound: Bound::default(),
            log,
        })
    }
}

/// Why a query is refused, before the connection becomes a websocket. The text is the body of the
/// answer, in the words that Jetstream uses.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum QueryError {
    #[error("invalid cursor: {0}")]
    Cursor(String),
    #[error("invalid cursor: seq (only events of the format v1 have a cursor)")]
    CursorField,
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

fn parse_format(compress: &str, format: &str, headers: &HeaderMap) -> Result<Format, QueryError> {
    let compression = match compress {
        "batch" => Compression::Batch,
        "stream" => Compression::Stream,
        "true" => Compression::Event,
        _ if asks_for_zstd(headers) => Compression::Event,
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

/// Whether the header that asks for compression is there.
pub(crate) fn asks_for_zstd(headers: &HeaderMap) -> bool {
    let encodings = headers.get_all("socket-encoding").iter();
    let mut encodings = encodings.filter_map(|value| value.to_str().ok());
    encodings.any(|value| value.contains("zstd"))
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

pub(crate) fn parse_progress(text: &str) -> Result<Option<Duration>, QueryError> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(seconds @ 1..=3600) => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(QueryError::Progress(text.to_owned())),
    }
}
