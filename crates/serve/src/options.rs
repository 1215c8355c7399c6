use std::time::Duration;

use jetwash::Dictionary;

use crate::http::limits::HttpLimits;

/// How subscribers are served.
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
    /// How long an event may wait for others, to be written with them: 5 ms by default. It waits
    /// no longer than 10 µs for each subscriber that there is, so a few get it at once. More than
    /// the default makes thousands of subscribers cheaper. Zero sends at once whoever listens.
    pub max_delay: Duration,
    /// How long events are gathered for subscribers that ask for batches: 20 ms by default. A
    /// batch has 64 events at most.
    pub batch_delay: Duration,
    /// The most subscribers for each of whom everything is compressed anew, as one stream: 8 by
    /// default. Such a subscriber costs some 700 KB of memory, and the work of compressing.
    pub max_streams: usize,
    /// The most of them from one address; half of them by default, but at least one.
    pub max_streams_per_address: Option<usize>,
    /// What binary events are compressed with; nothing by default. The dictionary of the Jetstream
    /// is made for lines of JSON.
    pub binary_dictionary: Option<Dictionary>,
    /// A subscriber whose socket takes no byte for so long is closed: 90 s by default, as long as
    /// one is kept at most that answers no ping. Whoever pauses for a minute goes on without loss.
    pub write_timeout: Duration,
    /// How often a subscriber is pinged: every 30 s by default.
    pub ping_interval: Duration,
    /// A subscriber from whom nothing has come for so long after a ping is closed: 60 s by default.
    pub pong_timeout: Duration,
    /// The most accounts in a filter: 10,000 by default, as in Jetstream.
    pub max_dids: usize,
    /// The most collections in a filter: 100 by default, as in Jetstream.
    pub max_collections: usize,
    /// The largest message that a subscriber may send, in bytes: 10,000,000 by default.
    pub max_message_bytes: usize,
    /// How many bytes a second a subscriber may send, in the long run: 512,000 by default, and all
    /// of one address together twice as many. A message counts as 256 bytes more than it has. One of
    /// the [largest](Self::max_message_bytes) may come at any time. What comes too early is not read
    /// before its time, and holds up nobody else.
    pub max_received_bytes: u32,
    /// How much memory all subscribers may take together, in bytes, for filters, for messages (and,
    /// with [`Server::serve`](crate::Server::serve), requests) that have not come to their end, and for events that their sockets do not take: 64 MiB by
    /// default. When it is used up, the costliest are closed with code 1013, or refused.
    pub memory_budget: usize,
    /// The most events a second to all subscribers of one address together; any number by default.
    /// A burst may have as many as a second.
    pub max_events_per_address: Option<u32>,
    /// The most subscribers from one address; any number by default. Of IPv6 addresses those of a
    /// /64 count as one.
    pub max_connections_per_address: Option<usize>,
    /// Whether the address that the nearest proxy puts at the end of `X-Forwarded-For` is the
    /// client's. Only for servers that nobody can reach but through such a proxy.
    pub trust_forwarded_for: bool,
    /// Whether the lines in the log that tell of subscribers leave out their addresses; they have
    /// them by default.
    pub hide_addresses: bool,
    /// What holds for every connection, whether or not it becomes a subscriber. Only
    /// [`Server::serve`](crate::Server::serve) keeps to it, because it accepts them.
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

    /// The limits for connections, from which those for subscribers leave room for other requests.
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
            max_delay: Duration::from_millis(5),
            batch_delay: Duration::from_millis(20),
            max_streams: 8,
            max_streams_per_address: None,
            binary_dictionary: None,
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
            trust_forwarded_for: false,
            hide_addresses: false,
            http: HttpLimits::default(),
        }
    }
}

/// How many connections an address may have at least that are no subscribers.
const LEAST_OTHERS: usize = 8;
