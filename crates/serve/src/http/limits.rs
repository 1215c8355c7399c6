use std::time::Duration;

use crate::http::files::{connections_within, file_limit};

/// Limits for connections: how long they may take over requests, and how many there may be.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use jetwash_serve::HttpLimits;
///
/// let limits = HttpLimits::default().max_connections(1000).idle_timeout(Duration::from_secs(75));
/// assert_eq!(limits.head_timeout, Duration::from_secs(10));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpLimits {
    /// The time for a request's head, from the opening of the connection or from the head's first
    /// byte. Defaults to 10 s.
    pub head_timeout: Duration,
    /// The time for the rest of a request: its body and the answer. Defaults to 60 s.
    pub request_timeout: Duration,
    /// The time that a connection may wait for its next request. Defaults to 30 s. Behind a proxy,
    /// set it longer than the proxy's own timeout.
    pub idle_timeout: Duration,
    /// The most open connections. Defaults to the process's soft limit of open files when this
    /// value is made, minus a reserve for everything else that opens files, up to 65,536. The
    /// reserve is a quarter of the limit, at least 192 files (or half of the limit) and at most
    /// 1,024. See [`raise_file_limit`](crate::raise_file_limit).
    pub max_connections: usize,
    /// The most open connections from one address. Defaults to no limit. All IPv6 addresses of a
    /// /64 count as one. Behind a proxy, all connections come from the proxy's address.
    pub max_connections_per_address: Option<usize>,
}

impl HttpLimits {
    /// Sets [`HttpLimits::head_timeout`].
    #[must_use]
    pub const fn head_timeout(mut self, timeout: Duration) -> Self {
        self.head_timeout = timeout;
        self
    }

    /// Sets [`HttpLimits::request_timeout`].
    #[must_use]
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets [`HttpLimits::idle_timeout`].
    #[must_use]
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets [`HttpLimits::max_connections`].
    #[must_use]
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets [`HttpLimits::max_connections_per_address`].
    #[must_use]
    pub const fn max_connections_per_address(mut self, connections: usize) -> Self {
        self.max_connections_per_address = Some(connections);
        self
    }
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(30),
            max_connections: connections_within(file_limit()),
            max_connections_per_address: None,
        }
    }
}
