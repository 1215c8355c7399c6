use std::time::Duration;

use crate::http::files::{connections_within, file_limit};

/// How long connections may take over their requests, and how many there may be.
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
    /// How long a request's head may take, from the opening of the connection or from the head's
    /// first byte: 10 s by default.
    pub head_timeout: Duration,
    /// How long the rest may take, which is the request's body and the answer: 60 s by default.
    pub request_timeout: Duration,
    /// How long a connection may wait for its next request: 30 s by default. Behind a proxy it
    /// should be longer than the proxy's own timeout.
    pub idle_timeout: Duration,
    /// The most open connections. The default is the soft limit of open files that the process has
    /// when this is made, without a reserve for all else that opens files, and at most 65,536: a
    /// quarter is kept back, at least 192 files or half of what there is, and at most 1,024. See
    /// [`raise_file_limit`](crate::raise_file_limit).
    pub max_connections: usize,
    /// The most open connections from one address; any number by default. Of IPv6 addresses those
    /// of a /64 count as one. Behind a proxy all come from the proxy's address.
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
