//! From the address of a relay to an open websocket.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use jetwash_frame::MAX_FRAME_BYTES;
use jetwash_identity::is_private_address;
use jetwash_websocket::{Head, Request, Socket, SocketError, Stream, interleave, race};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::{Host, Position, Url};

use super::endpoint::{host_of, port_of, with_cursor};
use super::error::RelayError;
use super::options::{Prepared, trusting};
use super::proxy::{Protocol, Proxy};
use super::socks::{self, Refusal};
use super::way::{Way, is_private_name};
use crate::short::short;

/// Makes connections to one relay.
pub(super) struct Dialer {
    options: Arc<Prepared>,
    /// Set up when it is first needed.
    tls: Option<Arc<ClientConfig>>,
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
            101 => Ok(socket(stream, head.rest, MAX_FRAME_BYTES)),
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
            101 => Ok(Ok(socket(stream, head.rest, max_bytes))),
            400..=499 => {
                let reading = head.body(&mut stream, MAX_REFUSAL);
                let body = match timeout(self.options.connect, reading).await {
                    Ok(Ok(body)) => String::from_utf8(body).ok(),
                    _ => None,
                };
                body.map(Err).ok_or_else(|| refused(&head))
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
        let mut way = Way::new(url);
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
        Err(SocketError::Handshake("it redirects without end").into())
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
        let mut outcome = Err(SocketError::Handshake("the host has no address").into());
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
                Err(RelayError::Socket(SocketError::Connect(_)) | RelayError::Timeout(_))
                    if addresses.len() > 1 =>
                {
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
        let request = Request::get(
            &authority(&way.url, false),
            &way.url[Position::BeforePath..Position::AfterQuery],
        );
        let mut request = request.header("User-Agent", &self.options.agent);
        if way.url.origin() == way.origin {
            for (name, value) in &self.options.headers {
                request = request.header(name, value);
            }
        }
        let head = request.upgrade(&mut stream, None).await?;
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
                let request = Request::connect(&authority(url, true));
                let mut request = request.header("User-Agent", &self.options.agent);
                if let Some(authorization) = authorization {
                    request = request.header("Proxy-Authorization", authorization);
                }
                check_tunnel(&request.send(stream).await?, proxy)
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

/// A websocket of binary messages. Much is read at once where a source catches up; where little
/// comes, little, because a frame keeps what it was read with in memory until it is done with.
pub(super) fn socket(stream: Box<dyn Stream>, read: BytesMut, max_bytes: usize) -> Socket {
    Socket::new(stream, read, max_bytes)
        .without_text()
        .max_skipped(MAX_SKIPPED)
        .read_sizes(LEAST_READ..=MOST_READ)
}

/// Host and port; the usual port only if it has to be there.
fn authority(url: &Url, with_port: bool) -> String {
    let host = host_of(url);
    let port = if with_port {
        Some(port_of(url))
    } else {
        url.port()
    };
    port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn refused(head: &Head) -> RelayError {
    RelayError::Refused {
        status: head.status,
        retry_after: retry_after(head, SystemTime::now()),
    }
}

/// For how long a host does not want to be asked again, which may be until a date.
fn retry_after(head: &Head, now: SystemTime) -> Option<Duration> {
    head.retry_after().or_else(|| {
        let date = httpdate::parse_http_date(head.header("retry-after")?).ok()?;
        let wait = date.duration_since(now).unwrap_or_default();
        Some(wait.min(Head::LONGEST_RETRY))
    })
}

fn check_tunnel(head: &Head, proxy: &Proxy) -> Result<(), RelayError> {
    let reason = match head.status {
        200..=299 if head.rest.is_empty() => return Ok(()),
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

/// How long is waited after the first attempt at an address that brought nothing.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest refusal that is read.
const MAX_REFUSAL: usize = 4 << 10;
/// A message that claims more is not waited for.
const MAX_SKIPPED: u64 = 256 << 20;
const LEAST_READ: usize = 32 << 10;
const MOST_READ: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        // Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110, is 784,111,777 s after 1970.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        for (text, seconds) in [
            ("7", Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sun, 06 Nov 1994 12:00:00 GMT", Some(900)),
            ("99999999", Some(900)),
            ("-5", None),
            ("", None),
            ("Sun, 06 Nov 1983 08:49:37 GMT", Some(0)),
            ("soon", None),
        ] {
            let answer = format!("HTTP/1.1 429 Slow down\r\nRetry-After: {text}\r\n\r\n");
            let head = Head::parse(&mut BytesMut::from(answer.as_str()));
            let wait = retry_after(&head.unwrap().unwrap(), now);
            assert_eq!(wait, seconds.map(Duration::from_secs), "{text}");
        }
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
        let way = Way::new(Url::parse("ws://relay.example/").unwrap());
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
            let mut public = Way::new(Url::parse(url).unwrap());
            public.is_private = Some(false);
            let Err(error) = dialer.ask(&mut public).await else {
                panic!("{url} was connected to");
            };
            assert_eq!(error.reason(), "redirect", "{url}: {error}");
        }
    }
}
