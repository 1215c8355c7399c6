use std::io;
use std::time::Duration;

use jetwash_websocket::{SocketError, short};
use thiserror::Error;

/// Why a connection was not made, or ended.
#[derive(Debug, Error)]
pub(crate) enum ConnectionError {
    #[error("dictionary {id} is not usable: {reason}")]
    Dictionary { id: u32, reason: String },
    #[error("the host sent the error {name}: {message}")]
    Frame { name: String, message: String },
    #[error("the host answered {0}")]
    Refused(Refusal),
    #[error("no event came within {:.1} s", .0.as_secs_f32())]
    NoEvents(Duration),
    #[error("not even an answer to a ping came within {:.1} s", .0.as_secs_f32())]
    Silent(Duration),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("it took longer than {:.1} s", .0.as_secs_f32())]
    Timeout(Duration),
    #[error("TLS could not be set up: {0}")]
    Tls(String),
}

impl ConnectionError {
    /// The refusal, if it is one.
    pub(crate) const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl From<io::Error> for ConnectionError {
    fn from(error: io::Error) -> Self {
        Self::Socket(error.into())
    }
}

/// An answer that opens no websocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// For how long the host does not want to be asked again.
    pub(crate) retry_after: Option<Duration>,
    /// The name of an XRPC error, empty if the answer has none.
    pub(crate) name: String,
    /// The message of an XRPC error, or the beginning of the answer as text.
    pub(crate) message: String,
}

impl Refusal {
    /// Reads the body of an answer: an XRPC error, or plain text.
    pub(crate) fn new(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        #[derive(serde::Deserialize)]
        struct Xrpc {
            error: String,
            #[serde(default)]
            message: String,
        }
        let (name, message) = match serde_json::from_slice(body) {
            Ok(Xrpc { error, message }) => (error, message),
            Err(_) => (String::new(), String::from_utf8_lossy(body).into_owned()),
        };
        Self {
            status,
            retry_after,
            name: short(&name),
            message: short(&message),
        }
    }

    /// Whether the host has no stream at the path that was asked for.
    pub(crate) const fn is_absent(&self) -> bool {
        matches!(self.status, 404 | 405 | 410 | 426 | 501)
    }

    /// Whether the same request would be refused again.
    pub(crate) const fn is_permanent(&self) -> bool {
        self.is_absent() || matches!(self.status, 400 | 401 | 403 | 414 | 431)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "with the HTTP status {}", self.status)?;
        for text in [&self.name, &self.message] {
            if !text.is_empty() {
                write!(f, ": {text}")?;
            }
        }
        Ok(())
    }
}
