use std::time::Duration;

use jetwash_websocket::{Socket, SocketError};
use tokio::time::{Instant, Interval, interval_at};

use super::error::RelayError;
use super::pulse::Crawl;

/// Whether a connection is of use: the host answers pings, does not flood with them, and brings each
/// message within a reasonable time.
#[derive(Debug)]
pub(super) struct Liveness {
    ping: Interval,
    heard: Instant,
    received: u64,
    crawl: Crawl,
    /// Pings and pongs since the last tick.
    signs: u32,
}

impl Liveness {
    /// Begins with a connection.
    pub(super) fn new(now: Instant, socket: &Socket) -> Self {
        Self {
            ping: interval_at(now + PING, PING),
            heard: now,
            received: socket.received(),
            crawl: Crawl::default(),
            signs: 0,
        }
    }

    /// A message has come, or nothing was listened to until now.
    pub(super) const fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// A ping or a pong has come.
    pub(super) const fn sign(&mut self) -> Result<(), SocketError> {
        self.signs += 1;
        if self.signs > MAX_SIGNS {
            return Err(SocketError::Protocol("a flood of pings"));
        }
        Ok(())
    }

    /// Waits until the connection is to be [checked](Self::check).
    pub(super) async fn tick(&mut self) -> Instant {
        self.ping.tick().await
    }

    /// Sends a ping, unless the connection is of no use any more.
    pub(super) fn check(&mut self, now: Instant, socket: &mut Socket) -> Result<(), RelayError> {
        // A long message may be on its way.
        if socket.received() > self.received {
            self.received = socket.received();
            self.heard = now;
        }
        if now - self.heard > SILENCE {
            return Err(RelayError::Silent(SILENCE));
        }
        self.signs = 0;
        let has_begun = socket.has_begun();
        if self.crawl.look(socket.messages(), self.received, has_begun) {
            return Err(RelayError::Slow);
        }
        socket.ping();
        Ok(())
    }
}

const PING: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(75);
/// Pings and pongs in the time between two pings of ours.
const MAX_SIGNS: u32 = 10_000;
