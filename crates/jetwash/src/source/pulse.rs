use std::time::Duration;

use tokio::time::Instant;

/// How often a relay sends, so that its silence can be told from a quiet hour.
#[derive(Debug)]
pub(super) struct Pulse {
    since: Instant,
    frames: u32,
    /// Frames a second.
    rate: Option<f64>,
    last: Instant,
}

impl Pulse {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            since: now,
            frames: 0,
            rate: None,
            last: now,
        }
    }

    /// A connection was made: the silence begins with it.
    pub(super) fn connected(&mut self, now: Instant) {
        self.rate = self.rate();
        self.since = now;
        self.frames = 0;
        self.last = now;
    }

    /// A frame has come. What a relay sends to catch up says nothing about its rate.
    pub(super) fn frame(&mut self, now: Instant, is_live: bool) {
        self.last = now;
        if !is_live {
            self.since = now;
            self.frames = 0;
            return;
        }
        self.frames += 1;
        let elapsed = now - self.since;
        if elapsed >= WINDOW {
            let (seconds, rate) = (elapsed.as_secs_f64(), self.window_rate(now));
            let weight = 1.0 - (-seconds / MEMORY_SECONDS).exp();
            self.rate = match self.rate {
                Some(before) => Some(before + (rate - before) * weight),
                None => Some(rate),
            };
            self.since = now;
            self.frames = 0;
        }
    }

    /// The pipeline had no room until now, so that the silence was not the relay's.
    pub(super) fn blocked(&mut self, now: Instant) {
        self.last = now;
    }

    /// Frames a second, as far as it can be told.
    pub(super) fn rate(&self) -> Option<f64> {
        // Until the first window is over, what there is of it has to do.
        let early = (self.frames >= FEW).then(|| self.window_rate(self.last));
        self.rate.or(early)
    }

    /// How long it has been since the last frame, if that is longer than the rate explains.
    pub(super) fn silence(&self, now: Instant, least: Duration) -> Option<Duration> {
        let quiet = now - self.last;
        let usual = EVENTS / self.rate()?.max(1e-9);
        let is_silent = quiet > least && quiet.as_secs_f64() > usual;
        is_silent.then_some(quiet)
    }

    /// Whether it once sent so much that `limit` without a frame means that the connection is dead.
    pub(super) fn is_dead(&self, now: Instant, limit: Duration) -> bool {
        now - self.last > limit && self.rate().is_some_and(|rate| rate > 1.0)
    }

    fn window_rate(&self, until: Instant) -> f64 {
        let seconds = (until - self.since).as_secs_f64().max(1e-3);
        f64::from(self.frames) / seconds
    }
}

/// Whether a message is on its way that will not end within a reasonable time.
#[derive(Debug, Default)]
pub(super) struct Crawl {
    messages: u64,
    received: u64,
    times: u32,
}

impl Crawl {
    /// Looks at a connection, every 30 s: how many messages and bytes have come, and whether a
    /// message has begun. Gives `true` when one has come at a crawl for a minute at least.
    pub(super) const fn look(&mut self, messages: u64, received: u64, has_begun: bool) -> bool {
        let is_same = has_begun && messages == self.messages;
        if is_same && received - self.received < LEAST_SPEED {
            self.times += 1;
        } else {
            // It may have begun a moment ago.
            self.times = has_begun as u32;
        }
        self.messages = messages;
        self.received = received;
        self.times > 2
    }
}

/// The least bytes that come in 30 s of a message that is on its way.
pub(super) const LEAST_SPEED: u64 = 64 << 10;
const WINDOW: Duration = Duration::from_secs(10);
const MEMORY_SECONDS: f64 = 60.0;
/// A pause in which usually this many events come does not happen by chance.
const EVENTS: f64 = 20.0;
const FEW: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_secs(30);

    /// A relay that has sent `count` frames, one each `every`.
    fn after(count: u32, every: Duration) -> (Pulse, Instant) {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        let mut now = start;
        for _ in 0..count {
            now += every;
            pulse.frame(now, true);
        }
        (pulse, now)
    }

    #[test]
    fn a_busy_relay_is_silent_after_the_least_time() {
        let (pulse, now) = after(2000, Duration::from_millis(20));
        assert_eq!(pulse.silence(now + Duration::from_secs(29), LEAST), None);
        let silence = pulse.silence(now + Duration::from_secs(31), LEAST);
        assert_eq!(silence, Some(Duration::from_secs(31)));
        assert!(pulse.is_dead(now + Duration::from_secs(301), Duration::from_secs(300)));
    }

    #[test]
    fn a_quiet_host_is_not_suspected_before_its_rate_says_so() {
        let (pulse, now) = after(100, Duration::from_secs(60));
        assert_eq!(pulse.silence(now + Duration::from_secs(1000), LEAST), None);
        assert!(
            pulse
                .silence(now + Duration::from_secs(1300), LEAST)
                .is_some()
        );
        assert!(!pulse.is_dead(now + Duration::from_secs(9000), Duration::from_secs(300)));
    }

    #[test]
    fn a_relay_that_catches_up_or_has_sent_nothing_has_no_rate() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        assert_eq!(
            pulse.silence(start + Duration::from_secs(9000), LEAST),
            None
        );
        for frame in 0..100_000 {
            pulse.frame(start + Duration::from_micros(frame), false);
        }
        assert_eq!(pulse.rate(), None);
    }
}
