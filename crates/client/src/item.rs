use std::sync::Arc;
use std::time::Duration;

use jetwash_event::Micros;

use crate::protocol::Protocol;
use crate::wire::{ClientEvent, Malformed};

/// All that a [`Client`](crate::Client) returns, in its order.
///
/// # Examples
///
/// ```
/// use jetwash_client::ClientItem;
///
/// fn handle(item: ClientItem) {
///     match item {
///         ClientItem::Event(event) => println!("{}", event.did()),
///         ClientItem::Gap(gap) => eprintln!("events are missing: {}", gap.cause),
///         _ => {}
///     }
/// }
/// # let _ = handle;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientItem {
    /// An event that the filter lets pass.
    Event(ClientEvent),
    /// Events are missing between the last event and the next.
    Gap(ClientGap),
    /// A message could not be read. It is lost, and the next is read.
    Malformed(Malformed),
    /// A connection was made.
    Connected(Connected),
    /// A connection ended or was not made, and another is tried.
    Disconnected(Disconnected),
}

/// The connection that the items after it come from.
///
/// # Examples
///
/// ```
/// use jetwash_client::{Connected, Protocol};
///
/// fn is_old(connected: &Connected) -> bool {
///     connected.protocol == Protocol::V1
/// }
/// # let _ = is_old;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connected {
    /// The host, as cursors name it.
    pub host: Arc<str>,
    /// The version that it speaks.
    pub protocol: Protocol,
    /// Whether compressed messages were asked for.
    pub is_compressed: bool,
}

/// The end of a connection, or of an attempt to make one.
///
/// # Examples
///
/// ```
/// use jetwash_client::Disconnected;
///
/// fn describe(end: &Disconnected) -> String {
///     format!("{}: {} (next attempt in {:?})", end.host, end.reason, end.wait)
/// }
/// # let _ = describe;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disconnected {
    /// The host, as cursors name it.
    pub host: Arc<str>,
    /// The reason, for people.
    pub reason: String,
    /// The time until the next attempt, at this host or another.
    pub wait: Duration,
}

/// Events that are missing, as far as this is known.
///
/// # Examples
///
/// ```
/// use jetwash_client::{ClientGap, ClientGapCause};
///
/// fn must_backfill(gap: &ClientGap) -> bool {
///     gap.cause != ClientGapCause::OtherHost
/// }
/// # let _ = must_backfill;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientGap {
    /// The cause.
    pub cause: ClientGapCause,
    /// The time of the last event before it, if there was one.
    pub after: Option<Micros>,
    /// The time of the event behind it, which is the next item.
    pub before: Option<Micros>,
    /// The words of the server, if it said something.
    pub message: Option<String>,
}

/// Why events are missing.
///
/// # Examples
///
/// ```
/// use jetwash_client::ClientGapCause;
///
/// assert_eq!(ClientGapCause::CursorTooOld.to_string(), "cursor_too_old");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientGapCause {
    /// Version 2 no longer has the number that was asked for, nor has another host.
    CursorTooOld,
    /// Version 2 no longer has the time that was asked for, and starts later.
    OutdatedCursor,
    /// Version 1 did not send the last event again, so it no longer has what followed it.
    Forgotten,
    /// The host counts anew, and sent nothing that is known from before.
    Renumbered,
    /// The new host sent nothing that is known from the last one.
    OtherHost,
    /// The server said that its own log lacks events.
    Server,
}

impl ClientGapCause {
    /// Returns a short name, for the label of a counter.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CursorTooOld => "cursor_too_old",
            Self::OutdatedCursor => "outdated_cursor",
            Self::Forgotten => "forgotten",
            Self::Renumbered => "renumbered",
            Self::OtherHost => "other_host",
            Self::Server => "server",
        }
    }
}

impl std::fmt::Display for ClientGapCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
