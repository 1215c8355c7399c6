use std::io;

use jetwash::dict::CompressError;
use jetwash::{ReadError, Seq};
use thiserror::Error;

use crate::form::recode_error::RecodeError;
use crate::memory::OverBudget;
use crate::websocket::{CloseCode, IncomingError};

/// Why a connection ended.
#[derive(Debug, Error)]
pub(crate) enum End {
    #[error("closed by the client with code {0:?}")]
    ClosedByClient(Option<u16>),
    /// It has got everything up to the end that it asked for.
    #[error("everything that was asked for has been sent")]
    Complete,
    #[error("the client went away")]
    Disconnected,
    /// In version 2: the log has forgotten events that it had not got yet.
    #[error("the log has forgotten what comes before {next_seq}")]
    FellBehind { next_seq: Seq },
    #[error(transparent)]
    Encode(CompressError),
    #[error("bad bytes from the client: {0}")]
    Incoming(IncomingError),
    #[error(transparent)]
    Memory(OverBudget),
    #[error("the socket failed: {0}")]
    Io(io::Error),
    #[error("no pong in time")]
    PongTimeout,
    #[error("events cannot be read: {0}")]
    Read(ReadError),
    /// In version 2, where a client has nothing to say.
    #[error("a message from the client")]
    Message,
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error("bad settings from the client: {0}")]
    Update(String),
    #[error("the socket took no bytes in time")]
    WriteTimeout,
}

impl End {
    /// The end as a label of a counter.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::ClosedByClient(_) => "closed_by_client",
            Self::Complete => "complete",
            Self::Disconnected => "disconnected",
            Self::Encode(_) => "encode_error",
            Self::FellBehind { .. } => "fell_behind",
            Self::Incoming(IncomingError::TooBig { .. }) => "message_too_big",
            Self::Incoming(_) => "protocol_error",
            Self::Io(_) => "io_error",
            Self::Memory(_) => "memory_budget",
            Self::Message => "client_message",
            Self::PongTimeout => "pong_timeout",
            Self::Read(_) => "read_error",
            Self::ShuttingDown => "shutting_down",
            Self::Update(_) => "bad_update",
            Self::WriteTimeout => "write_timeout",
        }
    }

    /// The code and the reason for the client, if the socket may still carry them.
    pub(crate) fn close_frame(&self) -> Option<(CloseCode, String)> {
        Some(match self {
            Self::ClosedByClient(_) => (CloseCode::Normal, String::new()),
            Self::Disconnected | Self::Io(_) => return None,
            Self::Complete => (CloseCode::Normal, "complete".to_owned()),
            Self::Encode(error) => (CloseCode::Internal, error.to_string()),
            Self::Incoming(error) => {
                let code = match error {
                    IncomingError::TooBig { .. } => CloseCode::TooBig,
                    IncomingError::Utf8 => CloseCode::InvalidPayload,
                    _ => CloseCode::Protocol,
                };
                (code, error.to_string())
            }
            Self::FellBehind { .. } => (CloseCode::Policy, "too slow".to_owned()),
            Self::Message => (
                CloseCode::Policy,
                "clients send no messages here".to_owned(),
            ),
            Self::Memory(error) => (CloseCode::TryAgainLater, error.to_string()),
            Self::PongTimeout => (CloseCode::Policy, "no pong in time".to_owned()),
            Self::Read(error) => (CloseCode::Internal, error.to_string()),
            Self::ShuttingDown => (CloseCode::GoingAway, "server shutting down".to_owned()),
            Self::Update(reason) => (CloseCode::Normal, reason.clone()),
            Self::WriteTimeout => (CloseCode::Policy, "the socket took no bytes".to_owned()),
        })
    }
}

impl End {
    /// The error that a subscriber of version 2 gets, if it gets one. `next_seq` is the position of
    /// the next event that it has not got.
    pub(crate) fn to_v2(&self, next_seq: Seq) -> Option<String> {
        let (name, message) = match self {
            Self::FellBehind { next_seq: oldest } => (
                "ConsumerTooSlow",
                format!(
                    "events from seq {next_seq} up to {oldest} were forgotten before you took them; \
                     reconnect with cursor={oldest}"
                ),
            ),
            Self::WriteTimeout => (
                "ConsumerTooSlow",
                format!("you took nothing for too long; reconnect with cursor={next_seq}"),
            ),
            Self::Read(_) | Self::Encode(_) => (
                "InternalError",
                format!("stream read failed; reconnect with cursor={next_seq}"),
            ),
            _ => return None,
        };
        Some(format!(
            r#"{{"$type":"error","error":"{name}","message":"{message}"}}"#
        ))
    }
}

impl End {
    /// The end in JSON, for a stream that has no close frame, if anybody can still read it.
    pub(crate) fn to_json(&self) -> Option<String> {
        let (_, message) = self.close_frame()?;
        let reason = self.reason();
        let end = serde_json::json!({"kind": "end", "reason": reason, "message": message});
        Some(end.to_string())
    }
}

impl From<CompressError> for End {
    fn from(error: CompressError) -> Self {
        Self::Encode(error)
    }
}

impl From<RecodeError> for End {
    fn from(error: RecodeError) -> Self {
        match error {
            RecodeError::Encode(error) => Self::Encode(error),
            RecodeError::Read(error) => Self::Read(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the lexicon: the names, and two texts.
    #[test]
    fn a_subscriber_of_version_2_is_told_where_to_resume() {
        let told = |end: End| -> Option<(String, String)> {
            let text = end.to_v2(Seq::new(41))?;
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["$type"], "error");
            assert_eq!(value.as_object().unwrap().len(), 3);
            let text = |name: &str| value[name].as_str().unwrap().to_owned();
            Some((text("error"), text("message")))
        };
        let next_seq = Seq::new(90);
        for (end, name, cursor) in [
            (End::FellBehind { next_seq }, "ConsumerTooSlow", "cursor=90"),
            (End::WriteTimeout, "ConsumerTooSlow", "cursor=41"),
            (
                End::Read(ReadError::NothingStored),
                "InternalError",
                "cursor=41",
            ),
        ] {
            let (found, message) = told(end).unwrap();
            assert_eq!(found, name);
            assert!(message.ends_with(cursor), "{message}");
        }
        for end in [End::ShuttingDown, End::Message, End::PongTimeout] {
            assert_eq!(told(end), None);
        }
    }
}
