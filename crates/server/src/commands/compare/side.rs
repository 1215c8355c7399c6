use std::fmt;
use std::hash::RandomState;

use jetwash_client::{
    Client, ClientError, ClientFilter, ClientGapCause, ClientItem, ClientKind, Protocol,
};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::arguments::Arguments;
use super::error::CompareError;
use super::event::Event;

/// One of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    A = 0,
    B = 1,
}

/// A message of the task that reads a stream.
#[derive(Debug)]
pub(super) enum Notice {
    Event(Instant, Event),
    Gap(ClientGapCause),
    Malformed(String),
    Connected,
    Disconnected(String),
    /// It is the last one.
    Ended(ClientError),
}

/// Counts of a stream, and the state of its connection.
#[derive(Clone, Debug, Default)]
pub(super) struct SideState {
    pub(super) events: u64,
    pub(super) connections: u64,
    pub(super) gaps: u64,
    pub(super) malformed: u64,
    last_end: Option<String>,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(super) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

impl SideState {
    /// Counts a message that is not an event. Returns a line to tell of it, if it is worth one.
    pub(super) fn note(&mut self, notice: Notice) -> Option<String> {
        match notice {
            Notice::Event(..) | Notice::Ended(_) => None,
            Notice::Gap(cause) => {
                self.gaps += 1;
                Some(format!("events are missing ({cause})"))
            }
            Notice::Malformed(reason) => {
                self.malformed += 1;
                (self.malformed == 1).then(|| format!("a message cannot be read: {reason}"))
            }
            Notice::Connected => {
                self.connections += 1;
                let again = if self.connections > 1 { " again" } else { "" };
                Some(format!("connected{again}"))
            }
            Notice::Disconnected(reason) => {
                self.last_end = Some(reason.clone());
                Some(format!("not connected: {reason}"))
            }
        }
    }
}

/// Describes a stream of which nothing could be judged.
impl fmt::Display for SideState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.last_end, self.connections) {
            (Some(reason), 0) => write!(f, "could not be connected to ({reason})"),
            _ => write!(f, "sent {} events", self.events),
        }
    }
}

/// Sets up the client of a stream.
pub(super) fn client(address: &str, arguments: &Arguments) -> Result<Client, CompareError> {
    // Syncs are left out: version 1 does not have them.
    let filter = ClientFilter::new()
        .collections(&arguments.collections)?
        .dids(&arguments.dids)?
        .kinds([
            ClientKind::Commit,
            ClientKind::Identity,
            ClientKind::Account,
        ]);
    let client = Client::builder([address])
        .protocol(Protocol::V1)
        .compress(false)
        .filter(filter)
        .build();
    client.map_err(|source| CompareError::Address {
        address: address.to_owned(),
        source,
    })
}

/// Reads a stream until it ends or nobody listens.
pub(super) async fn read(
    side: Side,
    mut client: Client,
    hashes: RandomState,
    notices: Sender<(Side, Notice)>,
) {
    while let Some(item) = client.next().await {
        let notice = match item {
            Ok(ClientItem::Event(event)) => {
                Notice::Event(Instant::now(), Event::new(&event, &hashes))
            }
            Ok(ClientItem::Gap(gap)) => Notice::Gap(gap.cause),
            Ok(ClientItem::Malformed(reason)) => Notice::Malformed(reason.to_string()),
            Ok(ClientItem::Connected(_)) => Notice::Connected,
            Ok(ClientItem::Disconnected(end)) => Notice::Disconnected(end.reason),
            Ok(_) => continue,
            Err(error) => Notice::Ended(error),
        };
        if notices.send((side, notice)).await.is_err() {
            return;
        }
    }
}
