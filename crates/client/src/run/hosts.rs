use std::time::Duration;

use tokio::time::Instant;

use crate::connection::{Host, Refusal};
use crate::protocol::Protocol;

/// The hosts, what is known of each, and which is next.
pub(super) struct Hosts {
    all: Vec<HostState>,
    current: usize,
}

/// All that is known of a host.
pub(super) struct HostState {
    pub(super) host: Host,
    /// The version to speak: the one told, or found out. `None` while neither was tried.
    pub(super) protocol: Option<Protocol>,
    /// Whether a connection was ever made.
    pub(super) has_worked: bool,
    /// Until when compression is not asked for, since there is no dictionary.
    plain_until: Option<Instant>,
    /// The dictionary that the host of version 2 has in use.
    pub(super) dictionary: Option<u32>,
    /// Whether accounts are left out of requests, as one was too long.
    pub(super) omits_dids: bool,
    /// Whether it no longer has the number of the cursor.
    pub(super) is_too_old: bool,
    /// The refusal that another attempt would only repeat.
    refusal: Option<Refusal>,
    not_before: Option<Instant>,
}

impl HostState {
    pub(super) fn is_plain(&self) -> bool {
        self.plain_until.is_some_and(|until| until > Instant::now())
    }

    /// Compression is not possible for now.
    pub(super) fn make_plain(&mut self) {
        self.dictionary = None;
        self.plain_until = Some(Instant::now() + PLAIN);
    }

    /// A connection was made.
    pub(super) fn works(&mut self) {
        self.has_worked = true;
        self.refusal = None;
        self.not_before = None;
    }

    /// The host is not to be asked again before this has passed.
    pub(super) fn rest(&mut self, wait: Duration) {
        self.not_before = Some(Instant::now() + wait);
    }

    /// How long the host is not to be asked.
    fn resting(&self) -> Duration {
        let until = self
            .not_before
            .map(|until| until.saturating_duration_since(Instant::now()));
        until.unwrap_or_default()
    }
}

impl Hosts {
    pub(super) fn new(hosts: &[Host]) -> Self {
        let state = |host: &Host| HostState {
            host: host.clone(),
            protocol: host.protocol,
            has_worked: false,
            plain_until: None,
            dictionary: None,
            omits_dids: false,
            is_too_old: false,
            refusal: None,
            not_before: None,
        };
        Self {
            all: hosts.iter().map(state).collect(),
            current: 0,
        }
    }

    pub(super) const fn current(&self) -> usize {
        self.current
    }

    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    /// The host whose turn it is.
    pub(super) fn state(&mut self) -> &mut HostState {
        &mut self.all[self.current]
    }

    /// Goes over to the next host that may be asked now, or soonest. Returns how long that one is
    /// not to be asked.
    pub(super) fn advance(&mut self) -> Duration {
        let count = self.all.len();
        let order = (1..=count).map(|step| (self.current + step) % count);
        let next = order.min_by_key(|&index| self.all[index].resting());
        self.current = next.unwrap_or_default();
        self.all[self.current].resting()
    }

    /// How long the host whose turn it is is not to be asked.
    pub(super) fn resting(&self) -> Duration {
        self.all[self.current].resting()
    }

    /// The host refuses for good. It is only asked again after a while; `true` if all refuse.
    pub(super) fn refuse(&mut self, refusal: Refusal) -> bool {
        let state = self.state();
        state.refusal = Some(refusal);
        state.rest(REFUSED);
        self.all.iter().all(|host| host.refusal.is_some())
    }

    /// Whether all hosts no longer have the number of the cursor.
    pub(super) fn are_too_old(&self) -> bool {
        self.all.iter().all(|host| host.is_too_old)
    }

    /// A new event came, so that the cursor is another.
    pub(super) fn progress(&mut self) {
        for host in &mut self.all {
            host.is_too_old = false;
        }
    }
}

const PLAIN: Duration = Duration::from_secs(15 * 60);
const REFUSED: Duration = Duration::from_secs(15 * 60);
