use std::io;
use std::time::Duration;

use jetwash_frame::{Frame, FrameError};
use jetwash_websocket::SocketError;
use thiserror::Error;

use super::pulse::LEAST_SPEED;
use crate::short::short;

/// Why a connection to a relay ended, or was not made.
#[derive(Debug, Error)]
pub(super) enum RelayError {
    #[error("the host sent the error {name}{message}")]
    Frame { name: String, message: String },
    #[error("the relay says that the cursor is ahead of it{message}")]
    FutureCursor { message: String },
    #[error("the proxy {proxy} {reason}")]
    Proxy { proxy: String, reason: String },
    #[error("the redirect to {location:?} is not followed: {reason}")]
    Redirect {
        location: String,
        reason: &'static str,
    },
    #[error("the host answered with the HTTP status {status}")]
    Refused {
        status: u16,
        retry_after: Option<Duration>,
    },
    #[error("the address of {host} could not be found")]
    Resolve {
        host: String,
        #[source]
        error: io::Error,
    },
    #[error("no usable root certificates on this machine")]
    Roots,
    #[error("not even a pong came within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("it answers pings, but no event came within {} s", .0.as_secs())]
    NoEvents(Duration),
    #[error("a message came too slowly: fewer than {LEAST_SPEED} bytes in 30 s")]
    Slow,
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("connecting took longer than {:.1} s", .0.as_secs_f32())]
    Timeout(Duration),
    #[error("TLS could not be set up: {0}")]
    Tls(String),
}

impl RelayError {
    /// A short name for a counter's label.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Frame { .. } => "error_frame",
            Self::FutureCursor { .. } => "future_cursor",
            Self::Proxy { .. } => "proxy",
            Self::Redirect { .. } => "redirect",
            Self::Refused { .. } => "refused",
            Self::Resolve { .. } => "resolve",
            Self::Roots | Self::Tls(_) => "tls",
            Self::Silent(_) => "silent",
            Self::NoEvents(_) => "no_events",
            Self::Slow => "slow",
            Self::Timeout(_) => "connect_timeout",
            Self::Socket(error) => match error {
                SocketError::Closed(_) => "closed",
                SocketError::Connect(_) => "connect_failed",
                SocketError::CutShort => "cut_short",
                SocketError::Handshake(_) => "handshake",
                SocketError::TooLong(_) => "message_too_long",
                _ => "websocket",
            },
        }
    }

    /// How many such endings at one place make the message there suspect: `None` if they say
    /// nothing about it. A relay that closes or cannot be reached is only to be waited for.
    pub(super) const fn patience(&self) -> Option<u32> {
        match self {
            Self::Slow | Self::Socket(SocketError::Protocol(_) | SocketError::TooLong(_)) => {
                Some(3)
            }
            // It may be the network as well.
            Self::Socket(SocketError::CutShort) => Some(8),
            _ => None,
        }
    }

    /// How long the relay asked to be left alone.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The error with everything that caused it, in one line.
    pub(super) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    }
}

impl From<io::Error> for RelayError {
    fn from(error: io::Error) -> Self {
        Self::Socket(error.into())
    }
}

/// An error frame ends the stream, whatever the relay does to the socket. A malformed one is
/// counted by the pipeline like any malformed frame.
pub(super) fn check_error_frame(frame: &[u8]) -> Result<(), RelayError> {
    let decoded: Result<_, FrameError> = Frame::decode(frame);
    let Ok(Frame::Error(error)) = decoded else {
        return Ok(());
    };
    let message = error.message.map(|text| format!(": {}", short(text)));
    let message = message.unwrap_or_default();
    Err(if error.error == "FutureCursor" {
        RelayError::FutureCursor { message }
    } else {
        let name = short(error.error);
        RelayError::Frame { name, message }
    })
}
