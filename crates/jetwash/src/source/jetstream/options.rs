use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jetwash_client::{ClientBuilder, Protocol};
use jetwash_dict::Dictionary;
use rustls::ClientConfig;

/// How the hosts of Jetstreams are connected to: see
/// [`JetstreamBuilder::jetstream_options`](crate::JetstreamBuilder::jetstream_options).
///
/// # Examples
///
/// ```
/// use jetwash::{Jetstream, JetstreamOptions};
///
/// let options = JetstreamOptions::new()
///     .user_agent("my-feed/1.2 (+https://feed.example/contact)")
///     .dictionary_folder("/var/cache/my-feed");
/// let builder = Jetstream::builder()
///     .jetstream("jetstream2.us-east.bsky.network")
///     .jetstream_options(options);
/// # builder.build()?;
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct JetstreamOptions {
    protocol: Option<Protocol>,
    is_plain: bool,
    dictionaries: Vec<Dictionary>,
    dictionary_folder: Option<PathBuf>,
    user_agent: Option<String>,
    headers: Vec<(String, String)>,
    tls: Option<Arc<ClientConfig>>,
    connect_timeout: Option<Duration>,
    silence: Option<Duration>,
    checks_cids: bool,
}

impl JetstreamOptions {
    /// Returns the default options: compressed messages, `User-Agent: jetwash/` and the version, and
    /// the machine's root certificates.
    pub fn new() -> Self {
        Self::default()
    }

    /// Speaks this version to hosts whose address does not name one. Without it, version 2 is tried,
    /// and version 1 where the host does not have it.
    pub const fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Asks for messages that are not compressed.
    pub const fn plain(mut self) -> Self {
        self.is_plain = true;
        self
    }

    /// Adds a dictionary that messages may be compressed with, such as the official one of version
    /// 1. A host that has its dictionaries to fetch needs none.
    pub fn dictionary(mut self, dictionary: Dictionary) -> Self {
        self.dictionaries.push(dictionary);
        self
    }

    /// Keeps fetched dictionaries in this folder.
    pub fn dictionary_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.dictionary_folder = Some(folder.into());
        self
    }

    /// Sets the header `User-Agent`. Defaults to `jetwash/` and the version.
    pub fn user_agent(mut self, text: impl Into<String>) -> Self {
        self.user_agent = Some(text.into());
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
        self.connect_timeout = Some(limit);
        self
    }

    /// Sets after how long a host is left that is connected but silent. Defaults to 60 s.
    pub const fn silence(mut self, limit: Duration) -> Self {
        self.silence = Some(limit);
        self
    }

    /// Compares each record with its CID: the JSON is turned back into DAG-CBOR and hashed. It holds
    /// for events of [own sources](crate::Source) too. Defaults to `false`; it costs about as much
    /// again as taking the event in.
    ///
    /// A record that matches has the verdict [`Unresolved`](crate::Verdict::Unresolved): nobody has
    /// signed it, and nothing speaks against it. One that does not is dropped, and counted as
    /// `record_cid_mismatch`. A record with a fraction in it cannot be compared if it does not match,
    /// since JSON does not keep floats as they were: it is delivered without a verdict, and counted
    /// in [`Snapshot::verdicts`](crate::Snapshot::verdicts) as `unchecked`. Events without a record
    /// have no verdict.
    pub const fn check_cids(mut self, checks: bool) -> Self {
        self.checks_cids = checks;
        self
    }

    pub(crate) const fn checks_cids(&self) -> bool {
        self.checks_cids
    }

    /// Applies them to a client.
    pub(super) fn apply(&self, mut client: ClientBuilder) -> ClientBuilder {
        let agent = self.user_agent.as_deref().unwrap_or(USER_AGENT);
        client = client
            .user_agent(agent)
            .compress(!self.is_plain)
            .max_message_bytes(MAX_MESSAGE);
        if let Some(protocol) = self.protocol {
            client = client.protocol(protocol);
        }
        for dictionary in &self.dictionaries {
            client = client.dictionary(dictionary.clone());
        }
        if let Some(folder) = &self.dictionary_folder {
            client = client.dictionary_folder(folder);
        }
        for (name, value) in &self.headers {
            client = client.header(name, value);
        }
        if let Some(tls) = &self.tls {
            client = client.tls(Arc::clone(tls));
        }
        if let Some(limit) = self.connect_timeout {
            client = client.connect_timeout(limit);
        }
        if let Some(limit) = self.silence {
            client = client.silence(limit);
        }
        client
    }
}

impl fmt::Debug for JetstreamOptions {
    /// Names the headers, but not their values, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("JetstreamOptions")
            .field("protocol", &self.protocol)
            .field("user_agent", &self.user_agent)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

const USER_AGENT: &str = concat!("jetwash/", env!("CARGO_PKG_VERSION"));
/// A line of the log is not longer.
const MAX_MESSAGE: usize = 16 << 20;
