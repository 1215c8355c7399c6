use std::time::Duration;

use jetwash::Dictionary;

use crate::http::limits::HttpLimits;

/// Options and limits for serving subscribers.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use jetwash_serve::ServeOptions;
///
/// let options = ServeOptions::default().max_delay(Duration::ZERO).max_dids(200_000);
/// assert_eq!(options.write_timeout, Duration::from_secs(90));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServeOptions {
    /// The time that an event may wait for others, to be written with them. Defaults to 20 ms. It
    /// waits up to eight times as long as it takes to write to all subscribers, so a few get it at
    /// once. A longer delay makes thousands of subscribers cheaper. With zero, every event is sent
    /// at once.
    pub max_delay: Duration,
    /// The time that events are gathered for subscribers that ask for batches. Defaults to 20 ms. A
    /// batch has up to 64 events.
    pub batch_delay: Duration,
    /// The most subscribers with `compress=stream`. Defaults to 8. Everything is compressed anew
    /// for each of them, which takes about 700 KB of memory and the processor's time.
    pub max_streams: usize,
    /// The most subscribers with `compress=stream` from one address. Defaults to half of
    /// [`max_streams`](Self::max_streams), rounded up.
    pub max_streams_per_address: Option<usize>,
    /// The dictionary for binary events. Defaults to no dictionary: that of the Jetstream is made
    /// for lines of JSON.
    pub binary_dictionary: Option<Dictionary>,
    /// The dictionary for messages of Jetstream version 2. Defaults to that of the Jetstream,
    /// whatever that is at the time. One that is trained on such messages, as the official one is,
    /// makes them smaller. Its number must be another than those of the Jetstream's dictionaries.
    pub v2_dictionary: Option<Dictionary>,
    /// The time after which a subscriber is closed if its socket takes no byte. Defaults to 90 s,
    /// so that a client which pauses for a minute loses nothing.
    pub write_timeout: Duration,
    /// The interval of pings. Defaults to 30 s.
    pub ping_interval: Duration,
    /// The time after a ping within which a subscriber must send something, otherwise it is closed.
    /// Defaults to 60 s.
    pub pong_timeout: Duration,
    /// The most accounts in a filter. Defaults to 10,000, as in Jetstream.
    pub max_dids: usize,
    /// The most collections in a filter. Defaults to 100, as in Jetstream.
    pub max_collections: usize,
    /// The largest message that a subscriber may send, in bytes. Defaults to 10,000,000.
    pub max_message_bytes: usize,
    /// The bytes that a subscriber may send in a second, in the long run. Defaults to 512,000. All
    /// subscribers of one address together may send twice that. Each message counts 256 bytes more
    /// than its size. A message of the [largest size](Self::max_message_bytes) may come at any
    /// time. Bytes that come too early stay in the subscriber's socket until it is their time.
    pub max_received_bytes: u32,
    /// The memory that all subscribers may take together, in bytes: for filters, for unfinished
    /// messages (with [`Server::serve`](crate::Server::serve) also requests), and for events that
    /// their sockets have not taken. Defaults to 64 MiB. When it is used up, the costliest
    /// subscribers are closed with code 1013, or refused.
    pub memory_budget: usize,
    /// The most events in a second to all subscribers of one address together. Defaults to no
    /// limit. The events of one second may go in one burst.
    pub max_events_per_address: Option<u32>,
    /// The most subscribers from one address. Defaults to no limit. All IPv6 addresses of a /64
    /// count as one.
    pub max_connections_per_address: Option<usize>,
    /// Whether others may mirror the log, at `/mirror`. Defaults to `false`, because a mirror gets all
    /// of the log at once, and it names the upstreams that events came from.
    pub serve_mirrors: bool,
    /// Whether a client's address is the last one in `X-Forwarded-For`, where the nearest proxy
    /// puts it. Defaults to `false`. Set it only if the server cannot be reached without that
    /// proxy.
    pub trust_forwarded_for: bool,
    /// Whether the addresses of subscribers are kept out of what the program prints. Defaults to
    /// `false`.
    pub hide_addresses: bool,
    /// The limits for every connection, whether or not it becomes a subscriber. They hold only with
    /// [`Server::serve`](crate::Server::serve), which accepts the connections.
    pub http: HttpLimits,
}

impl ServeOptions {
    /// Sets [`ServeOptions::max_delay`].
    #[must_use]
    pub const fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// Sets [`ServeOptions::batch_delay`].
    #[must_use]
    pub const fn batch_delay(mut self, delay: Duration) -> Self {
        self.batch_delay = delay;
        self
    }

    /// Sets [`ServeOptions::max_streams`].
    #[must_use]
    pub const fn max_streams(mut self, count: usize) -> Self {
        self.max_streams = count;
        self
    }

    /// Sets [`ServeOptions::max_streams_per_address`].
    #[must_use]
    pub const fn max_streams_per_address(mut self, count: usize) -> Self {
        self.max_streams_per_address = Some(count);
        self
    }

    /// Sets [`ServeOptions::binary_dictionary`].
    #[must_use]
    pub fn binary_dictionary(mut self, dictionary: Dictionary) -> Self {
        self.binary_dictionary = Some(dictionary);
        self
    }

    /// Sets [`ServeOptions::v2_dictionary`].
    #[must_use]
    pub fn v2_dictionary(mut self, dictionary: Dictionary) -> Self {
        self.v2_dictionary = Some(dictionary);
        self
    }

    /// Sets [`ServeOptions::write_timeout`].
    #[must_use]
    pub const fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Sets [`ServeOptions::ping_interval`].
    #[must_use]
    pub const fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = interval;
        self
    }

    /// Sets [`ServeOptions::pong_timeout`].
    #[must_use]
    pub const fn pong_timeout(mut self, timeout: Duration) -> Self {
        self.pong_timeout = timeout;
        self
    }

    /// Sets [`ServeOptions::max_dids`].
    #[must_use]
    pub const fn max_dids(mut self, count: usize) -> Self {
        self.max_dids = count;
        self
    }

    /// Sets [`ServeOptions::max_collections`].
    #[must_use]
    pub const fn max_collections(mut self, count: usize) -> Self {
        self.max_collections = count;
        self
    }

    /// Sets [`ServeOptions::max_message_bytes`].
    #[must_use]
    pub const fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// Sets [`ServeOptions::max_received_bytes`].
    #[must_use]
    pub const fn max_received_bytes(mut self, rate: u32) -> Self {
        self.max_received_bytes = rate;
        self
    }

    /// Sets [`ServeOptions::memory_budget`].
    #[must_use]
    pub const fn memory_budget(mut self, bytes: usize) -> Self {
        self.memory_budget = bytes;
        self
    }

    /// Sets [`ServeOptions::max_events_per_address`].
    #[must_use]
    pub const fn max_events_per_address(mut self, rate: u32) -> Self {
        self.max_events_per_address = Some(rate);
        self
    }

    /// Sets [`ServeOptions::max_connections_per_address`].
    #[must_use]
    pub const fn max_connections_per_address(mut self, connections: usize) -> Self {
        self.max_connections_per_address = Some(connections);
        self
    }

    /// Sets [`ServeOptions::serve_mirrors`].
    #[must_use]
    pub const fn serve_mirrors(mut self, serve: bool) -> Self {
        self.serve_mirrors = serve;
        self
    }

    /// Sets [`ServeOptions::trust_forwarded_for`].
    #[must_use]
    pub const fn trust_forwarded_for(mut self, trust: bool) -> Self {
        self.trust_forwarded_for = trust;
        self
    }

    /// Sets [`ServeOptions::hide_addresses`].
    #[must_use]
    pub const fn hide_addresses(mut self, hide: bool) -> Self {
        self.hide_addresses = hide;
        self
    }

    /// Sets [`ServeOptions::http`].
    #[must_use]
    pub const fn http(mut self, limits: HttpLimits) -> Self {
        self.http = limits;
        self
    }

    pub(crate) fn streams_per_address(&self) -> usize {
        let most = self.max_streams_per_address;
        most.unwrap_or_else(|| self.max_streams.div_ceil(2))
    }

    /// The limits for connections. The limit by address is above the one for subscribers, to leave
    /// room for other requests.
    pub(crate) fn connection_limits(&self) -> HttpLimits {
        let mut limits = self.http.clone();
        if self.trust_forwarded_for {
            limits.max_connections_per_address = None;
        } else if let Some(most) = self.max_connections_per_address {
            let most = most.saturating_add((most / 4).max(LEAST_OTHERS));
            limits.max_connections_per_address.get_or_insert(most);
        }
        limits
    }
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            max_delay: Duration::from_millis(20),
            batch_delay: Duration::from_millis(20),
            max_streams: 8,
            max_streams_per_address: None,
            binary_dictionary: None,
            v2_dictionary: None,
            write_timeout: Duration::from_secs(90),
            ping_interval: Duration::from_secs(30),
            pong_timeout: Duration::from_secs(60),
            max_dids: 10_000,
            max_collections: 100,
            max_message_bytes: 10_000_000,
            max_received_bytes: 512_000,
            memory_budget: 64 << 20,
            max_events_per_address: None,
            max_connections_per_address: None,
            serve_mirrors: false,
            trust_forwarded_for: false,
            hide_addresses: false,
            http: HttpLimits::default(),
        }
    }
}

/// The least number of connections that an address may have besides its subscribers.
const LEAST_OTHERS: usize = 8;
