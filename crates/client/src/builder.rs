use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jetwash_dict::Dictionary;
use rustls::ClientConfig;

use crate::connection::{DialerOptions, Host, HostError, Location};
use crate::cursor::UpstreamCursor;
use crate::error::ClientBuildError;
use crate::filter::ClientFilter;
use crate::protocol::Protocol;
use crate::run::{DictionarySettings, Settings};

/// Sets up a [`Client`](crate::Client): see [`Client::builder`](crate::Client::builder).
///
/// # Examples
///
/// ```no_run
/// use jetwash_client::{Client, ClientFilter};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut client = Client::builder(["jetstream1.us-east.bsky.network", "jetstream2.us-east.bsky.network"])
///     .filter(ClientFilter::new().collections(["app.bsky.feed.post"])?)
///     .cursor("time=1783175887517000".parse()?)
///     .dictionary_folder("/var/cache/my-feed")
///     .build()?;
/// # client.next().await; Ok(()) }
/// ```
#[must_use]
pub struct ClientBuilder {
    hosts: Vec<String>,
    protocol: Option<Protocol>,
    filter: ClientFilter,
    cursor: Option<UpstreamCursor>,
    compresses: bool,
    dictionaries: DictionarySettings,
    dictionary_urls: Vec<String>,
    user_agent: String,
    headers: Vec<(String, String)>,
    tls: Option<Arc<ClientConfig>>,
    connect_timeout: Duration,
    silence: Duration,
    overlap: Duration,
    max_message: usize,
}

impl ClientBuilder {
    pub(crate) fn new(hosts: Vec<String>) -> Self {
        Self {
            hosts,
            protocol: None,
            filter: ClientFilter::new(),
            cursor: None,
            compresses: true,
            dictionaries: DictionarySettings::default(),
            dictionary_urls: Vec::new(),
            user_agent: concat!("jetwash-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            headers: Vec::new(),
            tls: None,
            connect_timeout: Duration::from_secs(10),
            silence: Duration::from_secs(60),
            overlap: Duration::from_secs(10),
            max_message: DEFAULT_MESSAGE,
        }
    }

    /// Speaks this version to hosts whose address does not name one. Without this, version 2 is
    /// tried, and version 1 where the host does not have it.
    pub const fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Delivers only the events that pass this filter.
    pub fn filter(mut self, filter: ClientFilter) -> Self {
        self.filter = filter;
        self
    }

    /// Continues after this cursor. Without it, the stream starts at the live end.
    pub fn cursor(mut self, cursor: UpstreamCursor) -> Self {
        self.cursor = Some(cursor);
        self
    }

    /// Asks for compressed messages or does not. Defaults to `true`: where no dictionary is to be
    /// found, messages come plain.
    pub const fn compress(mut self, compresses: bool) -> Self {
        self.compresses = compresses;
        self
    }

    /// Adds a dictionary, such as the official one of version 1.
    pub fn dictionary(mut self, dictionary: Dictionary) -> Self {
        self.dictionaries.known.push(dictionary);
        self
    }

    /// Adds a URL to fetch a dictionary from when one is needed. Hosts that have dictionaries are
    /// asked without it.
    pub fn dictionary_url(mut self, url: impl Into<String>) -> Self {
        self.dictionary_urls.push(url.into());
        self
    }

    /// Keeps fetched dictionaries in this folder, each as `NUMBER.zdict`.
    pub fn dictionary_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.dictionaries.folder = Some(folder.into());
        self
    }

    /// Takes the dictionary of this number only if it has this SHA-256.
    pub fn dictionary_sha256(mut self, id: u32, sha256: [u8; 32]) -> Self {
        self.dictionaries.pins.push((id, sha256));
        self
    }

    /// Sets the header `User-Agent`. Defaults to `jetwash-client/` and the version.
    pub fn user_agent(mut self, text: impl Into<String>) -> Self {
        self.user_agent = text.into();
        self
    }

    /// Adds a header to each request.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Uses a TLS configuration of [`rustls`] 0.23. Defaults to the machine's root certificates.
    pub fn tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Sets how long each step of connecting may take. Defaults to 10 s.
    pub const fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Sets after how long a host is left that is connected but silent. Defaults to 60 s.
    ///
    /// Silent is a host that answers no ping, or that sends no event though it must have some: it
    /// was asked for all events, or had sent many. A stream that is usually quiet gets the time of
    /// 20 events.
    pub const fn silence(mut self, limit: Duration) -> Self {
        self.silence = limit;
        self
    }

    /// Sets how far another host is asked back, to see that its events join those of the last one.
    /// Defaults to 10 s.
    pub const fn overlap(mut self, overlap: Duration) -> Self {
        self.overlap = overlap;
        self
    }

    /// Sets the longest message, as it comes and decompressed, in bytes. Longer ones are skipped
    /// and counted. Defaults to 32 MiB.
    pub const fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// Checks everything.
    pub(crate) fn prepare(mut self) -> Result<(Settings, ClientFilter), ClientBuildError> {
        let settings = self.check()?;
        Ok((settings, self.filter))
    }

    fn check(&mut self) -> Result<Settings, ClientBuildError> {
        if self.hosts.is_empty() {
            return Err(ClientBuildError::NoHost);
        }
        let mut hosts = Vec::new();
        for text in &self.hosts {
            let mut host = Host::parse(text)?;
            host.protocol = host.protocol.or(self.protocol);
            // A host that is listed twice would be two hosts that do not share what is known.
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        for (setting, duration) in [
            ("connect_timeout", self.connect_timeout),
            ("silence", self.silence),
        ] {
            if duration.is_zero() {
                let rule = "longer than 0";
                return Err(ClientBuildError::Setting { setting, rule });
            }
        }
        if !(1..=MAX_MESSAGE).contains(&self.max_message) {
            let (setting, rule) = ("max_message_bytes", "from 1 to 1 GiB");
            return Err(ClientBuildError::Setting { setting, rule });
        }
        let mut dictionaries = std::mem::take(&mut self.dictionaries);
        for url in &self.dictionary_urls {
            let (location, path) = Location::parse(url).map_err(|reason| {
                let text = url.clone();
                ClientBuildError::Host(HostError { text, reason })
            })?;
            dictionaries.locations.push((location, path.to_owned()));
        }
        let agent = ("User-Agent".to_owned(), self.user_agent.clone());
        let mut headers = vec![agent];
        headers.append(&mut self.headers);
        for (index, (name, value)) in headers.iter().enumerate() {
            if let Some(reason) = header_fault(name, value, index > 0) {
                let name = name.clone();
                return Err(ClientBuildError::Header { name, reason });
            }
        }
        Ok(Settings {
            hosts,
            dialer: DialerOptions {
                headers,
                tls: self.tls.clone(),
                timeout: self.connect_timeout,
                max_message: self.max_message,
            },
            compresses: self.compresses,
            dictionaries,
            cursor: self.cursor.clone(),
            silence: self.silence,
            overlap: self.overlap,
            max_message: self.max_message,
        })
    }
}

fn header_fault(name: &str, value: &str, is_given: bool) -> Option<&'static str> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Some("its name is not one of HTTP");
    }
    let name = name.to_ascii_lowercase();
    let is_own = OWN_HEADERS.contains(&name.as_str()) || name.starts_with("sec-websocket");
    if is_given && is_own {
        return Some("the request sets it itself");
    }
    let is_value = !value.is_empty() && value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    (!is_value).then_some("its value must be of printable ASCII characters")
}

const OWN_HEADERS: [&str; 6] = [
    "connection",
    "content-length",
    "host",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];
const DEFAULT_MESSAGE: usize = 32 << 20;
const MAX_MESSAGE: usize = 1 << 30;
