use std::io;

use jetwash::ReadError;
use jetwash::dict::CompressError;
use thiserror::Error;

use crate::form::recoder::RecodeError;
use crate::memory::OverBudget;
use crate::websocket::{CloseCode, IncomingError};

/// Why a connection ended.
#[derive(Debug, Error)]
pub(crate) enum End {
    #[error("closed by the client with code {0:?}")]
    ClosedByClient(Option<u16>),
    #[error("the client went away")]
    Disconnected,
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
            Self::Disconnected => "disconnected",
            Self::Encode(_) => "encode_error",
            Self::Incoming(IncomingError::TooBig { .. }) => "message_too_big",
            Self::Incoming(_) => "protocol_error",
            Self::Io(_) => "io_error",
            Self::Memory(_) => "memory_budget",
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
            Self::Encode(error) => (CloseCode::Internal, error.to_string()),
            Self::Incoming(error) => {
                let code = match error {
                    IncomingError::TooBig { .. } => CloseCode::TooBig,
                    IncomingError::Utf8 => CloseCode::InvalidPayload,
                    _ => CloseCode::Protocol,
                };
                (code, error.to_string())
            }
            Self::Memory(error) => (CloseCode::TryAgainLater, error.to_string()),
            Self::PongTimeout => (CloseCode::Policy, "no pong in time".to_owned()),
            Self::Read(error) => (CloseCode::Internal, error.to_string()),
            Self::ShuttingDown => (CloseCode::GoingAway, "server shutting down".to_owned()),
            Self::Update(reason) => (CloseCode::Normal, reason.clone()),
            Self::WriteTimeout => (CloseCode::Policy, "the socket took no bytes".to_owned()),
        })
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
