use std::time::Duration;

/// Limits for the readers of a [`Firehose`](crate::Firehose).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use jetwash_firehose::FirehoseOptions;
///
/// let options = FirehoseOptions::default()
///     .max_connections(200)
///     .write_timeout(Duration::from_secs(10));
/// assert_eq!(options.max_connections_per_address, Some(32));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FirehoseOptions {
    /// The most readers. Defaults to 1,000. Each takes up to about 300 KB while it reads older
    /// frames from disk, plus the largest frame.
    pub max_connections: usize,
    /// The most readers from one address. Defaults to 32. `None` is no limit. All IPv6 addresses of
    /// a /64 count as one. Readers whose address is not known count only towards
    /// [`max_connections`](Self::max_connections): see [`Firehose::router`](crate::Firehose::router).
    pub max_connections_per_address: Option<usize>,
    /// The time within which a reader's socket must take a frame, otherwise it is closed. Defaults
    /// to 30 s.
    pub write_timeout: Duration,
    /// The time without frames after which a reader gets a ping. Defaults to 30 s.
    pub ping_interval: Duration,
    /// The time after a ping within which a reader must send something, otherwise it is closed with
    /// the next ping. Defaults to 60 s.
    pub pong_timeout: Duration,
    /// The largest message that a reader may send, in bytes. Defaults to 4,096. The protocol has no
    /// messages from readers, so they are ignored.
    pub max_message_bytes: usize,
    /// Whether a reader's address is the last one in `X-Forwarded-For`, where the nearest proxy
    /// puts it. Defaults to `false`. Set it only if the router cannot be reached without that
    /// proxy.
    pub trust_forwarded_for: bool,
    /// Whether the addresses of readers are kept out of what the program logs. Defaults to
    /// `false`.
    pub hide_addresses: bool,
}

impl FirehoseOptions {
    /// Sets [`FirehoseOptions::max_connections`].
    #[must_use]
    pub const fn max_connections(mut self, count: usize) -> Self {
        self.max_connections = count;
        self
    }

    /// Sets [`FirehoseOptions::max_connections_per_address`].
    #[must_use]
    pub const fn max_connections_per_address(mut self, count: Option<usize>) -> Self {
        self.max_connections_per_address = count;
        self
    }

    /// Sets [`FirehoseOptions::write_timeout`].
    #[must_use]
    pub const fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Sets [`FirehoseOptions::ping_interval`].
    #[must_use]
    pub const fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = interval;
        self
    }

    /// Sets [`FirehoseOptions::pong_timeout`].
    #[must_use]
    pub const fn pong_timeout(mut self, timeout: Duration) -> Self {
        self.pong_timeout = timeout;
        self
    }

    /// Sets [`FirehoseOptions::max_message_bytes`].
    #[must_use]
    pub const fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// Sets [`FirehoseOptions::trust_forwarded_for`].
    #[must_use]
    pub const fn trust_forwarded_for(mut self, trust: bool) -> Self {
        self.trust_forwarded_for = trust;
        self
    }

    /// Sets [`FirehoseOptions::hide_addresses`].
    #[must_use]
    pub const fn hide_addresses(mut self, hide: bool) -> Self {
        self.hide_addresses = hide;
        self
    }
}

impl Default for FirehoseOptions {
    fn default() -> Self {
        Self {
            max_connections: 1000,
            max_connections_per_address: Some(32),
            write_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(30),
            pong_timeout: Duration::from_secs(60),
            max_message_bytes: 4096,
            trust_forwarded_for: false,
            hide_addresses: false,
        }
    }
}
