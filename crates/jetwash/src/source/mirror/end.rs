use std::time::Duration;

use jetwash_store::{LogId, LogMessageError, Seq};
use jetwash_websocket::SocketError;
use serde::Deserialize;
use thiserror::Error;

use crate::ingest::{MirrorRefusal, Stopped};
use crate::short::short;
use crate::source::error::RelayError;

/// Why a connection to a host of the mirrored log ended, or was not made.
#[derive(Debug, Error)]
pub(super) enum MirrorEnd {
    #[error("the ingest has stopped")]
    Stopped,
    #[error(transparent)]
    Connection(#[from] RelayError),
    #[error("the host refused with {error}: {message}")]
    Refused { error: String, message: String },
    #[error("it has the log {theirs}, and this is a mirror of {ours}")]
    OtherLog { ours: LogId, theirs: LogId },
    #[error("its log ends before position {ours}, at which this mirror continues: at {theirs}")]
    Behind { ours: Seq, theirs: Seq },
    #[error("its log has no event yet, and a mirror begins with the first")]
    Empty,
    #[error("a message is not one of a mirrored log: {0}")]
    Unreadable(#[from] LogMessageError),
    #[error("{0}")]
    Protocol(&'static str),
    #[error("{}", .0.text)]
    Rejected(MirrorRefusal),
    #[error("nothing came within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("it says that its log continues, and sends no events")]
    Withheld,
    #[error("the log cannot be read: {0}")]
    Read(String),
    /// No fault: hosts before this one in the list are preferred.
    #[error("another host is preferred, and is asked again")]
    Substitute,
}

impl From<Stopped> for MirrorEnd {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<SocketError> for MirrorEnd {
    fn from(error: SocketError) -> Self {
        Self::Connection(error.into())
    }
}

impl MirrorEnd {
    /// The refusal that a host answered a request with.
    pub(super) fn refused(body: &str) -> Self {
        #[derive(Deserialize)]
        struct Said {
            error: String,
            #[serde(default)]
            message: String,
        }
        match serde_json::from_str::<Said>(body) {
            Ok(said) => Self::Refused {
                error: short(&said.error),
                message: short(&said.message),
            },
            Err(_) => Self::Refused {
                error: "an answer that is not a jetwash's".to_owned(),
                message: short(body),
            },
        }
    }

    /// A short name for a counter's label: one of a fixed list, never text from outside.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Connection(error) => error.reason(),
            Self::Refused { error, .. } => {
                let known = REFUSALS.iter().find(|(name, _)| name == error);
                known.map_or("refused", |(_, reason)| reason)
            }
            Self::OtherLog { .. } => "other_log",
            Self::Behind { .. } => "position_ahead",
            Self::Empty => "empty_log",
            Self::Unreadable(_) => "message_unreadable",
            Self::Protocol(_) => "mirror_protocol",
            Self::Rejected(refusal) => refusal.reason,
            Self::Silent(_) => "silent",
            Self::Withheld => "no_events",
            Self::Read(_) => "log_unreadable",
            Self::Substitute => "substitute",
        }
    }

    /// How long the host is left alone, if it would only refuse again. `None` if another attempt
    /// may bring something.
    pub(super) fn rest(&self) -> Option<Duration> {
        match self {
            // A host that is itself a mirror, and a little behind, soon has the position.
            Self::Behind { .. } => Some(SHORT_REST),
            Self::Refused { error, .. } if error == POSITION_AHEAD => Some(SHORT_REST),
            // There are too many subscribers, and sooner or later there are not.
            Self::Refused { error, .. } => {
                let is_known = REFUSALS.iter().any(|(name, _)| name == error);
                Some(if is_known { REST } else { SHORT_REST })
            }
            Self::OtherLog { .. } => Some(REST),
            Self::Rejected(refusal) if refusal.is_lasting => Some(REST),
            _ => None,
        }
    }

    /// How long the host asked to be left alone.
    pub(super) fn retry_after(&self) -> Duration {
        match self {
            Self::Connection(error) => error.retry_after().unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }

    /// The error with everything that caused it, in one line.
    pub(super) fn chain(&self) -> String {
        match self {
            Self::Connection(error) => error.chain(),
            other => other.to_string(),
        }
    }
}

/// The refusals that have a counter of their own, as the host names them.
const REFUSALS: [(&str, &str); 5] = [
    ("OtherLog", "other_log"),
    ("LogParted", "log_parted"),
    (POSITION_AHEAD, "position_ahead"),
    ("MirroringDisabled", "mirroring_disabled"),
    ("InvalidRequest", "invalid_request"),
];
const POSITION_AHEAD: &str = "PositionAhead";
const REST: Duration = Duration::from_secs(30);
const SHORT_REST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_by_the_name_that_the_host_has_for_it() {
        for (body, reason, rest) in [
            (
                r#"{"error":"OtherLog","message":"it is 00"}"#,
                "other_log",
                REST,
            ),
            (
                r#"{"error":"PositionAhead","message":""}"#,
                "position_ahead",
                SHORT_REST,
            ),
            (
                r#"{"error":"MirroringDisabled"}"#,
                "mirroring_disabled",
                REST,
            ),
            (r#"{"error":"Overloaded"}"#, "refused", SHORT_REST),
            ("<html>", "refused", SHORT_REST),
        ] {
            let end = MirrorEnd::refused(body);
            assert_eq!((end.reason(), end.rest()), (reason, Some(rest)), "{body}");
        }
    }
}
