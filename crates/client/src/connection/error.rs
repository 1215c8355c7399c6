use std::io;
use std::time::Duration;

use thiserror::Error;

/// Why a connection was not made, or ended.
#[derive(Debug, Error)]
pub(crate) enum ConnectionError {
    #[error("the host closed it{}", .0.as_deref().unwrap_or_default())]
    Closed(Option<String>),
    #[error("the host reads nothing: {0} bytes wait to be sent")]
    Clogged(usize),
    #[error("the connection failed: {0}")]
    Connect(#[from] io::Error),
    #[error("it broke off within a message")]
    CutShort,
    #[error("dictionary {id} is not usable: {reason}")]
    Dictionary { id: u32, reason: String },
    #[error("the host sent the error {name}: {message}")]
    Frame { name: String, message: String },
    #[error("the answer is not a websocket's: {0}")]
    Handshake(&'static str),
    #[error("a message breaks the websocket protocol: {0}")]
    Protocol(&'static str),
    #[error("the host answered {0}")]
    Refused(Refusal),
    #[error("no event came within {:.1} s", .0.as_secs_f32())]
    NoEvents(Duration),
    #[error("not even an answer to a ping came within {:.1} s", .0.as_secs_f32())]
    Silent(Duration),
    #[error("it took longer than {:.1} s", .0.as_secs_f32())]
    Timeout(Duration),
    #[error("TLS could not be set up: {0}")]
    Tls(String),
    #[error("a message of {0} bytes is too long to be skipped")]
    TooLong(u64),
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

/// An answer that opens no websocket.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("with the HTTP status {status}{}{message}", if message.is_empty() { "" } else { ": " })]
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

/// At most 200 characters of a text from outside, without control characters.
pub(crate) fn short(text: &str) -> String {
    let characters = text.trim().chars();
    characters.filter(|c| !c.is_control()).take(200).collect()
}
