use std::time::Duration;

/// Options and limits of a [`StatusPage`](crate::StatusPage).
///
/// # Examples
///
/// ```
/// use jetwash_serve::StatusPageOptions;
///
/// let options = StatusPageOptions::default().max_viewers(3);
/// assert_eq!(options.max_tail_rate, 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatusPageOptions {
    /// The most viewers at the same time: connections to the stream. Defaults to 10. One more gets
    /// `503`.
    pub max_viewers: usize,
    /// The most events in a second that one viewer's tail shows. Defaults to 20. How many more
    /// there were is counted.
    pub max_tail_rate: u32,
    /// The time after which a viewer's stream ends, to be continued by the browser from where it
    /// was. Defaults to 50 s, which is below [`HttpLimits::request_timeout`](crate::HttpLimits::request_timeout).
    pub stream_time: Duration,
    /// Whether the page shows the addresses of subscribers. Defaults to `false`. They are not shown
    /// in any case if [`ServeOptions::hide_addresses`](crate::ServeOptions::hide_addresses) is set.
    pub show_addresses: bool,
    /// The names under which the page may be asked for, besides `localhost` and IP addresses.
    /// Defaults to none. A request for another name gets `421`: it may come from a page of somebody
    /// else, whose name was made to point here.
    pub hosts: Vec<String>,
}

impl StatusPageOptions {
    /// Sets [`StatusPageOptions::max_viewers`].
    #[must_use]
    pub const fn max_viewers(mut self, viewers: usize) -> Self {
        self.max_viewers = viewers;
        self
    }

    /// Sets [`StatusPageOptions::max_tail_rate`].
    #[must_use]
    pub const fn max_tail_rate(mut self, rate: u32) -> Self {
        self.max_tail_rate = rate;
        self
    }

    /// Sets [`StatusPageOptions::stream_time`].
    #[must_use]
    pub const fn stream_time(mut self, time: Duration) -> Self {
        self.stream_time = time;
        self
    }

    /// Sets [`StatusPageOptions::show_addresses`].
    #[must_use]
    pub const fn show_addresses(mut self, show: bool) -> Self {
        self.show_addresses = show;
        self
    }

    /// Adds one of [`StatusPageOptions::hosts`], a name without a port. Case does not matter.
    #[must_use]
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into().to_ascii_lowercase());
        self
    }
}

impl Default for StatusPageOptions {
    fn default() -> Self {
        Self {
            max_viewers: 10,
            max_tail_rate: 20,
            stream_time: Duration::from_secs(50),
            show_addresses: false,
            hosts: Vec::new(),
        }
    }
}
