use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use thiserror::Error;
use url::Url;

use crate::cache::DiskCache;
use crate::clock::{IdentityClock, SystemClock};
use crate::hosts::Budget;
use crate::net::{AddressLookup, SystemLookup, TxtLookup};
use crate::source::DocumentSource;

/// How identities are looked up and kept. [`start`](Self::start) makes it so.
///
/// The defaults suit a program that follows the whole network: `https://plc.directory`, 32 MiB of
/// memory, no disk, no private addresses.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use jetwash_identity::{Budget, IdentityOptions};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let identities = IdentityOptions::new()
///     .directories(["https://plc.directory", "https://mirror.test"])
///     .directory_budget(Budget::new(100, Duration::from_secs(2)))
///     .memory_bytes(8 << 20)
///     .start()?;
/// assert_eq!(identities.snapshot().entries, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct IdentityOptions {
    pub(crate) directories: Vec<String>,
    pub(crate) document_source: Option<Arc<dyn DocumentSource>>,
    pub(crate) directory_budget: Budget,
    pub(crate) host_budget: Budget,
    pub(crate) hosts_budget: Budget,
    pub(crate) suspicion_budget: Budget,
    pub(crate) allow_private: bool,
    pub(crate) insecure_web_port: Option<u16>,
    pub(crate) memory_bytes: u64,
    pub(crate) disk: Option<Arc<dyn DiskCache>>,
    pub(crate) stale_after: Duration,
    pub(crate) forget_after: Duration,
    pub(crate) negative_for: Duration,
    pub(crate) suspicion_interval: Duration,
    pub(crate) invalidation_interval: Duration,
    pub(crate) request_limit: Duration,
    pub(crate) look_up_limit: Duration,
    pub(crate) max_requests: usize,
    pub(crate) max_waiting: usize,
    pub(crate) user_agent: String,
    pub(crate) clock: Arc<dyn IdentityClock>,
    pub(crate) seed: Option<u64>,
    pub(crate) address_lookup: Arc<dyn AddressLookup>,
    pub(crate) txt_lookup: Option<Arc<dyn TxtLookup>>,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

impl IdentityOptions {
    /// The defaults.
    pub fn new() -> Self {
        let second = Duration::from_secs(1);
        Self {
            directories: vec!["https://plc.directory".to_owned()],
            document_source: None,
            directory_budget: Budget::new(500, 5 * second),
            host_budget: Budget::new(10, 10 * second),
            hosts_budget: Budget::new(200, 10 * second),
            suspicion_budget: Budget::new(100, 20 * second),
            allow_private: false,
            insecure_web_port: None,
            memory_bytes: 32 << 20,
            disk: None,
            stale_after: 3600 * second,
            forget_after: 86_400 * second,
            negative_for: 60 * second,
            suspicion_interval: 300 * second,
            invalidation_interval: 10 * second,
            request_limit: 5 * second,
            look_up_limit: 10 * second,
            max_requests: 64,
            max_waiting: 4096,
            user_agent: concat!("jetwash-identity/", env!("CARGO_PKG_VERSION")).to_owned(),
            clock: Arc::new(SystemClock),
            seed: None,
            address_lookup: Arc::new(SystemLookup),
            txt_lookup: None,
            tls: None,
        }
    }

    /// The directories of did:plc, mirrors of each other, in the order in which they are
    /// preferred: `http` or `https` URLs. Any that answers is believed. One that fails is left
    /// alone for 0.5 s to 60 s, or as long as it asks. Defaults to `https://plc.directory`.
    pub fn directories<T: Into<String>>(mut self, urls: impl IntoIterator<Item = T>) -> Self {
        self.directories = urls.into_iter().map(Into::into).collect();
        self
    }

    /// Asks no directory, for a program whose [`DocumentSource`] has every did:plc that it needs. A
    /// did:plc that is [`NotMine`](crate::DocumentAnswer::NotMine) to it is then
    /// [`NoDirectory`](crate::ResolveError::NoDirectory). Without a source, it is a mistake.
    pub fn without_directories(mut self) -> Self {
        self.directories.clear();
        self
    }

    /// Documents that the program has itself. The source is asked for every valid did:plc and
    /// did:web that is not in memory and not on disk, within the limits of time and number that
    /// requests have. Defaults to no source.
    ///
    /// Directories and hosts of did:web are asked where it answers
    /// [`NotMine`](crate::DocumentAnswer::NotMine), and in no other case.
    pub fn document_source(mut self, source: impl DocumentSource) -> Self {
        self.document_source = Some(Arc::new(source));
        self
    }

    /// The requests that each directory gets. Defaults to 500 at once and 100 a second.
    pub const fn directory_budget(mut self, budget: Budget) -> Self {
        self.directory_budget = budget;
        self
    }

    /// The requests that each host of did:web or of a handle gets. Defaults to 10 at once and one
    /// a second.
    pub const fn host_budget(mut self, budget: Budget) -> Self {
        self.host_budget = budget;
        self
    }

    /// The requests that all hosts of did:web and of handles get together, which also bounds what
    /// many names of one host can do to it. Defaults to 200 at once and 20 a second.
    pub const fn hosts_budget(mut self, budget: Budget) -> Self {
        self.hosts_budget = budget;
        self
    }

    /// The fresh look-ups that suspicions may cause, over all DIDs. Defaults to 100 at once and
    /// 5 a second.
    pub const fn suspicion_budget(mut self, budget: Budget) -> Self {
        self.suspicion_budget = budget;
        self
    }

    /// Allows hosts on private and reserved addresses, and `did:web:localhost`. A directory that
    /// is named by such an address, or as `localhost`, is always allowed. Defaults to `false`.
    pub const fn allow_private(mut self, is_allowed: bool) -> Self {
        self.allow_private = is_allowed;
        self
    }

    /// Reads did:web documents and handles over plain HTTP at this port. For tests only: any host on
    /// the way can answer. Defaults to HTTPS.
    pub const fn insecure_web_port(mut self, port: u16) -> Self {
        self.insecure_web_port = Some(port);
        self
    }

    /// The memory for documents, in bytes. An account takes about 500, so the default of 32 MiB is
    /// enough for 65,000. Up to an eighth is for what was not found.
    pub const fn memory_bytes(mut self, bytes: u64) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// Keeps documents on disk as well. Defaults to memory only.
    pub fn disk(mut self, disk: impl DiskCache) -> Self {
        self.disk = Some(Arc::new(disk));
        self
    }

    /// The age after which a document is looked up again, while it is still served. Defaults to
    /// an hour. Up to a tenth is taken off at random, lest all are looked up together.
    pub const fn stale_after(mut self, age: Duration) -> Self {
        self.stale_after = age;
        self
    }

    /// The age after which a document is not served. Defaults to 24 hours.
    pub const fn forget_after(mut self, age: Duration) -> Self {
        self.forget_after = age;
        self
    }

    /// How long it is believed that a DID has no document. Defaults to a minute.
    pub const fn negative_for(mut self, time: Duration) -> Self {
        self.negative_for = time;
        self
    }

    /// How long after a suspicion about a DID no other leads to a look-up. Defaults to 5 minutes.
    pub const fn suspicion_interval(mut self, time: Duration) -> Self {
        self.suspicion_interval = time;
        self
    }

    /// How long after an invalidation of a DID another is put off. Defaults to 10 seconds.
    pub const fn invalidation_interval(mut self, time: Duration) -> Self {
        self.invalidation_interval = time;
        self
    }

    /// How long a request with its redirects may take, or the answer of a [`DocumentSource`].
    /// Defaults to 5 seconds.
    pub const fn request_limit(mut self, time: Duration) -> Self {
        self.request_limit = time;
        self
    }

    /// How long a look-up may take with everything that it waits for. Defaults to 10 seconds.
    pub const fn look_up_limit(mut self, time: Duration) -> Self {
        self.look_up_limit = time;
        self
    }

    /// How many requests may be under way, to directories and to other hosts each. As many
    /// questions to a [`DocumentSource`] may be. Defaults to 64.
    pub const fn max_requests(mut self, count: usize) -> Self {
        self.max_requests = count;
        self
    }

    /// How many look-ups of did:plc may be under way or waiting. One more is
    /// [`Busy`](crate::ResolveError::Busy). Of did:web, and of handles, an eighth of that each.
    /// Defaults to 4,096.
    pub const fn max_waiting(mut self, count: usize) -> Self {
        self.max_waiting = count;
        self
    }

    /// The `User-Agent` of requests. Defaults to `jetwash-identity` and its version.
    pub fn user_agent(mut self, agent: impl Into<String>) -> Self {
        self.user_agent = agent.into();
        self
    }

    /// The clock by which documents grow old. Defaults to that of the machine.
    pub fn clock(mut self, clock: impl IdentityClock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The seed of all jitter. Defaults to a random one.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How names of hosts are looked up. Defaults to [`SystemLookup`].
    pub fn address_lookup(mut self, lookup: impl AddressLookup) -> Self {
        self.address_lookup = Arc::new(lookup);
        self
    }

    /// How TXT records of handles are looked up. Defaults to not at all: handles are then checked
    /// over HTTPS only.
    pub fn txt_lookup(mut self, lookup: impl TxtLookup) -> Self {
        self.txt_lookup = Some(Arc::new(lookup));
        self
    }

    /// How TLS is spoken. Defaults to the certificates of the machine.
    pub fn tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// The directories, or every mistake in the options.
    pub(crate) fn check(&self) -> Result<Vec<Url>, IdentityOptionsError> {
        let mut mistakes = Vec::new();
        let mut urls = Vec::new();
        for text in &self.directories {
            match Url::parse(text) {
                Ok(url) if is_directory(&url) => urls.push(url),
                _ => mistakes.push(IdentityMistake::Directory { url: text.clone() }),
            }
        }
        if self.directories.is_empty() && self.document_source.is_none() {
            mistakes.push(IdentityMistake::NoDirectory);
        }
        if self.forget_after < self.stale_after {
            mistakes.push(IdentityMistake::Ages);
        }
        if self.max_requests == 0 || self.max_waiting == 0 {
            mistakes.push(IdentityMistake::NoLookUps);
        }
        if http::HeaderValue::from_str(&self.user_agent).is_err() {
            mistakes.push(IdentityMistake::UserAgent);
        }
        if mistakes.is_empty() {
            Ok(urls)
        } else {
            Err(IdentityOptionsError { mistakes })
        }
    }
}

impl Default for IdentityOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for IdentityOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityOptions")
            .field("directories", &self.directories)
            .field("memory_bytes", &self.memory_bytes)
            .finish_non_exhaustive()
    }
}

/// Every mistake in [`IdentityOptions`].
///
/// # Examples
///
/// ```
/// use jetwash_identity::{IdentityMistake, IdentityOptions};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let error = IdentityOptions::new().directories(["ftp://plc.test"]).start().err();
/// let mistakes = error.ok_or("no mistake")?.mistakes;
/// assert_eq!(mistakes, [IdentityMistake::Directory { url: "ftp://plc.test".to_owned() }]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("identities cannot be looked up: {}", list(.mistakes))]
pub struct IdentityOptionsError {
    /// At least one.
    pub mistakes: Vec<IdentityMistake>,
}

/// A mistake in [`IdentityOptions`].
///
/// # Examples
///
/// ```
/// use jetwash_identity::IdentityMistake;
///
/// let text = "no directory of did:plc is named";
/// assert_eq!(IdentityMistake::NoDirectory.to_string(), text);
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityMistake {
    /// A directory is not an `http` or `https` URL without user, query and fragment.
    #[error("the directory {url:?} is not an http or https URL")]
    Directory {
        /// The text.
        url: String,
    },
    /// There is neither a directory nor a source of documents.
    #[error("no directory of did:plc is named")]
    NoDirectory,
    /// Documents would be forgotten before they are stale.
    #[error("documents would be forgotten before they are looked up again")]
    Ages,
    /// No look-up could ever be made.
    #[error("the number of look-ups or of requests is 0")]
    NoLookUps,
    /// It is not a header.
    #[error("the user agent has characters that a header cannot have")]
    UserAgent,
    /// It was started outside of a tokio runtime.
    #[error("there is no tokio runtime to look them up on")]
    NoRuntime,
}

fn list(mistakes: &[IdentityMistake]) -> String {
    let texts: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

fn is_directory(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}
