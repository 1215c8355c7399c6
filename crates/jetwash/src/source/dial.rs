//! From the address of a relay to an open websocket.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use jetwash_frame::MAX_FRAME_BYTES;
use jetwash_identity::is_private_address;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::address::{interleave, race};
use super::endpoint::{host_of, port_of, with_cursor};
use super::error::RelayError;
use super::http::{Head, tunnel, upgrade};
use super::options::{Prepared, trusting};
use super::proxy::{Protocol, Proxy};
use super::socket::{Socket, Stream};
use super::socks::{self, Refusal};
use crate::short::short;

/// Makes connections to one relay.
pub(super) struct Dialer {
    options: Arc<Prepared>,
    /// Set up when it is first needed.
    tls: Option<Arc<ClientConfig>>,
}

/// The redirects so far, which limit where the next may lead.
struct Way {
    url: Url,
    origin: url::Origin,
    was_tls: bool,
    /// Whether the first host is on a private network; only then a redirect may lead to one.
    is_private: Option<bool>,
}

impl Dialer {
    pub(super) fn new(options: Arc<Prepared>) -> Self {
        let tls = options.tls.clone();
        Self { options, tls }
    }

    /// Opens a websocket of frames, following up to five redirects.
    pub(super) async fn dial(
        &mut self,
        url: &Url,
        cursor: Option<u64>,
    ) -> Result<Socket, RelayError> {
        let url = with_cursor(url.clone(), cursor);
        let (stream, head) = self.answer(url, cursor).await?;
        match head.status {
            101 => Ok(Socket::new(stream, head.rest, MAX_FRAME_BYTES)),
            _ => Err(refused(&head)),
        }
    }

    /// Opens a websocket whose messages have up to `max_bytes`. A refusal comes with what the host
    /// says of it, as far as it is short.
    pub(super) async fn dial_or_reason(
        &mut self,
        url: &Url,
        max_bytes: usize,
    ) -> Result<Result<Socket, String>, RelayError> {
        let (mut stream, mut head) = self.answer(url.clone(), None).await?;
        match head.status {
            101 => Ok(Ok(Socket::new(stream, head.rest, max_bytes))),
            400..=499 => {
                let reading = timeout(self.options.connect, head.read_body(&mut stream)).await;
                match reading {
                    Ok(Some(body)) => Ok(Err(body)),
                    _ => Err(refused(&head)),
                }
            }
            _ => Err(refused(&head)),
        }
    }

    /// The answer of the host that the redirects lead to.
    async fn answer(
        &mut self,
        url: Url,
        cursor: Option<u64>,
    ) -> Result<(Box<dyn Stream>, Head), RelayError> {
        let mut way = Way {
            origin: url.origin(),
            was_tls: false,
            is_private: None,
            url,
        };
        // Each redirect is judged by the whole way, so that no chain of them leads from a public
        // host into a private network, or from TLS to plain text.
        for redirects in 0.. {
            let (stream, head) = self.ask(&mut way).await?;
            match head.status {
                301 | 302 | 307 | 308 => {
                    let location = head.header("location").unwrap_or_default();
                    let next = way.next(location, cursor, redirects);
                    way.url = next.map_err(|reason| {
                        let location = short(location);
                        RelayError::Redirect { location, reason }
                    })?;
                }
                _ => return Ok((stream, head)),
            }
        }
        Err(RelayError::Handshake("it redirects without end"))
    }

    /// Asks one host for a websocket, at each of its addresses until one answers.
    async fn ask(&mut self, way: &mut Way) -> Result<(Box<dyn Stream>, Head), RelayError> {
        let options = Arc::clone(&self.options);
        let proxy = options.proxies.for_url(&way.url);
        way.was_tls |= way.url.scheme() == "wss";
        if self.tls.is_none() {
            let is_needed = way.was_tls || proxy.is_some_and(|proxy| proxy.url.scheme() == "https");
            self.tls = is_needed.then(system_roots).transpose()?;
        }
        let looks_up = proxy.is_some_and(|proxy| proxy.looks_up());
        let addresses = match proxy {
            Some(proxy) if !looks_up => {
                // The proxy looks the name up; of the host only what its name says is known.
                let is_private = is_private_name(&way.url);
                way.check(is_private)?;
                self.resolve(&proxy.url).await?
            }
            _ => {
                let mut addresses = self.resolve(&way.url).await?;
                let may_be_private = way.is_private;
                if may_be_private == Some(false) {
                    addresses.retain(|address| !is_private_address(address.ip()));
                    way.check(addresses.is_empty())?;
                } else {
                    way.check(
                        addresses
                            .iter()
                            .any(|address| is_private_address(address.ip())),
                    )?;
                }
                addresses
            }
        };
        let Some(proxy) = proxy.filter(|_| looks_up) else {
            return self
                .first_answer(addresses, way, proxy.map(|proxy| (proxy, None)))
                .await;
        };
        let proxies = self.resolve(&proxy.url).await?;
        let mut outcome = Err(RelayError::Handshake("the host has no address"));
        for address in addresses {
            let through = Some((proxy, Some(address.ip())));
            outcome = self.first_answer(proxies.clone(), way, through).await;
            if !matches!(outcome, Err(RelayError::Proxy { .. })) {
                break;
            }
        }
        outcome
    }

    /// The answer of the first address that gives one within its time.
    async fn first_answer(
        &self,
        mut addresses: Vec<SocketAddr>,
        way: &Way,
        proxy: Option<Through<'_>>,
    ) -> Result<(Box<dyn Stream>, Head), RelayError> {
        let limit = self.options.connect;
        loop {
            let (stream, address) = self.connect(&addresses, limit).await?;
            let answer = self.open(stream, way, proxy);
            let answer = timeout(limit, answer).await;
            match answer.unwrap_or(Err(RelayError::Timeout(limit))) {
                // Another address may belong to another machine, in better health.
                Err(RelayError::Connect(_) | RelayError::Timeout(_)) if addresses.len() > 1 => {
                    addresses.retain(|other| *other != address);
                }
                answer => return answer,
            }
        }
    }

    /// A connection to one of the addresses.
    async fn connect(
        &self,
        addresses: &[SocketAddr],
        limit: Duration,
    ) -> io::Result<(Box<dyn Stream>, SocketAddr)> {
        #[cfg(feature = "simulation")]
        if let (Some(connect), Some(address)) = (&self.options.connector, addresses.first()) {
            return Ok((Box::new(connect(*address)?), *address));
        }
        let (stream, address) = race(addresses, limit).await?;
        Ok((Box::new(stream), address))
    }

    /// From a connection to an answer.
    async fn open(
        &self,
        mut stream: Box<dyn Stream>,
        way: &Way,
        proxy: Option<Through<'_>>,
    ) -> Result<(Box<dyn Stream>, Head), RelayError> {
        if let Some((proxy, address)) = proxy {
            if proxy.url.scheme() == "https" {
                stream = self.encrypt(stream, &proxy.url).await?;
            }
            self.pass(&mut stream, &way.url, proxy, address).await?;
        }
        if way.url.scheme() == "wss" {
            stream = self.encrypt(stream, &way.url).await?;
        }
        let own = self.options.headers.iter();
        let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
        let is_origin = way.url.origin() == way.origin;
        let agent = ("User-Agent", self.options.agent.as_str());
        let headers = std::iter::once(agent).chain(own.filter(|_| is_origin));
        let head = upgrade(&mut stream, &way.url, headers).await?;
        Ok((stream, head))
    }

    /// Has a proxy connect to the relay, at `address` if that was looked up here.
    async fn pass(
        &self,
        stream: &mut Box<dyn Stream>,
        url: &Url,
        proxy: &Proxy,
        address: Option<IpAddr>,
    ) -> Result<(), RelayError> {
        match &proxy.protocol {
            Protocol::Http { authorization } => {
                let agent = &self.options.agent;
                let head = tunnel(stream, url, agent, authorization.as_deref()).await?;
                check_tunnel(&head, proxy)
            }
            Protocol::Socks { credentials, .. } => {
                // With `socks5` the address is known here; with `socks5h` the proxy gets the name.
                let host = address.map(socks::looked_up).or_else(|| url.host());
                debug_assert!(host.is_some(), "a relay's URL has a host");
                let host = host.unwrap_or(Host::Domain(""));
                let port = port_of(url);
                let asked = socks::connect(stream, &host, port, credentials.as_ref()).await;
                asked.map_err(|refusal| match refusal {
                    Refusal::Broken(error) => error,
                    Refusal::Said(reason) => RelayError::Proxy {
                        proxy: proxy.name(),
                        reason,
                    },
                })
            }
        }
    }

    async fn encrypt(
        &self,
        stream: Box<dyn Stream>,
        url: &Url,
    ) -> Result<Box<dyn Stream>, RelayError> {
        let fault = |error: String| RelayError::Tls(error);
        let config = self.tls.as_ref().ok_or(RelayError::Roots)?;
        let host = host_of(url)
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let name = ServerName::try_from(host).map_err(|error| fault(error.to_string()))?;
        let connector = TlsConnector::from(Arc::clone(config));
        Ok(Box::new(connector.connect(name, stream).await?))
    }

    /// The addresses of a host, in the order to try them.
    async fn resolve(&self, url: &Url) -> Result<Vec<SocketAddr>, RelayError> {
        let port = port_of(url);
        let host = match url.host() {
            Some(Host::Ipv4(address)) => return Ok(vec![(address, port).into()]),
            Some(Host::Ipv6(address)) => return Ok(vec![(address, port).into()]),
            Some(Host::Domain(_)) | None => host_of(url),
        };
        let limit = self.options.connect;
        let found = timeout(limit, lookup_host((host, port))).await;
        let found = found.map_err(|_| RelayError::Timeout(limit))?;
        match found.map(interleave) {
            Ok(addresses) => Ok(addresses),
            Err(error) => Err(RelayError::Resolve {
                host: host.to_owned(),
                error,
            }),
        }
    }
}

/// A proxy, and the relay's address if that was looked up here.
type Through<'a> = (&'a Proxy, Option<IpAddr>);

impl Way {
    /// Where a redirect leads, if it may be followed.
    fn next(
        &self,
        location: &str,
        cursor: Option<u64>,
        redirects: u32,
    ) -> Result<Url, &'static str> {
        if redirects >= MAX_REDIRECTS {
            return Err("it is the sixth");
        }
        let next = (!location.is_empty()).then(|| self.url.join(location));
        let mut next = next.and_then(Result::ok).ok_or("it is not a URL")?;
        let scheme = match next.scheme() {
            "https" | "wss" => "wss",
            "http" | "ws" if self.was_tls => return Err("it leads to a connection without TLS"),
            "http" | "ws" => "ws",
            _ => return Err("its scheme is not https, http, wss or ws"),
        };
        let is_set = next.set_scheme(scheme).is_ok() && next.host().is_some();
        if !is_set || !next.username().is_empty() || next.password().is_some() {
            return Err("it is not the address of a websocket");
        }
        next.set_fragment(None);
        Ok(with_cursor(next, cursor))
    }

    /// Notes of the first host whether it is private; those after it may be so only if it is.
    fn check(&mut self, is_private: bool) -> Result<(), RelayError> {
        let allowed = *self.is_private.get_or_insert(is_private);
        if is_private && !allowed {
            return Err(RelayError::Redirect {
                location: host_of(&self.url).to_owned(),
                reason: "it leads from the internet to a private address",
            });
        }
        Ok(())
    }
}

fn refused(head: &Head) -> RelayError {
    RelayError::Refused {
        status: head.status,
        retry_after: head.retry_after(SystemTime::now()),
    }
}

fn is_private_name(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_private_address(address.into()),
        Some(Host::Ipv6(address)) => is_private_address(address.into()),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            let top = name.rsplit_once('.').map(|(_, top)| top);
            top.is_none_or(|top| ["internal", "local", "localhost"].contains(&top))
        }
        None => true,
    }
}

fn check_tunnel(head: &Head, proxy: &Proxy) -> Result<(), RelayError> {
    let reason = match head.status {
        200..=299 if head.rest == BytesMut::new() => return Ok(()),
        200..=299 => "sent something before the relay did".to_owned(),
        407 => "wants a user and a password, or others than it was given".to_owned(),
        status => format!("answered CONNECT with the HTTP status {status}"),
    };
    let proxy = proxy.name();
    Err(RelayError::Proxy { proxy, reason })
}

/// TLS with the machine's roots.
fn system_roots() -> Result<Arc<ClientConfig>, RelayError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        return Err(RelayError::Roots);
    }
    trusting(roots).map_err(|error| RelayError::Tls(error.to_string()))
}

const MAX_REDIRECTS: u32 = 5;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    fn way(url: &str) -> Way {
        let url = Url::parse(url).unwrap();
        Way {
            origin: url.origin(),
            was_tls: url.scheme() == "wss",
            is_private: None,
            url,
        }
    }

    #[test]
    fn a_redirect_keeps_the_cursor_and_never_gives_tls_up() {
        let from = way("wss://a.example/xrpc/x?cursor=7");
        let next = |location: &str| {
            let next = from.next(location, Some(7), 0);
            next.map(String::from)
        };
        assert_eq!(next("/other").unwrap(), "wss://a.example/other?cursor=7");
        let other = "wss://b.example/x?a=b%20c&cursor=7";
        assert_eq!(next("https://b.example/x?a=b%20c").unwrap(), other);
        assert_eq!(
            next("//b.example/?cursor=3").unwrap(),
            "wss://b.example/?cursor=7"
        );
        next("http://b.example/").unwrap_err();
        next("ws://b.example/").unwrap_err();
        next("ftp://b.example/").unwrap_err();
        next("https://user@b.example/").unwrap_err();
        next("").unwrap_err();
        from.next("/again", None, MAX_REDIRECTS).unwrap_err();
    }

    #[tokio::test]
    async fn an_address_that_takes_the_connection_but_never_answers_gives_way_to_the_next() {
        let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = vec![dead.local_addr().unwrap(), alive.local_addr().unwrap()];
        let options = super::super::RelayOptions::new().no_proxy();
        let options = options.connect_timeout(Duration::from_millis(200));
        let dialer = Dialer::new(Arc::new(options.prepare().unwrap()));
        let relay = tokio::spawn(async move {
            let (mut stream, _) = alive.accept().await.unwrap();
            let answer = b"HTTP/1.1 418 I'm a teapot\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            stream
        });
        let way = way("ws://relay.example/");
        let (_, head) = dialer.first_answer(addresses, &way, None).await.unwrap();
        assert_eq!(head.status, 418);
        relay.await.unwrap();
        drop(dead);
    }

    #[tokio::test]
    async fn a_redirect_from_the_internet_never_leads_to_a_private_address() {
        let options = super::super::RelayOptions::new().no_proxy();
        let mut dialer = Dialer::new(Arc::new(options.prepare().unwrap()));
        for url in [
            "ws://127.0.0.1:9",
            "ws://localhost:9",
            "ws://[::ffff:10.0.0.1]:9",
        ] {
            let mut public = way(url);
            public.is_private = Some(false);
            let Err(error) = dialer.ask(&mut public).await else {
                panic!("{url} was connected to");
            };
            assert_eq!(error.reason(), "redirect", "{url}: {error}");
        }
        let mut proxied = way("ws://169.254.169.254/");
        proxied.check(false).unwrap();
        proxied.check(is_private_name(&proxied.url)).unwrap_err();
    }
}
