use std::time::Duration;

use jetwash_websocket::Backoff;
use tokio::time::Instant;

use super::address::MirrorAddress;
use crate::source::dial::FIRST_WAIT;

/// The hosts in the order in which they are preferred, and how long each is left alone.
pub(super) struct Hosts {
    all: Vec<HostState>,
    current: usize,
}

struct HostState {
    address: MirrorAddress,
    backoff: Backoff,
    not_before: Option<Instant>,
    /// Why it does not serve this mirror, if it said so the last time.
    refusal: Option<String>,
}

impl Hosts {
    pub(super) fn new(addresses: Vec<MirrorAddress>) -> Self {
        let state = |address: MirrorAddress| HostState {
            backoff: Backoff::new(FIRST_WAIT),
            address,
            not_before: None,
            refusal: None,
        };
        Self {
            all: addresses.into_iter().map(state).collect(),
            current: 0,
        }
    }

    /// Turns to the first host that may be asked by now, or else to the one that may be soonest.
    /// Returns how long that is to be waited for.
    pub(super) fn choose(&mut self, now: Instant) -> Duration {
        let left = |host: &HostState| {
            let until = host.not_before;
            until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
        };
        let next = (0..self.all.len()).min_by_key(|&index| left(&self.all[index]));
        self.current = next.unwrap_or_default();
        self.all.get(self.current).map_or(Duration::ZERO, left)
    }

    /// The host whose turn it is; `None` without any.
    pub(super) fn address(&self) -> Option<&MirrorAddress> {
        Some(&self.all.get(self.current)?.address)
    }

    /// Whether another host comes before the one whose turn it is.
    pub(super) const fn is_substitute(&self) -> bool {
        self.current > 0
    }

    /// A connection brought something: the host serves this mirror.
    pub(super) fn serves(&mut self) {
        if let Some(host) = self.all.get_mut(self.current) {
            host.refusal = None;
        }
    }

    /// A connection has ended that brought `messages`.
    pub(super) fn ended(&mut self, now: Instant, messages: u64, at_least: Duration) {
        if let Some(host) = self.all.get_mut(self.current) {
            let wait = match messages {
                0 => host.backoff.after_failure(),
                _ => host.backoff.after_progress(messages),
            };
            host.not_before = Some(now + wait.max(at_least));
        }
    }

    /// A substitute was left in good order: the hosts before it are asked, and then it again.
    pub(super) fn left(&mut self, now: Instant) {
        for host in &mut self.all {
            // One that refuses is asked when its time has come.
            if host.refusal.is_none() {
                host.not_before = None;
            }
        }
        if let Some(host) = self.all.get_mut(self.current) {
            host.not_before = Some(now + SHORT);
        }
    }

    /// The host does not serve this mirror, and is not asked again before `rest` has passed.
    pub(super) fn refuse(&mut self, now: Instant, why: &str, rest: Duration) {
        if let Some(host) = self.all.get_mut(self.current) {
            host.refusal = Some(format!("{}: {why}", host.address.name()));
            host.not_before = Some(now + rest);
        }
    }

    /// Why this mirror stands still, if every host refuses to serve it.
    pub(super) fn stuck(&self) -> Option<String> {
        let refusals = self.all.iter().map(|host| host.refusal.as_deref());
        let refusals: Option<Vec<_>> = refusals.collect();
        refusals.map(|all| all.join("; "))
    }

    /// How many attempts in a row have brought nothing, at the host with the fewest.
    pub(super) fn attempts(&self) -> u32 {
        let attempts = self.all.iter().map(|host| host.backoff.attempts());
        attempts.min().unwrap_or_default()
    }
}

const SHORT: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(count: usize) -> Hosts {
        let address = |index| format!("ws://{index}.example").parse().unwrap();
        Hosts::new((0..count).map(address).collect())
    }

    fn name(hosts: &Hosts) -> &str {
        hosts.address().unwrap().name()
    }

    #[test]
    fn the_first_host_is_preferred_and_the_next_asked_while_it_rests() {
        let mut hosts = hosts(3);
        let now = Instant::now();
        assert_eq!(hosts.choose(now), Duration::ZERO);
        assert_eq!(name(&hosts), "ws://0.example");
        hosts.ended(now, 0, Duration::ZERO);
        hosts.choose(now);
        assert_eq!(name(&hosts), "ws://1.example");
        assert!(hosts.is_substitute());
        hosts.choose(now + Duration::from_secs(1));
        assert_eq!(name(&hosts), "ws://0.example");
    }

    #[test]
    fn a_substitute_that_is_left_comes_after_the_others() {
        let mut hosts = hosts(2);
        let now = Instant::now();
        for _ in 0..9 {
            hosts.choose(now);
            hosts.ended(now, 0, Duration::from_secs(60));
        }
        hosts.choose(now);
        hosts.current = 1;
        hosts.left(now);
        assert_eq!(hosts.choose(now), Duration::ZERO);
        assert_eq!(name(&hosts), "ws://0.example");
    }

    #[test]
    fn a_host_that_has_refused_is_not_asked_before_its_time_when_a_substitute_is_left() {
        let mut hosts = hosts(2);
        let now = Instant::now();
        hosts.choose(now);
        hosts.refuse(now, "another log", Duration::from_secs(30));
        hosts.choose(now);
        assert_eq!(name(&hosts), "ws://1.example");
        hosts.left(now);
        // It is the substitute's turn again, after a short while.
        assert_eq!(hosts.choose(now), SHORT);
        assert_eq!(name(&hosts), "ws://1.example");
    }

    #[test]
    fn it_stands_still_when_all_refuse_and_not_before() {
        let mut hosts = hosts(2);
        let now = Instant::now();
        for expected in [false, true] {
            hosts.choose(now);
            hosts.refuse(now, "another log", Duration::from_secs(30));
            assert_eq!(hosts.stuck().is_some(), expected);
        }
        let wait = hosts.choose(now);
        assert_eq!(wait, Duration::from_secs(30));
        hosts.serves();
        assert_eq!(hosts.stuck(), None);
    }
}
