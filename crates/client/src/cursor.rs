use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jetwash_event::Micros;
use thiserror::Error;

/// Where a stream stood: the last event that was handled.
///
/// A number is of one host's sequence and means nothing at another; a time means nearly the same
/// at all. A cursor taken from a [`Client`](crate::Client) has both and the host, so that it is
/// exact at that host and good at others. As text it is `time=…;seq=…;host=…`, each part optional.
///
/// # Examples
///
/// ```
/// use jetwash_client::UpstreamCursor;
/// use jetwash_event::Micros;
///
/// let cursor = UpstreamCursor::at_time(Micros::new(1_783_175_887_517_000));
/// assert_eq!(cursor.to_string(), "time=1783175887517000");
/// let cursor: UpstreamCursor = "time=1783175887517000;seq=29;host=wss://a.example".parse()?;
/// assert_eq!((cursor.seq(), cursor.host()), (Some(29), Some("wss://a.example")));
/// # Ok::<(), jetwash_client::ParseUpstreamCursorError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamCursor {
    time: Option<Micros>,
    seq: Option<u64>,
    host: Option<Arc<str>>,
}

impl UpstreamCursor {
    /// Continues after this moment by the host's clock.
    #[must_use]
    pub const fn at_time(time: Micros) -> Self {
        Self {
            time: Some(time),
            seq: None,
            host: None,
        }
    }

    /// Continues after this number in the sequence of the host, which must speak version 2.
    #[must_use]
    pub const fn at_seq(seq: u64) -> Self {
        Self {
            time: None,
            seq: Some(seq),
            host: None,
        }
    }

    pub(crate) const fn new(host: Arc<str>, time: Micros, seq: Option<u64>) -> Self {
        Self {
            time: Some(time),
            seq,
            host: Some(host),
        }
    }

    /// Returns the time, by the host's clock.
    #[must_use]
    pub const fn time(&self) -> Option<Micros> {
        self.time
    }

    /// Returns the number in the host's sequence.
    #[must_use]
    pub const fn seq(&self) -> Option<u64> {
        self.seq
    }

    /// Returns the host that it is from, as snapshots name it.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The number, if it is of this host's sequence.
    pub(crate) fn seq_at(&self, host: &str) -> Option<u64> {
        let is_of = self.host.as_deref().is_none_or(|own| own == host);
        self.seq.filter(|_| is_of)
    }
}

impl fmt::Display for UpstreamCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(time) = self.time {
            write!(f, "time={time}")?;
            separator = ";";
        }
        if let Some(seq) = self.seq {
            write!(f, "{separator}seq={seq}")?;
            separator = ";";
        }
        if let Some(host) = &self.host {
            write!(f, "{separator}host={host}")?;
        }
        Ok(())
    }
}

impl FromStr for UpstreamCursor {
    type Err = ParseUpstreamCursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |part: &str| ParseUpstreamCursorError {
            part: part.chars().take(MAX_SHOWN).collect(),
        };
        let mut cursor = Self {
            time: None,
            seq: None,
            host: None,
        };
        for part in text.trim().split(';') {
            match part.split_once('=') {
                Some(("time", time)) if cursor.time.is_none() => {
                    cursor.time = Some(time.parse().map_err(|_| error(part))?);
                }
                Some(("seq", seq)) if cursor.seq.is_none() => {
                    cursor.seq = Some(seq.parse().map_err(|_| error(part))?);
                }
                Some(("host", host)) if cursor.host.is_none() => cursor.host = Some(host.into()),
                _ => return Err(error(part)),
            }
        }
        if cursor.time.is_none() && cursor.seq.is_none() {
            return Err(error(text));
        }
        Ok(cursor)
    }
}

/// The text is not a cursor.
///
/// # Examples
///
/// ```
/// use jetwash_client::UpstreamCursor;
///
/// // A bare number could be either.
/// let error = "1783175887517000".parse::<UpstreamCursor>().unwrap_err();
/// assert_eq!(error.part, "1783175887517000");
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{part}` is not a part of a cursor: it is of the form `time=…;seq=…;host=…`")]
#[non_exhaustive]
pub struct ParseUpstreamCursorError {
    /// The part that is wrong, cut to 100 characters.
    pub part: String,
}

const MAX_SHOWN: usize = 100;
