use jetwash_event::Micros;

use super::event::ClientEvent;

/// All that a message may be.
pub(crate) enum Message {
    Event(ClientEvent),
    /// A server of our own says that its log lacks events.
    Gap(ServerGap),
    /// A notice of version 2.
    Info {
        name: String,
        message: String,
    },
    /// An error of version 2, after which the connection ends.
    Error {
        name: String,
        message: String,
    },
    /// Of a kind that is not known.
    Unknown,
}

/// The gap that a server reports.
pub(crate) struct ServerGap {
    /// The time of the last event before it.
    pub(crate) after: Option<Micros>,
    pub(crate) cause: String,
}
