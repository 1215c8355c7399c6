use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::time::timeout;
use url::Url;

use super::connect::Connector;
use super::connect::Socket;
use super::error::FetchError;
use super::lookup::AddressLookup;
use super::tls::Tls;
use crate::hosts::Hosts;
use crate::stats::{Count, Counters};

/// Reads from hosts, within bounds of size, time and redirects.
pub(crate) struct Fetcher {
    guarded: Client<Connector, Empty<Bytes>>,
    /// For hosts that the operator named, or that may be on a private network.
    open: Client<Connector, Empty<Bytes>>,
    connector: Connector,
    agent: String,
    limit: Duration,
    /// The budgets of hosts that redirects lead to.
    hosts: Arc<Hosts>,
    counters: Arc<Counters>,
}

/// The bounds of one request.
#[derive(Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) accept: &'static str,
    pub(crate) max_bytes: usize,
    /// Whether this host may have a private address.
    pub(crate) may_be_private: bool,
    /// Whether hosts that it redirects to may have one.
    pub(crate) others_may_be_private: bool,
}

/// An answer that says something about what was asked for: 200, 404 or 410.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Empty unless the status is 200.
    pub(crate) body: Vec<u8>,
}

/// Any other answer, or none.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: FetchError,
    /// How long the host asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self {
            error,
            retry_after: None,
        }
    }
}

impl Fetcher {
    /// `limit` is for a request with all its redirects.
    pub(crate) fn new(
        lookup: Arc<dyn AddressLookup>,
        tls: Option<Arc<ClientConfig>>,
        agent: String,
        limit: Duration,
        hosts: Arc<Hosts>,
        counters: Arc<Counters>,
    ) -> Self {
        let guarded = Connector {
            lookup,
            tls: Arc::new(Tls::new(tls)),
            limit,
            may_be_private: false,
        };
        let open = Connector {
            may_be_private: true,
            ..guarded.clone()
        };
        Self {
            guarded: client(guarded),
            connector: open.clone(),
            open: client(open),
            agent,
            limit,
            hosts,
            counters,
        }
    }

    /// Gets a page. The budget of the first host is the caller's business.
    pub(crate) async fn get(&self, url: &Url, ask: Ask) -> Result<Answer, Failure> {
        self.get_within(url, ask, self.limit).await
    }

    /// Gets a page that takes longer than others.
    pub(crate) async fn get_within(
        &self,
        url: &Url,
        ask: Ask,
        limit: Duration,
    ) -> Result<Answer, Failure> {
        let answer = timeout(limit, self.follow(url.clone(), ask)).await;
        answer.unwrap_or_else(|_| Err(FetchError::Timeout.into()))
    }

    /// Connects to a host that the operator named.
    pub(crate) async fn connect(&self, url: &Url) -> Result<Socket, FetchError> {
        let uri = url.as_str().parse().map_err(|_| FetchError::Protocol)?;
        self.counters.count(Count::Request);
        self.connector.clone().connect(uri).await
    }

    pub(crate) fn agent(&self) -> &str {
        &self.agent
    }

    async fn follow(&self, mut url: Url, mut ask: Ask) -> Result<Answer, Failure> {
        for _ in 0..=MAX_REDIRECTS {
            let client = if ask.may_be_private {
                &self.open
            } else {
                &self.guarded
            };
            let request = self.request(&url, ask.accept)?;
            self.counters.count(Count::Request);
            let response = client.request(request).await;
            let response = response.map_err(|error| cause_of(&error))?;
            let status = response.status();
            match status.as_u16() {
                200 => {
                    let body = read(response.into_body(), ask.max_bytes).await?;
                    return Ok(Answer { status, body });
                }
                404 | 410 => {
                    let body = Vec::new();
                    return Ok(Answer { status, body });
                }
                301 | 302 | 303 | 307 | 308 => {
                    let next = next(&url, response.headers())?;
                    if next.origin() != url.origin() {
                        ask.may_be_private = ask.others_may_be_private;
                    }
                    url = next;
                }
                other => {
                    return Err(Failure {
                        error: FetchError::Status(other),
                        retry_after: retry_after(response.headers(), SystemTime::now()),
                    });
                }
            }
            // Otherwise one host could send us to another as often as it likes.
            let admitted = self.hosts.admit(&url, self.limit);
            let wait = admitted.map_err(|_| FetchError::Budget)?;
            tokio::time::sleep(wait).await;
        }
        Err(FetchError::Redirect.into())
    }

    fn request(&self, url: &Url, accept: &str) -> Result<Request<Empty<Bytes>>, FetchError> {
        let request = Request::get(url.as_str())
            .header(USER_AGENT, self.agent.as_str())
            .header(ACCEPT, accept)
            .body(Empty::new());
        request.map_err(|_| FetchError::Protocol)
    }
}

fn client(connector: Connector) -> Client<Connector, Empty<Bytes>> {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(10))
        .pool_max_idle_per_host(32)
        .http1_max_buf_size(16 * 1024)
        .http1_max_headers(64)
        .build(connector)
}

/// Where a redirect leads. TLS is never given up.
fn next(url: &Url, headers: &HeaderMap) -> Result<Url, FetchError> {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.filter(|location| !location.is_empty());
    let next = location.and_then(|location| url.join(location).ok());
    let mut next = next.ok_or(FetchError::Redirect)?;
    let is_allowed = match next.scheme() {
        "https" => true,
        "http" => url.scheme() == "http",
        _ => false,
    };
    let has_user = !next.username().is_empty() || next.password().is_some();
    if !is_allowed || has_user || next.host().is_none() {
        return Err(FetchError::Redirect);
    }
    next.set_fragment(None);
    Ok(next)
}

async fn read(mut body: Incoming, max_bytes: usize) -> Result<Vec<u8>, FetchError> {
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(FetchError::TooLong);
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| FetchError::Protocol)?;
        let data = frame.data_ref().map_or(&[][..], |data| data);
        if bytes.len() + data.len() > max_bytes {
            return Err(FetchError::TooLong);
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

/// Our own error within one of the client, or that the host does not speak HTTP.
fn cause_of(error: &(dyn Error + 'static)) -> FetchError {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(ours) = error.downcast_ref::<FetchError>() {
            return *ours;
        }
        cause = error.source();
    }
    FetchError::Protocol
}

/// Seconds or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .ok(),
    }
}

const MAX_REDIRECTS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_never_gives_tls_up() {
        let leads = |from: &str, to: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, to.parse().unwrap());
            next(&Url::parse(from).unwrap(), &headers).map(String::from)
        };
        let page = "https://a.test/x/y";
        assert_eq!(leads(page, "z#part").unwrap(), "https://a.test/x/z");
        assert_eq!(leads(page, "//b.test").unwrap(), "https://b.test/");
        assert_eq!(leads(page, "http://b.test/"), Err(FetchError::Redirect));
        let plain = leads("http://a.test/", "http://b.test/");
        assert_eq!(plain.unwrap(), "http://b.test/");
        let secured = leads("http://a.test/", "https://b.test/");
        assert_eq!(secured.unwrap(), "https://b.test/");
    }

    #[test]
    fn a_host_asks_to_be_left_alone_in_seconds_or_until_a_date() {
        let asks = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
            retry_after(&headers, now)
        };
        assert_eq!(asks("120"), Some(Duration::from_secs(120)));
        let date = asks("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date, Some(Duration::from_secs(7)));
        assert_eq!(asks("Sun, 06 Nov 1994 08:49:00 GMT"), None);
        for wrong in ["", "soon", "-1", "1e3", "99999999999999999999999"] {
            assert_eq!(asks(wrong), None, "{wrong}");
        }
        assert_eq!(
            asks("18446744073709551615"),
            Some(Duration::from_secs(u64::MAX))
        );
    }
}
