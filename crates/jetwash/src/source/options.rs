use std::fmt;
#[cfg(feature = "simulation")]
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::proxy::Proxies;
use super::relay_option_error::RelayOptionError;

/// How relays are connected to: see
/// [`JetstreamBuilder::relay_options`](crate::JetstreamBuilder::relay_options).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use jetwash::{Jetstream, RelayOptions};
///
/// let options = RelayOptions::new()
///     .user_agent("my-feed/1.2 (+https://feed.example/contact)")
///     .header("X-Team", "feeds")
///     .no_proxy()
///     .connect_timeout(Duration::from_secs(5));
/// let builder = Jetstream::builder().relay("relay.example").relay_options(options);
/// # builder.build()?;
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct RelayOptions {
    user_agent: Option<String>,
    headers: Vec<(String, String)>,
    roots: Vec<Roots>,
    tls: Option<Arc<ClientConfig>>,
    proxy: ProxyChoice,
    connect_timeout: Option<Duration>,
    silence: Option<Duration>,
    reconnect_after: Option<Duration>,
    #[cfg(feature = "simulation")]
    connector: Option<Connector>,
}

impl RelayOptions {
    /// Returns the default options: `User-Agent: jetwash/` and the version, the machine's root
    /// certificates, and the proxies that the environment names.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the header `User-Agent`. Defaults to `jetwash/` and the version.
    pub fn user_agent(mut self, text: impl Into<String>) -> Self {
        self.user_agent = Some(text.into());
        self
    }

    /// Adds a header to each request for a websocket. It is not sent to another host after a
    /// redirect, since it may be a secret.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Trusts the certificates in this PEM text, and no longer those of the machine.
    pub fn root_certificates_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots.push(Roots::Pem(pem.into()));
        self
    }

    /// Trusts this certificate in DER, and no longer those of the machine.
    pub fn root_certificate_der(mut self, der: impl Into<Vec<u8>>) -> Self {
        self.roots.push(Roots::Der(der.into()));
        self
    }

    /// Uses a whole TLS configuration of [`rustls`] 0.23, with client certificates for example.
    /// Root certificates given here besides are a mistake then.
    pub fn tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Connects through this proxy, such as `http://user:password@proxy.example:3128`, whatever the
    /// environment says.
    ///
    /// With `http` or `https` it is asked with `CONNECT`, with `socks5` or `socks5h` as RFC 1928
    /// has it, at port 1080 if none is given. With `socks5` the names of relays are looked up here,
    /// otherwise by the proxy.
    ///
    /// Without this setting, `HTTPS_PROXY` is used for `wss`, `HTTP_PROXY` for `ws`, `ALL_PROXY`
    /// for what these do not cover, and `NO_PROXY` lists exceptions.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = ProxyChoice::Url(url.into());
        self
    }

    /// Connects without a proxy, whatever the environment says.
    pub fn no_proxy(mut self) -> Self {
        self.proxy = ProxyChoice::None;
        self
    }

    /// Sets how long one address of a host may take to connect, and then again to answer, before
    /// the next is tried. Defaults to 10 s.
    pub const fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = Some(limit);
        self
    }

    /// Sets how long a relay must have sent nothing to be called
    /// [silent](crate::UpstreamState::Silent). Defaults to 30 s. A relay with few events gets the
    /// time of 20 events at its usual rate.
    pub const fn silent_after(mut self, silence: Duration) -> Self {
        self.silence = Some(silence);
        self
    }

    /// Sets after how long without an event a relay that sent more than one a second is connected
    /// to anew, though it answers pings. Defaults to 5 min.
    pub const fn reconnect_after(mut self, silence: Duration) -> Self {
        self.reconnect_after = Some(silence);
        self
    }

    /// Checks everything, and reports every mistake at once.
    /// Makes each connection by calling `connect` with the address, instead of over TCP.
    #[cfg(feature = "simulation")]
    #[doc(hidden)]
    pub fn connector(
        mut self,
        connect: impl Fn(SocketAddr) -> std::io::Result<tokio::io::DuplexStream> + Send + Sync + 'static,
    ) -> Self {
        self.connector = Some(Arc::new(connect));
        self
    }

    pub(crate) fn prepare(self) -> Result<Prepared, Vec<RelayOptionError>> {
        let mut mistakes = Vec::new();
        let agent = self.user_agent.unwrap_or_else(|| USER_AGENT.to_owned());
        if !is_value(&agent) {
            mistakes.push(RelayOptionError::UserAgent);
        }
        for (name, value) in &self.headers {
            if let Some(reason) = header_fault(name, value) {
                let name = name.clone();
                mistakes.push(RelayOptionError::Header { name, reason });
            }
        }
        let proxies = match self.proxy {
            ProxyChoice::Environment => Proxies::from_environment(|name| std::env::var(name).ok()),
            ProxyChoice::None => Ok(Proxies::default()),
            ProxyChoice::Url(text) => Proxies::all(&text),
        };
        // A default stands in for each mistake, so that the checks after it are made all the same.
        let proxies = proxies.unwrap_or_else(|mistake| {
            mistakes.push(mistake);
            Proxies::default()
        });
        let own_roots = !self.roots.is_empty();
        let tls = match (self.tls, own_roots) {
            (Some(_), true) => Err(RelayOptionError::RootsWithTls),
            (Some(tls), false) => Ok(Some(tls)),
            (None, true) => own(&self.roots).map(Some),
            (None, false) => Ok(None),
        };
        let tls = tls.unwrap_or_else(|mistake| {
            mistakes.push(mistake);
            None
        });
        for (name, duration) in [
            ("connect_timeout", self.connect_timeout),
            ("silent_after", self.silence),
            ("reconnect_after", self.reconnect_after),
        ] {
            if duration.is_some_and(|duration| duration.is_zero()) {
                mistakes.push(RelayOptionError::Zero { name });
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Prepared {
            agent,
            headers: self.headers,
            tls,
            proxies,
            connect: self.connect_timeout.unwrap_or(CONNECT),
            silence: self.silence.unwrap_or(SILENCE),
            reconnect_after: self.reconnect_after.unwrap_or(RECONNECT_AFTER),
            #[cfg(feature = "simulation")]
            connector: self.connector,
        })
    }
}

impl fmt::Debug for RelayOptions {
    /// Names the headers, but not their values, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("RelayOptions")
            .field("user_agent", &self.user_agent)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

/// Options that have been checked.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(super) agent: String,
    pub(super) headers: Vec<(String, String)>,
    /// `None`: with the machine's roots, which are read when they are first needed.
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) proxies: Proxies,
    pub(super) connect: Duration,
    pub(super) silence: Duration,
    pub(super) reconnect_after: Duration,
    #[cfg(feature = "simulation")]
    pub(super) connector: Option<Connector>,
}

/// Makes the connections of a simulation.
#[cfg(feature = "simulation")]
pub(super) type Connector =
    Arc<dyn Fn(SocketAddr) -> std::io::Result<tokio::io::DuplexStream> + Send + Sync>;

#[derive(Clone)]
enum Roots {
    Der(Vec<u8>),
    Pem(Vec<u8>),
}

#[derive(Clone, Default)]
enum ProxyChoice {
    #[default]
    Environment,
    None,
    Url(String),
}

/// A TLS configuration that trusts these roots.
pub(super) fn trusting(roots: RootCertStore) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn own(given: &[Roots]) -> Result<Arc<ClientConfig>, RelayOptionError> {
    let error = |reason: String| RelayOptionError::Roots { reason };
    let mut roots = RootCertStore::empty();
    for each in given {
        let before = roots.len();
        let certificates: Vec<_> = match each {
            Roots::Der(der) => vec![CertificateDer::from(der.clone())],
            Roots::Pem(pem) => CertificateDer::pem_slice_iter(pem)
                .collect::<Result<_, _>>()
                .map_err(|fault| error(fault.to_string()))?,
        };
        for certificate in certificates {
            let added = roots.add(certificate);
            added.map_err(|fault| error(fault.to_string()))?;
        }
        if roots.len() == before {
            return Err(error("the PEM text holds no certificate".to_owned()));
        }
    }
    trusting(roots).map_err(|fault| error(fault.to_string()))
}

fn header_fault(name: &str, value: &str) -> Option<&'static str> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Some("its name is not one of HTTP");
    }
    let is_own = |own: &&str| name.eq_ignore_ascii_case(own);
    if OWN_HEADERS.iter().any(is_own) || name.to_lowercase().starts_with("sec-websocket") {
        return Some("the request sets it itself");
    }
    (!is_value(value)).then_some("its value must be of printable ASCII characters")
}

fn is_value(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

const USER_AGENT: &str = concat!("jetwash/", env!("CARGO_PKG_VERSION"));
const OWN_HEADERS: [&str; 7] = [
    "connection",
    "content-length",
    "host",
    "proxy-authorization",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(30);
const RECONNECT_AFTER: Duration = Duration::from_secs(300);
