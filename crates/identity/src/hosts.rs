//! How often a host is asked, and when it is left alone.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use crate::random::Random;

/// A number of requests, and the time in which they are earned again.
///
/// Up to that number may be sent at once; after that they are spread evenly.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use jetwash_identity::Budget;
///
/// // 100 a second, and 500 at once after a pause.
/// let budget = Budget::new(500, Duration::from_secs(5));
/// assert_eq!(budget.requests(), 500);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    requests: u32,
    interval: Duration,
}

impl Budget {
    /// Makes a budget of `requests`, at least one, in each `time`, up to a day.
    #[must_use]
    pub fn new(requests: u32, time: Duration) -> Self {
        let requests = requests.max(1);
        Self {
            requests,
            interval: time.min(DAY) / requests,
        }
    }

    /// How many requests may be sent at once.
    #[must_use]
    pub const fn requests(&self) -> u32 {
        self.requests
    }
}

/// The state of one host.
#[derive(Debug, Default)]
pub(crate) struct HostState {
    /// When all its budget will have been earned again.
    full_at: Option<Instant>,
    rests_until: Option<Instant>,
    failures: u32,
}

/// Why a host may not be asked now, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its budget is used up.
    Budget(Duration),
    /// It failed, or asked to be left alone.
    Resting(Duration),
}

impl HostState {
    /// How long to wait for a request.
    pub(crate) fn wait(&self, budget: Budget, now: Instant) -> Refusal {
        let rest = self.rest(now);
        let earned = budget.interval * (budget.requests - 1);
        let full_at = self.full_at.unwrap_or(now).max(now);
        let wait = (full_at - now).saturating_sub(earned);
        if rest >= wait {
            Refusal::Resting(rest)
        } else {
            Refusal::Budget(wait)
        }
    }

    /// Takes one request out of the budget, to be sent after the wait that is returned.
    pub(crate) fn admit(
        &mut self,
        budget: Budget,
        now: Instant,
        longest: Duration,
    ) -> Result<Duration, Refusal> {
        let refusal = self.wait(budget, now);
        if refusal.wait() > longest {
            return Err(refusal);
        }
        self.full_at = Some(self.full_at.unwrap_or(now).max(now) + budget.interval);
        Ok(refusal.wait())
    }

    pub(crate) const fn answered(&mut self) {
        self.failures = 0;
    }

    /// Leaves the host alone for as long as it asks, or for 0.5 s, 1 s, 2 s … up to 60 s with
    /// jitter. Requests that were under way together count as one failure.
    pub(crate) fn failed(&mut self, now: Instant, asked: Option<Duration>, random: &Random) {
        let rest = match asked {
            Some(asked) => asked.min(LONGEST_ASKED),
            None if self.rest(now) > Duration::ZERO => return,
            None => {
                let full = LONGEST.min(SHORTEST * (1 << self.failures.min(10)));
                random.spread(full)
            }
        };
        if self.rest(now) == Duration::ZERO {
            self.failures = self.failures.saturating_add(1);
        }
        self.rests_until = Some(self.rests_until.unwrap_or(now).max(now + rest));
    }

    fn rest(&self, now: Instant) -> Duration {
        self.rests_until
            .unwrap_or(now)
            .saturating_duration_since(now)
    }

    /// Whether forgetting it changes nothing.
    fn is_idle(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|at| at <= now) && self.rest(now) == Duration::ZERO
    }
}

impl Refusal {
    pub(crate) const fn wait(self) -> Duration {
        match self {
            Self::Budget(wait) | Self::Resting(wait) => wait,
        }
    }
}

/// The hosts that strangers name, each with the same budget, and a budget for all together.
pub(crate) struct Hosts {
    budget: Budget,
    total: Budget,
    random: Random,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    hosts: HashMap<Box<str>, HostState>,
    total: HostState,
}

impl Hosts {
    pub(crate) fn new(budget: Budget, total: Budget, random: Random) -> Self {
        Self {
            budget,
            total,
            random,
            known: Mutex::default(),
        }
    }

    /// Takes one request to the host out of both budgets, to be sent after the wait that is
    /// returned, which is up to `longest`.
    pub(crate) fn admit(&self, url: &Url, longest: Duration) -> Result<Duration, Refusal> {
        let now = Instant::now();
        let mut known = self.lock();
        let Known { hosts, total } = &mut *known;
        let all = total.wait(self.total, now);
        if all.wait() > longest {
            return Err(all);
        }
        if hosts.len() >= MAX_HOSTS {
            hosts.retain(|_, host| !host.is_idle(now));
        }
        let name = name_of(url);
        if hosts.len() >= MAX_HOSTS && !hosts.contains_key(&*name) {
            return Err(Refusal::Budget(self.budget.interval));
        }
        let host = hosts.entry(name).or_default();
        let wait = host.admit(self.budget, now, longest)?;
        // Cannot be refused: the wait was looked at above.
        Ok(wait.max(total.admit(self.total, now, longest)?))
    }

    pub(crate) fn answered(&self, url: &Url) {
        if let Some(host) = self.lock().hosts.get_mut(&*name_of(url)) {
            host.answered();
        }
    }

    pub(crate) fn failed(&self, url: &Url, asked: Option<Duration>) {
        if let Some(host) = self.lock().hosts.get_mut(&*name_of(url)) {
            host.failed(Instant::now(), asked, &self.random);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The host and its port.
pub(crate) fn name_of(url: &Url) -> Box<str> {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}").into(),
        None => host.into(),
    }
}

const DAY: Duration = Duration::from_secs(86_400);
const MAX_HOSTS: usize = 16_384;
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);
/// A host that asks for more is asked again all the same.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_budget_is_spent_at_once_and_then_earned_evenly() {
        let budget = Budget::new(4, SECOND);
        let start = Instant::now();
        let mut host = HostState::default();
        let mut admit = |after: u64, longest: u64| {
            let now = start + Duration::from_millis(after);
            host.admit(budget, now, Duration::from_millis(longest))
        };
        for _ in 0..4 {
            assert_eq!(admit(0, 0), Ok(Duration::ZERO));
        }
        let wait = Duration::from_millis(250);
        assert_eq!(admit(0, 249), Err(Refusal::Budget(wait)));
        assert_eq!(admit(0, 250), Ok(wait));
        assert_eq!(admit(0, 1000), Ok(wait * 2));
        assert_eq!(admit(500, 0), Err(Refusal::Budget(wait)));
        assert_eq!(admit(750, 0), Ok(Duration::ZERO));
        for _ in 0..4 {
            assert_eq!(admit(9000, 0), Ok(Duration::ZERO));
        }
        assert_eq!(admit(9000, 0), Err(Refusal::Budget(wait)));
    }

    #[test]
    fn a_host_that_fails_rests_longer_each_time_and_as_long_as_it_asks() {
        let budget = Budget::new(1000, SECOND);
        let random = Random::new(7);
        let mut now = Instant::now();
        let mut host = HostState::default();
        for expected in [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000] {
            host.failed(now, None, &random);
            host.failed(now, None, &random);
            let rest = host.wait(budget, now).wait();
            let full = Duration::from_millis(expected);
            assert!((full / 2..=full).contains(&rest), "{rest:?} of {full:?}");
            now += rest;
        }
        host.answered();
        host.failed(now, None, &random);
        assert!(host.wait(budget, now).wait() <= SECOND / 2);
        host.failed(now, Some(90 * SECOND), &random);
        assert_eq!(host.wait(budget, now), Refusal::Resting(90 * SECOND));
        host.failed(now, Some(SECOND), &random);
        assert_eq!(host.wait(budget, now), Refusal::Resting(90 * SECOND));
        host.failed(now, Some(DAY), &random);
        assert_eq!(host.wait(budget, now), Refusal::Resting(LONGEST_ASKED));
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_have_a_budget_each_and_one_together_and_do_not_pile_up() {
        let hosts = Hosts::new(
            Budget::new(1, SECOND),
            Budget::new(3, SECOND),
            Random::new(7),
        );
        let admit = |name: &str| {
            let url = Url::parse(&format!("https://{name}.test/")).unwrap();
            hosts.admit(&url, Duration::ZERO)
        };
        assert_eq!(admit("a"), Ok(Duration::ZERO));
        assert_eq!(admit("a"), Err(Refusal::Budget(SECOND)));
        assert_eq!(admit("b"), Ok(Duration::ZERO));
        assert_eq!(admit("c"), Ok(Duration::ZERO));
        assert!(matches!(admit("d"), Err(Refusal::Budget(_))));
        for number in 0..MAX_HOSTS + 10 {
            tokio::time::advance(SECOND / 2).await;
            assert_eq!(admit(&number.to_string()), Ok(Duration::ZERO));
        }
        assert!(hosts.lock().hosts.len() <= MAX_HOSTS);
    }
}
