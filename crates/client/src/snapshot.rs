use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::protocol::Protocol;
use crate::wire::Malformed;

/// The counters of a client, and the state of its connection.
///
/// # Examples
///
/// ```
/// use jetwash_client::{ClientSnapshot, Malformed};
///
/// fn is_healthy(snapshot: &ClientSnapshot) -> bool {
///     snapshot.host.is_some() && snapshot.malformed(Malformed::Compression) == 0
/// }
/// # let _ = is_healthy;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientSnapshot {
    /// The host that is connected, if one is.
    pub host: Option<Arc<str>>,
    /// The version that it speaks.
    pub protocol: Option<Protocol>,
    /// Why the last connection ended, or was not made.
    pub last_end: Option<String>,
    /// Events that came, whether delivered or not.
    pub received: u64,
    /// Events that were delivered.
    pub delivered: u64,
    /// Events that had come before, after a reconnect or from another host.
    pub repeats: u64,
    /// Events from before the cursor: version 2 may start up to an hour too early.
    pub before_cursor: u64,
    /// Events that the server sent and the filter does not let pass.
    pub filtered: u64,
    /// Messages of kinds that are not known.
    pub unknown: u64,
    /// Gaps that were delivered.
    pub gaps: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Connections that ended, and attempts that failed.
    pub disconnections: u64,
    /// Dictionaries that were fetched from a host.
    pub dictionaries_fetched: u64,
    /// Dictionaries that could not be fetched or used.
    pub dictionaries_failed: u64,
    /// Bytes that came over websockets, without TLS.
    pub bytes_received: u64,
    /// Bytes of messages that came compressed, after decompression.
    pub bytes_decompressed: u64,
    malformed: [u64; Malformed::ALL.len()],
}

impl ClientSnapshot {
    /// Returns how many messages were malformed for this reason.
    #[must_use]
    pub fn malformed(&self, reason: Malformed) -> u64 {
        self.malformed
            .get(reason as usize)
            .copied()
            .unwrap_or_default()
    }

    /// Returns how many messages were malformed.
    #[must_use]
    pub fn malformed_total(&self) -> u64 {
        self.malformed.iter().sum()
    }
}

/// The counters, shared between the task that counts and the handles that read.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    counts: [AtomicU64; COUNT],
    state: Mutex<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    connected: Option<(Arc<str>, Protocol)>,
    last_end: Option<String>,
}

/// The counters.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    Received,
    Delivered,
    Repeats,
    BeforeCursor,
    Filtered,
    Unknown,
    Gaps,
    Connections,
    Disconnections,
    DictionariesFetched,
    DictionariesFailed,
    BytesReceived,
    BytesDecompressed,
    /// The first of the reasons for malformed messages.
    Malformed,
}

const COUNT: usize = Count::Malformed as usize + Malformed::ALL.len();

/// Counts of one task that are not in the shared counters yet.
#[derive(Debug, Default)]
pub(crate) struct Tally([u64; COUNT]);

impl Tally {
    pub(crate) const fn add(&mut self, what: Count, count: u64) {
        self.0[what as usize] += count;
    }

    pub(crate) const fn malformed(&mut self, reason: Malformed) {
        self.0[Count::Malformed as usize + reason as usize] += 1;
    }
}

impl Counters {
    /// Takes over what a task has counted.
    pub(crate) fn take(&self, tally: &mut Tally) {
        for (count, added) in self.counts.iter().zip(&mut tally.0) {
            if *added > 0 {
                count.fetch_add(std::mem::take(added), Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn connected(&self, host: Arc<str>, protocol: Protocol) {
        self.state().connected = Some((host, protocol));
    }

    pub(crate) fn disconnected(&self, reason: String) {
        let mut state = self.state();
        state.connected = None;
        state.last_end = Some(reason);
    }

    pub(crate) fn snapshot(&self) -> ClientSnapshot {
        let state = self.state().clone();
        let count = |what: Count| self.counts[what as usize].load(Ordering::Relaxed);
        let (host, protocol) = state.connected.unzip();
        let mut malformed = [0; Malformed::ALL.len()];
        for (count, shared) in malformed
            .iter_mut()
            .zip(&self.counts[Count::Malformed as usize..])
        {
            *count = shared.load(Ordering::Relaxed);
        }
        ClientSnapshot {
            host,
            protocol,
            last_end: state.last_end,
            received: count(Count::Received),
            delivered: count(Count::Delivered),
            repeats: count(Count::Repeats),
            before_cursor: count(Count::BeforeCursor),
            filtered: count(Count::Filtered),
            unknown: count(Count::Unknown),
            gaps: count(Count::Gaps),
            connections: count(Count::Connections),
            disconnections: count(Count::Disconnections),
            dictionaries_fetched: count(Count::DictionariesFetched),
            dictionaries_failed: count(Count::DictionariesFailed),
            bytes_received: count(Count::BytesReceived),
            bytes_decompressed: count(Count::BytesDecompressed),
            malformed,
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
