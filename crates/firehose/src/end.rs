use axum::extract::ws::{CloseCode, close_code};

/// Why a reader gets no more frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It left, or its connection failed.
    Gone,
    /// It did not answer pings.
    Silent,
    /// Frames that it needs are gone, or its socket took nothing.
    TooSlow(String),
    /// Its cursor is above the newest frame.
    FutureCursor(String),
    /// Frames cannot be read.
    Failed,
    /// It sent a message that is too large.
    TooLarge,
    /// It sent too many messages.
    Flooding,
    /// The firehose is closed, or its source has ended.
    Stopping,
}

impl End {
    /// A short name for a counter's label.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Silent => "silent",
            Self::TooSlow(_) => "too_slow",
            Self::FutureCursor(_) => "future_cursor",
            Self::Failed => "failed",
            Self::TooLarge => "too_large",
            Self::Flooding => "flooding",
            Self::Stopping => "stopping",
        }
    }

    /// The name and the message of the error frame that a reader gets.
    pub(crate) fn error(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::TooSlow(message) => Some(("ConsumerTooSlow", message)),
            Self::FutureCursor(message) => Some(("FutureCursor", message)),
            Self::Failed => Some(("InternalServerError", "frames cannot be read")),
            _ => None,
        }
    }

    /// The code and the reason that its websocket is closed with; `None` if nobody listens.
    pub(crate) fn close(&self) -> Option<(CloseCode, &'static str)> {
        let name = self.error().map_or("", |(name, _)| name);
        match self {
            Self::Gone | Self::Silent => None,
            Self::TooSlow(_) | Self::FutureCursor(_) => Some((close_code::POLICY, name)),
            Self::Failed => Some((close_code::ERROR, name)),
            Self::TooLarge => Some((close_code::SIZE, "the message is too large")),
            Self::Flooding => Some((close_code::POLICY, "too many messages")),
            Self::Stopping => Some((close_code::AWAY, "")),
        }
    }
}
